"""GPT-2 on TPU slices that are not here: minutes each, as the real compiler runs."""

import importlib.util
import pathlib
import re

import programs
import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = f'{ROOT}:{ROOT}/tests:{ROOT}/tests/planning'


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None,
    reason="TPU programs are compiled by libtpu: pip install 'libtpu==0.0.42.*'",
)
@pytest.mark.parametrize(
    ('name', 'mesh', 'model', 'rows'),
    [
        ('v5e:2x4', '8x1x1', '124m', 64),
        ('v5e:2x4', '1x8x1', 'xl_lora', 8),
        ('v5p:2x2x1', '4x1x1', '124m', 64),
        ('v5p:2x2x1', '4x1x1', 'xl_lora', 8),
        ('v6e:2x4', '8x1x1', '124m', 64),
        ('v6e:2x4', '1x8x1', 'xl_lora', 8),
    ],
)
def test_gpt2_compiles_for_a_slice_and_fits(
    name: str, mesh: str, model: str, rows: int
) -> None:
    done = programs.run(
        'tests/planning/tpu_child.py',
        *(name, mesh, model, rows),
        seconds=1800,
        PYTHONPATH=FOLDERS,
    )
    assert done.returncode == 0, done.stderr
    print(f'\n{name} {mesh} {model} {rows} rows\n{done.stdout}')
    assert 'splash attention' in done.stdout
    assert '\nfit           fits: ' in done.stdout
    assert 'of unknown length' not in done.stdout
    # The loss has 8 chunks of 128, and no other loop runs 8 times.
    assert 'in loops of ' in done.stdout
    assert not re.search(r'^in loops of .*\b8\b.*:', done.stdout, re.MULTILINE)
    kinds = {'8x1x1': 'all-reduce', '4x1x1': 'all-reduce', '1x8x1': 'all-gather'}
    assert f'{kinds[mesh]} of ' in done.stdout
    assert done.stderr == ''
