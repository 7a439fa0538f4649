"""The line that says whose figures compare.py prints. The figures are timed by hand."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare
import instruction_sets

ZEN_3 = """processor\t: 0
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx fma avx2 sha_ni
processor\t: 1
model\t\t: 99
"""


@pytest.mark.parametrize(
    ('text', 'name', 'vectors'),
    [
        (ZEN_3, 'AMD EPYC (family 25, model 1)', 'AVX2'),
        (
            ZEN_3.replace('sha_ni', 'avx512f'),
            'AMD EPYC (family 25, model 1)',
            'AVX-512',
        ),
        ('model name\t: Arm N1\nFeatures\t: fp asimd aes\n', 'Arm N1', 'NEON'),
        ('model name\t: Old\nflags\t: sse2\n', 'Old', 'unknown'),
    ],
)
def test_the_processor_is_named_with_its_widest_vectors(
    text: str, name: str, vectors: str
) -> None:
    found = instruction_sets.processor(text)
    assert (found['name'], found['vectors']) == (name, vectors)
    assert found['cores'] >= 1


def test_the_first_line_says_that_avx2_is_imitated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zen_4 = {'name': 'Z', 'vectors': 'AVX-512', 'cores': 2}
    monkeypatch.setattr(instruction_sets, 'processor', lambda: zen_4)
    ours, torch = {'jaxlib': '1', 'threads': 2}, {'torch': '2', 'threads': 2}
    whole = {**zen_4, 'ours': ours, 'torch': torch}
    limited = 'AVX2, imitated on AVX-512'
    assert compare.machine(ours, torch, 'avx2') == {**whole, 'limited': limited}
    assert compare.machine(ours, torch, '') == {**whole, 'limited': 'no'}
