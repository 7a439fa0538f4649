import dataclasses
import json
import math
import pathlib
from typing import Any

import forks
import jax
import programs
import pytest
from test_planner import LAYER, PARAMETERS, make_cache, make_run

from hax_jax import errors
from hax_jax.devices import topology
from hax_jax.planning import estimate, planner, step_plan
from hax_jax.training import run_setup

ROOT = pathlib.Path(__file__).parents[2]
TABLE = 4 * 64 * 32  # bytes of wte in float32, and of wpe
KERNELS = 4 * 2 * (32 * 96 + 32 * 32 + 2 * 32 * 128)
MESHES = {'data': (4, 1, 1), 'fsdp': (1, 4, 1), 'both': (2, 2, 1)}


@pytest.fixture(scope='module')
def compiled() -> dict[str, dict[str, Any]]:
    """What plan_child.py found on 4 virtual CPU devices, by mesh."""
    done = forks.run(
        'tests/planning/plan_child.py',
        json.dumps(list(MESHES.values())),
        **programs.devices(4),
        PYTHONPATH=f'{ROOT}:{ROOT}/tests:{ROOT}/tests/planning',
    )
    assert done.returncode == 0, done.stderr
    assert 'rematerialization' not in done.stderr
    return dict(zip(MESHES, json.loads(done.stdout), strict=True))


def test_data_parallel_gradients_are_summed_once(
    compiled: dict[str, dict[str, Any]],
) -> None:
    found = compiled['data']['bytes']
    assert list(found) == ['all-reduce']
    # wte's gradient of lookup and head is one; a few numbers of the loss beside them.
    expected = 4 * PARAMETERS
    assert expected <= found['all-reduce'] < expected + 100
    assert compiled['data']['loops'] == 0


def test_fsdp_gathers_each_kernel_twice_and_sums_its_gradient(
    compiled: dict[str, dict[str, Any]],
) -> None:
    found = compiled['fsdp']['bytes']
    # Forward and backward in both layers of the loop; wte and wpe once.
    assert found['all-gather'] == 2 * KERNELS + 2 * TABLE
    assert found['reduce-scatter'] == KERNELS + 2 * TABLE
    whole = 4 * (2 * (LAYER - KERNELS // 8) + 64)
    assert whole <= found['all-reduce'] < whole + 500


def test_a_plan_lists_them_and_what_a_mesh_needs(
    compiled: dict[str, dict[str, Any]],
) -> None:
    text = compiled['data']['text']
    assert 'collectives   all-reduce of 118.' in text
    # Around a ring of 4: twice 3 / 4 of 4 bytes a parameter.
    assert f'by formula the mesh needs {6 * PARAMETERS / 1e3:.1f} kB' in text
    for mesh in MESHES:
        assert 'resharding' not in compiled[mesh]['text']


def described(name: str, **sections: dict[str, object]) -> run_setup.Setup:
    draft = {'train': {'batch_size': 16, 'compute_dtype': 'auto'}, **sections}
    draft['model'] = {'attention': 'auto', **draft.get('model', {})}
    run, before = make_run(**draft), jax.config.jax_platforms
    try:
        found = topology.find(name)
    finally:
        jax.config.update('jax_platforms', before)
    return run_setup.prepare(run, make_cache(run.data.seq_len), described=found)


def test_a_run_for_gpus_is_planned_by_formula_and_asks_no_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError('a device was asked for')

    for name in ('devices', 'local_devices', 'device_count', 'default_backend'):
        monkeypatch.setattr(jax, name, asked)
    setup = described('h100x16', mesh={'fsdp': 8})
    assert dict(setup.mesh.shape) == {'data': 2, 'fsdp': 8, 'tensor': 1}
    assert setup.blueprint.model.compute_dtype == 'bfloat16'
    step_plan.dry_run(setup, None, price=16.0)
    text = capsys.readouterr().out
    assert "by formula    a step for h100x16 can't be compiled here" in text
    assert 'of the 60.0 GB that a program has on NVIDIA H100 80GB HBM3 (75% o' in text
    assert 'collectives   all-reduce of ' in text
    assert 'an estimate by formula: ' in text
    assert f'at an assumed MFU of {estimate.MFU:.0%} of 15,830 TFLOP/s' in text


def test_a_vocabulary_that_tensor_does_not_divide_is_told_its_cure() -> None:
    odd = {'vocab_size': 65, 'n_embd': 48}
    setup = described('h100x4', mesh={'tensor': 4}, model=odd)
    plan = planner.make_plan(setup)
    assert (
        'not split     wte.embedding (65, 48): 65 is not divisible by tensor=4\n'
        '              give --config.model.pad_vocab_to_multiple_of=128, and tensor=4 '
        'splits the table; exports drop it'
    ) in planner.render(plan)
    begun = dataclasses.replace(plan, steps_done=3)
    assert 'only a new run can split its table, with --config.m' in planner.render(
        begun
    )
    # The remedy works when it is typed.
    cured = described(
        'h100x4', mesh={'tensor': 4}, model={**odd, 'pad_vocab_to_multiple_of': 128}
    )
    assert planner.make_plan(cured).undivided == []
    # 3 devices share a table of a multiple of 384.
    third = described('h100x3', mesh={'tensor': 3}, model=odd, train={'batch_size': 4})
    assert 'pad_vocab_to_multiple_of=384,' in planner.render(planner.make_plan(third))


def test_what_does_not_fit_the_described_devices_is_refused(
    capsys: pytest.CaptureFixture,
) -> None:
    setup = described('h100x8')
    small = dataclasses.replace(setup.described, memory_bytes=400_000)
    setup = dataclasses.replace(setup, described=small)
    with pytest.raises(errors.InputError, match=r'a step needs .* and 400.0 kB are fr'):
        step_plan.dry_run(setup, None, price=None)
    assert 'fit           DOES NOT FIT: ' in capsys.readouterr().out


def test_the_time_and_price_of_a_run_that_has_trained_are_by_its_own_rate(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = run_setup.prepare(make_run(train={'batch_size': 4}), make_cache(32))
    plan = planner.make_plan(setup)
    # Before that, on a CPU, by what its products reach: 2e12 FLOP/s at 50% here.
    monkeypatch.setattr(step_plan.peaks, 'matmul_flops', lambda *_, **__: 2e12)
    seconds, basis = step_plan.step_time(setup, plan, tmp_path)
    assert seconds == pytest.approx(setup.flops_per_token * 4 * 32 / 1e12)
    assert 'at 50% of the 2.00 TFLOP/s of matrix products here, now' in basis
    # Another device whose peak nobody knows.
    monkeypatch.setattr(run_setup.Setup, 'platform', 'gpu')
    seconds, basis = step_plan.step_time(setup, plan, tmp_path)
    assert seconds is None
    assert step_plan.time_lines(plan, seconds, basis, 12.5) == [('time', basis)]
    assert basis.startswith('not known: the peak FLOP/s of ')
    lines = [
        {'kind': 'train', 'step': i, 'tokens_per_second': rate}
        for i, rate in enumerate([1.0, 1.0, *[96 / 360] * 10])
    ]
    lines.append({'kind': 'summary', 'step': 9})
    text = '\n'.join(map(json.dumps, lines))
    (tmp_path / 'metrics.jsonl').write_text(text + '\n{"kind": "train", "st')
    # 10 steps of 96 tokens, each in 360 s: an hour.
    found = step_plan.step_time(setup, plan, tmp_path)
    time, cost = step_plan.time_lines(plan, *found, 12.5)
    assert time[1].startswith('about 6m00s a step, 1h00m for 10 steps (by the 0 to')
    assert cost == ('cost', 'about 12.50 for 1.00 h at 12.5 an hour')


def step(**changes: object) -> estimate.Step:
    model = dataclasses.replace(make_run().model, n_embd=8, vocab_size=10, n_layer=3)
    parameters = (
        estimate.Parameter(1000, 4, True, ('fsdp', 'tensor')),
        estimate.Parameter(100, 4, True, ()),
        estimate.Parameter(2000, 4, False, ('fsdp',), in_block=True),
    )
    sizes = {
        'model': model,
        'parameters': parameters,
        'mesh': {'data': 2, 'fsdp': 4, 'tensor': 1},
        'seq_len': 16,
        'rows': 2,
        'num_microbatches': 1,
        'compute_bytes': 2,
        'attention': 'triton',
        'remat': 'none',
        'loss_chunk': 128,
    }
    return estimate.Step(**{**sizes, **changes})


@pytest.mark.parametrize(
    ('name', 'changes', 'line'),
    [
        (
            'a100x8',
            {},
            "triton: compute capability 8.0: JAX's own kernel skips what lies above "
            'the diagonal',
        ),
        ('h200x1', {'attention': 'triton'}, 'triton: model.attention names it'),
        (
            'h200x1',
            {'attention': 'cudnn'},
            'cudnn: model.attention names it; it holds a mask [T, T] of each row',
        ),
        (
            'l4x1',
            {'attn_pdrop': 0.1},
            'xla: rows are shorter than 512; triton has no dropout, and '
            'model.attn_pdrop=0.1; set it to 0.0 or use xla or blockwise',
        ),
    ],
)
def test_the_plan_says_which_attention_a_run_takes_and_why(
    name: str, changes: dict[str, object], line: str
) -> None:
    model = {'n_embd': 64, 'n_positions': 128, **changes}
    setup = described(name, model=model, data={'seq_len': 128})
    plan = planner.make_plan(setup)
    assert setup.blueprint.model.config.attention == plan.attention
    assert f'\nattention     {line}\n' in planner.render(plan)


def test_what_a_mesh_needs_is_counted_by_hand() -> None:
    found = estimate.needed_traffic(step())
    # In bfloat16: 2 * 1000 once, and of blocks 2 * 2000 forward and backward.
    assert found['all-gather'].bytes == 10_000
    assert found['reduce-scatter'].bytes == 4000
    # A quarter of 4 * 1000 over data, and 4 * 100 over both.
    assert found['all-reduce'].bytes == 1000 + 400
    assert found['all-reduce'].sent == 1000 + 2 * 400 * 7 // 8
    alone = estimate.needed_traffic(step(mesh={'data': 1, 'fsdp': 1, 'tensor': 1}))
    assert alone == {}
    split = estimate.needed_traffic(step(mesh={'data': 1, 'fsdp': 1, 'tensor': 2}))
    # 4 sums a layer and 2 beside, of 2 rows of 16 positions of 8 numbers of 2 bytes;
    # three numbers of 4 bytes a position.
    assert split['all-reduce'].bytes == 14 * (2 * 16 * 8 * 2) + 3 * 4 * 2 * 16
    # Of 3 microbatches: blocks are gathered in each; gradients are summed once.
    thrice = estimate.needed_traffic(step(num_microbatches=3))
    assert thrice['all-gather'].bytes == 2000 + 3 * 8000
    assert thrice['all-reduce'] == found['all-reduce']
    assert thrice['reduce-scatter'] == found['reduce-scatter']
    trained = dataclasses.replace(step().parameters[2], is_trained=True)
    blocks = estimate.needed_traffic(step(num_microbatches=3, parameters=(trained,)))
    assert blocks['reduce-scatter'].bytes == 3 * 8000


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        # 16 numbers of width 8 a position and layer, of 2 bytes.
        ({}, 2 * 3 * 32 * 8 * 16),
        ({'remat': 'block'}, 2 * (3 * 32 * 8 + 32 * 8 * 16)),
        ({'attention': 'xla'}, 2 * 3 * (32 * 8 * 16 + 2 * 32 * 4 * 16)),
    ],
)
def test_memory_by_formula_is_counted_by_hand(
    changes: dict[str, object], numbers: int
) -> None:
    logits, table, gradients = 3 * 4 * 32 * 10, 2 * 10 * 8, 4 * (1000 + 100)
    expected = numbers + logits + table + gradients
    assert estimate.temporary_bytes(step(**changes)) == expected
    again = estimate.temporary_bytes(step(**changes, num_microbatches=2))
    assert again == expected + gradients
    model = dataclasses.replace(step().model, scan_layers=True)
    copied = estimate.temporary_bytes(step(**changes, model=model))
    assert copied == expected + 4 * 2000 // 4


def test_the_time_of_a_step_is_its_operations_over_what_is_done_of_the_peak() -> None:
    seconds = estimate.seconds_a_step(6e9, 1_000_000, 1e17)
    assert math.isclose(seconds, 6e15 / (0.35 * 1e17))
