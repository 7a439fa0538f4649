import functools
import json
import pathlib
from typing import Any

import forks
import programs
import pytest

ROOT = pathlib.Path(__file__).parents[2]
ACCUMULATED = {'train': {'grad_accum_steps': 4}}
CASES: dict[str, dict[str, Any]] = {
    'full': {},
    'accumulated': ACCUMULATED,
    'LoRA': {'lora': {'rank': 4}},
    'LoRA with its head, accumulated': {
        'lora': {'rank': 4, 'targets': ('attn.*', 'lm_head')},
        'model': {'vocab_size': 500, 'pad_vocab_to_multiple_of': 128},
        **ACCUMULATED,
    },
    'untied, in a loop': {'model': {'tie_embeddings': False, 'scan_layers': True}},
}
MESHES = {
    '8x1x1': ('accumulated',),
    '1x8x1': ('accumulated', 'LoRA'),
    '2x2x2': ('full', 'accumulated'),
}
MORE_MESHES = {  # compiled with -m slow
    '8x1x1': ('full', 'LoRA', 'LoRA with its head, accumulated'),
    '1x8x1': ('full', 'LoRA with its head, accumulated', 'untied, in a loop'),
    '2x2x2': ('LoRA', 'LoRA with its head, accumulated', 'untied, in a loop'),
    '2x4x1': ('accumulated', 'untied, in a loop'),
}


def names_of(meshes: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(f'{mesh}: {case}' for mesh, cases in meshes.items() for case in cases)


NAMES, MORE_NAMES = names_of(MESHES), names_of(MORE_MESHES)
LOSS_LOOP = 3  # chunks of 128 in a row of 384; no other loop runs three times


@functools.cache
def compiled(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What collectives_child.py read in the train steps of 8 virtual CPU devices."""
    sections = {}
    for name in names:
        mesh, case = name.split(': ')
        sizes = map(int, mesh.split('x'))
        sizes = dict(zip(('data', 'fsdp', 'tensor'), sizes, strict=True))
        sections[name] = {'mesh': sizes, **CASES[case]}
    done = forks.run(
        'tests/planning/collectives_child.py',
        json.dumps(sections),
        **programs.devices(8),
        PYTHONPATH=f'{ROOT}:{ROOT}/tests:{ROOT}/tests/planning',
        seconds=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def found_in(name: str) -> dict[str, Any]:
    return compiled(NAMES if name in NAMES else MORE_NAMES)[name]


EACH = pytest.mark.parametrize(
    'name',
    [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_NAMES)],
)


@EACH
def test_law_16_a_step_moves_what_its_mesh_needs_and_no_more(name: str) -> None:
    """Of P numbers of a parameter, in bytes, with k microbatches; g is float32's 4.

    fsdp > 1, for what it splits (c is 4, or 2 in bfloat16):
      in a block       gathered 2k times c P, reduce-scattered k times g P
      outside blocks   gathered once c P, reduce-scattered once g P
    data > 1: the device's part of g P is all-reduced once; where fsdp does not split a
    parameter, g P once over data and fsdp together.
    tensor > 1: 4 layers + 2 all-reduces of [rows, T, D], and 3 of [rows, T] in float32.
    Frozen parameters are gathered alone. `sent` is what a device sends of it around a
    ring (collectives.Traffic). XLA's CPU compiler may gather a block once for both
    passes, where blocks are not in a loop: less than is needed.
    """
    found = found_in(name)
    assert found['unknown_loops'] == 0
    assert found['sent'] <= 1.1 * found['needed'], found


@EACH
def test_no_collective_is_in_the_loop_of_the_loss(name: str) -> None:
    found = found_in(name)
    loops = found['loops'] + found.get('loops_of_evaluation', [])
    assert not [each for each in loops if LOSS_LOOP in each]
    assert found['rematerialized'] == []
