import json
import pathlib
from typing import Any

import forks
import numpy as np
import programs
import pytest

ROOT = pathlib.Path(__file__).parents[2]
# name -> (mesh, LoRA rank, microbatches, remat, without which layers are unrolled); all
# see the same global batches.
RUNS = {
    'one device': ((1, 1, 1), 0, 1, 'none'),
    '8x1x1': ((8, 1, 1), 0, 1, 'none'),
    '2x2x2': ((2, 2, 2), 0, 1, 'none'),
    '1x4x2, a loop': ((1, 4, 2), 0, 1, 'block'),
    'microbatches on 2x2x2': ((2, 2, 2), 0, 2, 'none'),
    'LoRA on one device': ((1, 1, 1), 2, 1, 'none'),
    'LoRA on 2x2x2, a loop': ((2, 2, 2), 2, 1, 'dots'),
}
MISTAKES = [
    ((3, 1, 1), 8),
    ((-1, 3, 1), 8),
    ((-1, 16, 1), 8),
    ((2, 2, 2), 6),
    ((2, 2, 2), 8),
    ((-1, 2, 2), 8),
]


@pytest.fixture(scope='module')
def measured() -> dict[str, Any]:
    """What mesh_child.py measured on 8 virtual CPU devices."""
    done = forks.run(
        'tests/mesh_child.py',
        json.dumps({'runs': RUNS, 'mistakes': MISTAKES}),
        **programs.devices(8),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Of a model with two layers of width 32, an mlp of 128, 64 ids and 16 places: what one
# device holds of each parameter when fsdp=F and tensor=T.
def held(fsdp: int, tensor: int) -> dict[str, tuple[int, ...]]:
    of_block = {
        'ln_1.scale': (32,),
        'ln_1.bias': (32,),
        'ln_2.scale': (32,),
        'ln_2.bias': (32,),
        'attn.c_attn.kernel': (32 // fsdp, 96 // tensor),
        'attn.c_attn.bias': (96,),
        'attn.c_proj.kernel': (32 // tensor, 32 // fsdp),
        'attn.c_proj.bias': (32,),
        'mlp.c_fc.kernel': (32 // fsdp, 128 // tensor),
        'mlp.c_fc.bias': (128,),
        'mlp.c_proj.kernel': (128 // tensor, 32 // fsdp),
        'mlp.c_proj.bias': (32,),
    }
    return {
        'wte.embedding': (64 // tensor, 32 // fsdp),
        'wpe.embedding': (16, 32 // fsdp),
        'ln_f.scale': (32,),
        'ln_f.bias': (32,),
        **in_each_block(of_block),
    }


def held_adapters(fsdp: int, tensor: int) -> dict[str, tuple[int, ...]]:
    """Of DoRA of rank 2: A lies as its kernel's inputs, B as its outputs."""
    of_block = {
        'attn.c_attn.lora_a': (32 // fsdp, 2),
        'attn.c_attn.lora_b': (2, 96 // tensor),
        'attn.c_attn.lora_magnitude': (96,),
        'attn.c_proj.lora_a': (32 // tensor, 2),
        'attn.c_proj.lora_b': (2, 32 // fsdp),
        'attn.c_proj.lora_magnitude': (32,),
        'mlp.c_fc.lora_a': (32 // fsdp, 2),
        'mlp.c_fc.lora_b': (2, 128 // tensor),
        'mlp.c_fc.lora_magnitude': (128,),
        'mlp.c_proj.lora_a': (128 // tensor, 2),
        'mlp.c_proj.lora_b': (2, 32 // fsdp),
        'mlp.c_proj.lora_magnitude': (32,),
    }
    return {
        'lm_head.lora_a': (32 // fsdp, 2),
        'lm_head.lora_b': (2, 64 // tensor),
        'lm_head.lora_magnitude': (64,),
        **in_each_block(of_block),
    }


def in_each_block(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f'h.{i}.{name}': shape for i in (0, 1) for name, shape in shapes.items()}


def as_lists(shapes: dict[str, tuple[int, ...]]) -> dict[str, list[list[int]]]:
    return {name: [list(shape)] for name, shape in shapes.items()}


@pytest.mark.parametrize('name', ['one device', '8x1x1', '2x2x2', '1x4x2, a loop'])
def test_each_device_holds_its_share_of_each_parameter(
    measured: dict[str, Any], name: str
) -> None:
    _, fsdp, tensor = RUNS[name][0]
    assert measured['runs'][name]['shards'] == as_lists(held(fsdp, tensor))


@pytest.mark.parametrize('name', RUNS)
def test_each_device_is_given_its_part_of_a_base(
    measured: dict[str, Any], name: str
) -> None:
    assert measured['runs'][name]['each_shard_is_its_part_of_the_base']


def test_adapters_lie_as_the_kernels_that_they_adapt(measured: dict[str, Any]) -> None:
    expected = held(2, 2) | held_adapters(2, 2)
    assert measured['runs']['LoRA on 2x2x2, a loop']['shards'] == as_lists(expected)


def test_moments_lie_as_their_parameters(measured: dict[str, Any]) -> None:
    moments = measured['runs']['2x2x2']['moments']
    for name, shape in held(2, 2).items():
        for moment in ('mu', 'nu'):
            (found,) = [n for n in moments if n.endswith(f'.{moment}.{name}')]
            assert moments[found] == [list(shape)], found
    moments = measured['runs']['LoRA on 2x2x2, a loop']['moments']
    assert not [n for n in moments if n.endswith('kernel')]


@pytest.mark.parametrize(
    ('name', 'rows'),
    [('one device', 8), ('8x1x1', 1), ('2x2x2', 2), ('1x4x2, a loop', 2)],
)
def test_each_device_holds_its_rows_of_a_batch(
    measured: dict[str, Any], name: str, rows: int
) -> None:
    assert measured['runs'][name]['rows_held'] == [[rows, 16]]


@pytest.mark.parametrize(
    ('name', 'alone'),
    [
        ('8x1x1', 'one device'),
        ('2x2x2', 'one device'),
        ('1x4x2, a loop', 'one device'),
        ('microbatches on 2x2x2', 'one device'),
        ('LoRA on 2x2x2, a loop', 'LoRA on one device'),
    ],
)
def test_a_mesh_computes_what_one_device_does(
    measured: dict[str, Any], name: str, alone: str
) -> None:
    got, expected = measured['runs'][name], measured['runs'][alone]
    for step, step_alone in zip(got['metrics'], expected['metrics'], strict=True):
        assert step.keys() == step_alone.keys()
        for metric, value in step.items():
            assert value == pytest.approx(step_alone[metric], rel=1e-5), metric
    assert got['params'].keys() == expected['params'].keys()
    for path, values in got['params'].items():
        # Three steps of 1e-2, and Adam divides small gradients by their own size.
        np.testing.assert_allclose(
            values, expected['params'][path], atol=5e-5, err_msg=path
        )
    np.testing.assert_allclose(got['nll'], expected['nll'], atol=5e-5)


def test_the_parameters_have_moved(measured: dict[str, Any]) -> None:
    losses = [m['loss'] for m in measured['runs']['one device']['metrics']]
    assert len(set(losses)) == len(losses)
    for name in ('one device', 'LoRA on one device'):
        norms = [m['grad_norm'] for m in measured['runs'][name]['metrics']]
        assert min(norms) > 1e-3


@pytest.mark.parametrize('name', RUNS)
def test_the_step_is_compiled_once(measured: dict[str, Any], name: str) -> None:
    assert measured['runs'][name]['compiled'] == 1


def test_a_mesh_that_leaves_devices_idle_is_refused(measured: dict[str, Any]) -> None:
    too_few, odd, too_many, *_ = measured['messages']
    assert too_few == (
        'mesh.data=3 mesh.fsdp=1 mesh.tensor=1 do not use up the 8 devices; their '
        'product must be 8 (data=-1 takes what fsdp and tensor leave).'
    )
    assert 'mesh.data=-1 mesh.fsdp=3' in odd
    assert 'mesh.data=-1 mesh.fsdp=16' in too_many


def test_a_batch_that_the_mesh_cannot_share_is_refused(
    measured: dict[str, Any],
) -> None:
    *_, uneven, even, rest = measured['messages']
    assert uneven == (
        'train.batch_size=6 is not divisible by data*fsdp=4, the devices that share '
        'the rows; use a multiple of 4.'
    )
    assert (even, rest) == ('', '')


def test_a_dimension_that_cannot_be_split_stays_whole_and_is_named(
    measured: dict[str, Any],
) -> None:
    assert measured['undivided'] == [
        'wte.embedding (65, 32): 65 is not divisible by tensor=2',
        '(65, 16)',
    ]
