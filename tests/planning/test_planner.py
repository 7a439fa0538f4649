import dataclasses
import pathlib
import re

import forks
import programs
import pytest

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.data import records
from hax_jax.devices import memory
from hax_jax.planning import planner, step_plan
from hax_jax.runs import disk_room
from hax_jax.training import capacity, run_setup

ROOT = pathlib.Path(__file__).parents[2]
# 2 layers of width 32, 4 heads, 64 places, 64 ids. Parameters by hand:
# wte 64 * 32 and wpe 64 * 32; a layer has norms 4 * 32, c_attn 32 * 96 + 96,
# attn.c_proj 32 * 32 + 32, c_fc 32 * 128 + 128, mlp.c_proj 128 * 32 + 32; ln_f 2 * 32.
LAYER = 128 + (3072 + 96) + (1024 + 32) + (4096 + 128) + (4096 + 32)
PARAMETERS = 2048 + 2048 + 2 * LAYER + 64


def make_run(**sections: dict[str, object]) -> schema.Config:
    draft = convert.draft()
    draft.data.path = 'data'
    draft.data.seq_len = 32
    draft.tokenizer.path = 'train'
    draft.model.update(
        n_layer=2, n_head=4, n_embd=32, n_positions=64, vocab_size=64, attention='xla'
    )
    draft.train.update(num_steps=10, checkpoint_every_steps=4, eval_every_steps=3)
    draft.train.compute_dtype = 'float32'
    for section, values in sections.items():
        draft[section].update(values)
    return convert.freeze(draft)


def make_cache(seq_len: int) -> records.PackedCache:
    counts = {
        'rows': 20,
        'segments': 40,
        'positions': 20 * seq_len,
        'prompt': 4 * seq_len,
        'answer': 11 * seq_len,
        'padding': 5 * seq_len,
    }
    meta = {'seq_len': seq_len, 'fingerprint': '0', 'splits': {'train': counts}}
    return records.PackedCache(pathlib.Path('data'), meta)


def make_plan(**sections: dict[str, object]) -> planner.Plan:
    run = make_run(**sections)
    return planner.make_plan(run_setup.prepare(run, make_cache(run.data.seq_len)))


def temporary_bytes(setup: run_setup.Setup) -> int:
    return step_plan.temporary_bytes(setup, step_plan.compiled_step(setup))


def test_parameters_are_counted_by_hand() -> None:
    plan = make_plan()
    assert PARAMETERS == 29_568
    assert (plan.trainable_parameters, plan.frozen_parameters) == (PARAMETERS, 0)
    # float32; two moments and two counters of int32.
    assert plan.parameter_bytes == 4 * PARAMETERS
    assert plan.moment_bytes == 8 * PARAMETERS + 8
    assert plan.checkpoint_bytes == 12 * PARAMETERS + 8


def test_adapters_alone_are_trained_and_saved_with_lora() -> None:
    plan = make_plan(lora={'rank': 2, 'targets': ('attn.c_attn',)})
    adapters = 2 * (32 * 2 + 2 * 96)  # two layers
    assert (plan.trainable_parameters, plan.frozen_parameters) == (adapters, PARAMETERS)
    assert plan.parameter_bytes == 4 * (adapters + PARAMETERS)
    assert plan.checkpoint_bytes == 12 * adapters + 8


def test_steps_epochs_and_positions() -> None:
    plan = make_plan(train={'batch_size': 4})
    assert plan.positions_per_step == 4 * 32
    assert plan.tokens_per_step == 4 * 32 * 15 / 20
    assert plan.steps_per_epoch == 5.0
    assert (plan.num_steps, plan.num_epochs) == (10, 2.0)
    assert plan.padding_share == 5 / 20
    assert plan.loss_share == 11 / 20


def test_questions_carry_loss_where_they_have_a_weight() -> None:
    plan = make_plan(data={'question_weight': 0.5})
    assert plan.loss_share == 15 / 20


def test_checkpoints_are_counted() -> None:
    # Due at 4, 8 and 10; evaluated at 3, 6, 9 and 10, so the best may be at 3, 6, 9.
    plan = make_plan()
    assert (plan.scheduled_checkpoints, plan.best_checkpoints) == (3, 3)
    assert plan.kept_checkpoints == 3  # two of the last, one of the best
    plan = make_plan(train={'keep_best': 0})
    assert (plan.best_checkpoints, plan.kept_checkpoints) == (0, 2)
    plan = make_plan(train={'checkpoint_every_steps': 5})
    assert plan.scheduled_checkpoints == 2
    plan = make_plan(train={'checkpoint_every_steps': 500, 'eval_every_steps': 100})
    assert (plan.scheduled_checkpoints, plan.kept_checkpoints) == (1, 1)


def test_a_steps_memory_is_the_compilers_own_figure() -> None:
    run = make_run(
        data={'seq_len': 64}, model={'n_layer': 4, 'scan_layers': True, 'n_embd': 64}
    )

    def temporary(**train: object) -> int:
        changed = dataclasses.replace(
            run, train=dataclasses.replace(run.train, **train)
        )
        return temporary_bytes(run_setup.prepare(changed, make_cache(64)))

    setup = run_setup.prepare(run, make_cache(64))
    asked = temporary()
    # More than the gradients alone, and remat and microbatches lower it.
    assert asked > 4 * planner.make_plan(setup).trainable_parameters
    assert temporary(remat='block') < 0.7 * asked
    assert temporary(grad_accum_steps=8) < 0.7 * asked
    trained = planner.make_plan(setup).trainable_parameters
    assert temporary(recheck_every_steps=5) == asked + 2 * 4 * trained
    text = planner.render(planner.make_plan(setup, temporary_bytes=123_400_000))
    assert 'and 123.4 MB for a step (gradients, activations, logits; xla att' in text


def test_each_number_stands_in_the_table() -> None:
    plan = make_plan(train={'batch_size': 4})
    text = planner.render(plan)
    assert f'{PARAMETERS:,} trained, 0 frozen' in text
    assert '4 rows of 32: 128 positions, 96 tokens per step' in text
    assert '10 steps; 5.0 steps per epoch, 2.00 epochs of 20 rows, 40 in all' in text
    assert '25.0% padding, 55.0% carry loss' in text
    assert '3 and up to 3 where an evaluation is the best so far' in text
    assert '3 of them kept at most, 354.8 kB each' in text
    assert (
        'memory        354.8 kB a device for the state (parameters 118.3 kB, moments '
        "236.6 kB); the step's own is known once it is compiled (--dry_run)"
    ) in text
    assert 'attention     xla: model.attention names it\n' in text
    assert len(text.split('\n')) == 8


def test_one_row_a_step_is_said_to_be_one() -> None:
    text = planner.render(make_plan(train={'batch_size': 1}))
    assert 'a step        1 row of 32: 32 positions, ' in text


def test_the_table_says_what_each_pattern_takes() -> None:
    plan = make_plan(optimizer={'lr_multipliers': ('wte.*=0', 'ln_1.*=0.5', 'bias=2')})
    # wte 64 * 32; ln_1 has 2 * 32 in each layer; the biases that are not ln_1's: in a
    # layer 96 + 32 + 128 + 32 and ln_2's 32, and ln_f's 32.
    biases = 2 * (96 + 32 + 128 + 32 + 32) + 32
    rest = PARAMETERS - 2048 - 128 - biases
    moving = PARAMETERS - 2048
    assert (plan.trainable_parameters, plan.frozen_parameters) == (moving, 2048)
    assert plan.moment_bytes == 8 * moving + 8
    assert plan.parameter_bytes == 4 * PARAMETERS
    # The checkpoint holds all parameters, and the moments of those that move.
    assert plan.checkpoint_bytes == 4 * PARAMETERS + 8 * moving + 8
    assert (
        'learning rate wte.*      times 0 (frozen): 1 tensors, 2,048 parameters\n'
        '              ln_1.*     times 0.5: 4 tensors, 128 parameters\n'
        f'              bias       times 2: 11 tensors, {biases} parameters\n'
        f'              all others times 1: 12 tensors, {rest:,} parameters\n'
    ) in planner.render(plan)


def test_bfloat16_halves_parameters_and_moments_alike() -> None:
    plan = make_plan(
        train={'param_dtype': 'bfloat16'}, optimizer={'moment_dtype': 'bfloat16'}
    )
    assert plan.parameter_bytes == 2 * PARAMETERS
    assert plan.moment_bytes == 4 * PARAMETERS + 8


def test_gpt2_has_124_million_parameters_and_their_sizes() -> None:
    sizes = dataclasses.asdict(schema.ModelConfig()) | {
        'n_layer': 12,
        'n_head': 12,
        'n_embd': 768,
        'n_positions': 1024,
        'vocab_size': 50257,
    }
    plan = make_plan(model=sizes, data={'seq_len': 1024})
    assert plan.trainable_parameters == 124_439_808
    assert plan.checkpoint_bytes == 12 * 124_439_808 + 8
    lora = make_plan(model=sizes, data={'seq_len': 1024}, lora={'rank': 16})
    # Rank 16 on kernels [768, 2304], [768, 768], [768, 3072] and [3072, 768].
    adapters = 12 * 16 * (768 + 2304 + 768 + 768 + 768 + 3072 + 3072 + 768)
    assert lora.trainable_parameters == adapters == 2_359_296


MESH = """
from tests_planner import make_plan, PARAMETERS
plan = make_plan(mesh={'fsdp': 2, 'tensor': 2})
print(plan.mesh, plan.parameter_bytes, plan.moment_bytes)
"""


def test_a_device_of_a_mesh_holds_its_share() -> None:
    code = MESH.replace('tests_planner', pathlib.Path(__file__).stem)
    done = forks.run(
        '-c',
        code,
        **programs.devices(4),
        PYTHONPATH=f'{ROOT}:{ROOT}/tests:{pathlib.Path(__file__).parent}',
    )
    assert done.returncode == 0, done.stderr
    # Whole on each device: the norms and biases. In halves: wpe. In quarters: wte and
    # the kernels.
    kernels = 2 * (3072 + 1024 + 4096 + 4096)
    whole = PARAMETERS - kernels - 2 * 2048
    held = 4 * (whole + 2048 // 2 + (2048 + kernels) // 4)
    mesh = {'data': 1, 'fsdp': 2, 'tensor': 2}
    assert done.stdout == f'{mesh} {held} {2 * held + 8}\n'


@pytest.mark.parametrize(('saves', 'evaluations'), [(4, 3), (4, 6), (7, 7), (50, 3)])
def test_checkpoints_are_counted_as_they_come_due(saves: int, evaluations: int) -> None:
    plan = make_plan(
        train={'checkpoint_every_steps': saves, 'eval_every_steps': evaluations}
    )
    steps = range(1, 11)
    due = {s for s in steps if s % saves == 0 or s == 10}
    evaluated = {s for s in steps if s % evaluations == 0 or s == 10}
    found = (plan.scheduled_checkpoints, plan.best_checkpoints)
    assert found == (len(due), len(evaluated - due))


def test_the_longest_run_is_planned_at_once() -> None:
    # 2**31 - 1 steps of a checkpoint each would not fit into memory as a list.
    plan = make_plan(train={'num_steps': 2**31 - 1, 'checkpoint_every_steps': 1})
    assert (plan.scheduled_checkpoints, plan.best_checkpoints) == (2**31 - 1, 0)


def test_a_run_that_its_disk_can_not_hold_is_refused_with_what_fits(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(train={'keep_last': 2, 'keep_best': 1, 'log_every_steps': 10})
    setup = run_setup.prepare(run, make_cache(run.data.seq_len))
    each = 12 * PARAMETERS + 8
    # Saved at 4, 8 and 10, and at most at 3, 6, 9: of six, three are kept, one is new.
    assert capacity.disk_bytes(setup) == 4 * each + 1000 + 6_000_000
    monkeypatch.setattr(disk_room, 'free', lambda _: 4 * each + 1000 + 6_000_000)
    capacity.check_disk(setup, tmp_path)
    monkeypatch.setattr(disk_room, 'free', lambda _: 3 * each + 6_000_000)
    with pytest.raises(errors.InputError) as caught:
        capacity.check_disk(setup, tmp_path)
    assert str(caught.value) == (
        f'the run needs 7.4 MB more on the disk of {tmp_path}: 4 checkpoints of 354.8 '
        'kB at one time, and its page; 7.1 MB are free. Make room, or give a --workdir '
        'on another disk, or keep fewer: --config.train.keep_last=2 '
        '--config.train.keep_best=0.'
    )
    # A run that goes on has some of them already.
    (tmp_path / 'checkpoints' / '4').mkdir(parents=True)
    (tmp_path / 'checkpoints' / '4' / 'data').write_bytes(b'0' * (each + 1000))
    capacity.check_disk(setup, tmp_path)


def test_a_state_that_does_not_fit_is_refused_with_what_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = run_setup.prepare(make_run(), make_cache(32))
    # Beside them a step, two counts of Adam, and the guard: two rings of 128 numbers,
    # three counts and a truth value.
    state = 12 * PARAMETERS + 12 + (2 * 128 + 3) * 4 + 1
    assert capacity.state_bytes(setup) == state
    for free, said in (
        (state + 2**20, ''),  # with room for the rows of a step
        (state - 1, 'Give --config.optimizer.moment_dtype=bfloat16 (about 236.5 kB).'),
        (
            5 * PARAMETERS,
            'take a smaller model or data.seq_len, or more or larger devices',
        ),
    ):
        monkeypatch.setattr(memory, 'free', lambda _, free=free: free)
        if not said:
            capacity.check_state(setup)
            continue
        with pytest.raises(errors.InputError, match=re.escape(said)) as caught:
            capacity.check_state(setup)
        assert str(caught.value).startswith('the state of the run needs 355.9 kB on ea')
    # Adapters need a base.
    run = dataclasses.replace(
        setup.run, model=dataclasses.replace(setup.run.model, pretrained='gpt2')
    )
    monkeypatch.setattr(memory, 'free', lambda _: 5 * PARAMETERS)
    with pytest.raises(
        errors.InputError, match=r'--config.lora.rank=8 .about 124.2 kB'
    ):
        capacity.check_state(dataclasses.replace(setup, run=run))


def test_rows_that_surely_do_not_fit_are_refused_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = run_setup.prepare(make_run(train={'batch_size': 8}), make_cache(32))
    model = setup.run.model
    least = 8 * 32 * (5 * 4 + 2 * model.n_embd)
    room = capacity.state_bytes(setup) + least
    monkeypatch.setattr(memory, 'free', lambda _: room)
    capacity.check_state(setup)
    assert temporary_bytes(setup) > least  # so nothing that fits is refused
    monkeypatch.setattr(memory, 'free', lambda _: room - 1)
    with pytest.raises(errors.InputError, match='batch_size under 7') as caught:
        capacity.check_state(setup)
    assert '8 rows a step, 8 computed together' in str(caught.value)


def test_the_accumulation_that_a_refusal_names_fits_when_it_is_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {'n_layer': 1}
    wide = make_run(model=small, train={'batch_size': 32})
    setup = run_setup.prepare(wide, make_cache(32))
    needed, state = temporary_bytes(setup), capacity.state_bytes(setup)
    free = state + needed // 2
    monkeypatch.setattr(memory, 'free', lambda _: free)
    with pytest.raises(errors.InputError) as caught:
        capacity.check_step(setup, needed, has_state=False)
    assert f'and {free / 1e6:.1f} MB are free' in str(caught.value)
    named = re.search(r'--config.train.grad_accum_steps=(\d+)', str(caught.value))
    accumulated = {'batch_size': 32, 'grad_accum_steps': int(named[1])}
    finer = make_run(model=small, train=accumulated)
    setup = run_setup.prepare(finer, make_cache(32))
    capacity.check_step(setup, temporary_bytes(setup), has_state=False)
    # With the state on the device already, its bytes are not asked for twice.
    monkeypatch.setattr(memory, 'free', lambda _: needed)
    capacity.check_step(setup, needed, has_state=True)


def test_a_model_of_absurd_size_is_refused_before_it_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, 'free', lambda _: 10**12)
    run = make_run(model={'n_layer': 512, 'n_embd': 2**20})
    with pytest.raises(errors.InputError, match='has 6,755,406,556,692,480 parameters'):
        run_setup.prepare(run, make_cache(32))


def test_out_of_memory_is_told_with_what_ran_and_what_to_type() -> None:
    class JaxRuntimeError(RuntimeError):
        pass

    def evaluated() -> None:
        raise JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory\nallocating 9 bytes')

    setup = run_setup.prepare(make_run(train={'batch_size': 8}), make_cache(32))
    with pytest.raises(errors.InputError) as caught, capacity.told(setup):
        evaluated()
    assert str(caught.value) == (
        'the run was out of memory when it was evaluated, with 8 rows computed '
        'together (RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes). Try '
        '--config.train.grad_accum_steps=2, or --config.train.remat=block '
        '--config.model.scan_layers=true, or a smaller train.batch_size, or more '
        'devices (--config.mesh.fsdp).'
    )
    with pytest.raises(JaxRuntimeError, match='INTERNAL'), capacity.told(setup):
        raise JaxRuntimeError('INTERNAL: no')
