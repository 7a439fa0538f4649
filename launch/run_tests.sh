#!/usr/bin/env bash
# Lint, format and the whole test suite, in .venv. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh tests/requirements.txt

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/shellcheck -x launch/*.sh launch/slurm.sbatch tests/launch/fake_bin/*
# Hundreds of child processes import the same modules: compiled once, whatever is set.
unset PYTHONDONTWRITEBYTECODE
# Two files at a time: compiling, which takes most of the time, uses one core. In the
# order of their names: by the number of tests, the slowest single ones would come last.
.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
