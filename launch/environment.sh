# shellcheck shell=bash
# Sourced by the scripts beside it: makes .venv once and installs a requirements file
# and the project, which gives `hax`, into it, again only when that file has changed.
#
#   source launch/environment.sh requirements.txt

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: $python is not Python 3.11 or newer; name one, e.g. PYTHON=python3.12 bash $0" >&2
  exit 2
fi
if [ ! -x .venv/bin/python ]; then
  echo "making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
fi
wanted=$(cat requirements.txt "$1" | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ ! -f ".venv/installed-$wanted" ]; then
  echo "installing $1 into .venv (about 600 MB the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" -e .
  touch ".venv/installed-$wanted"
else
  echo "reusing .venv"
fi
