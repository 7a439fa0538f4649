import json
import pathlib
from typing import Any

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
    '8x1x1': ('full', 'accumulated', 'LoRA', 'LoRA with its head, accumulated'),
    '1x8x1': tuple(CASES),
    '2x2x2': tuple(CASES),
    '2x4x1': ('accumulated', 'untied, in a loop'),
}
NAMES = [f'{mesh}: {case}' for mesh, cases in MESHES.items() for case in cases]
LOSS_LOOP = 3  # chunks of 128 in a row of 384; no other loop runs three times


@pytest.fixture(scope='module')
def compiled() -> dict[str, dict[str, Any]]:
    """What collectives_child.py read in the train steps of 8 virtual CPU devices."""
    sections = {}
    for name in NAMES:
        mesh, case = name.split(': ')
        sizes = map(int, mesh.split('x'))
        sizes = dict(zip(('data', 'fsdp', 'tensor'), sizes, strict=True))
        sections[name] = {'mesh': sizes, **CASES[case]}
    done = programs.run(
        'tests/planning/collectives_child.py',
        json.dumps(sections),
        XLA_FLAGS='--xla_force_host_platform_device_count=8',
        JAX_PLATFORMS='cpu',
        PYTHONPATH=f'{ROOT}:{ROOT}/tests:{ROOT}/tests/planning',
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', NAMES)
def test_law_16_a_step_moves_what_its_mesh_needs_and_no_more(
    compiled: dict[str, dict[str, Any]], name: str
) -> None:
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
    found = compiled[name]
    assert found['unknown_loops'] == 0
    assert found['sent'] <= 1.1 * found['needed'], found


@pytest.mark.parametrize('name', NAMES)
def test_no_collective_is_in_the_loop_of_the_loss(
    compiled: dict[str, dict[str, Any]], name: str
) -> None:
    found = compiled[name]['loops'] + compiled[name].get('loops_of_evaluation', [])
    assert not [loops for loops in found if LOSS_LOOP in loops]
    assert compiled[name]['rematerialized'] == []
