"""The loop: it learns, it goes on where it was, it refuses what is another run."""

import dataclasses
import pathlib
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

import forks
import jax
import numpy as np
import pytest
import tiny_runs

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.curves import measure_run, run_record
from hax_jax.data import records
from hax_jax.evaluation import saved_scores
from hax_jax.guards import stops
from hax_jax.report import page
from hax_jax.runs import origin, restore, run_folder, saved_steps
from hax_jax.training import (
    resume,
    run_setup,
    run_step,
    run_summary,
    starting,
    train_loop,
)

_ROOT = pathlib.Path(__file__).parents[2]
_CHILD = """
import pathlib, sys
import tiny_runs
from hax_jax.curves import measure_run, run_record
from hax_jax.data import records
from hax_jax.devices import runtime
from hax_jax.training import run_setup, train_loop
runtime.start()
cache, workdir, changes = sys.argv[1], pathlib.Path(sys.argv[2]), eval(sys.argv[3])
setup = run_setup.prepare(tiny_runs.make_config(**changes), records.open_cache(cache))
summary = train_loop.train(setup, workdir, allow_change=[])
sys.exit(128 + summary.stopped_by if summary.stopped_by else 0)
"""


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def train(
    cache: records.PackedCache,
    workdir: pathlib.Path,
    run: schema.Config | None = None,
    *,
    allow_change: list[str] | None = None,
    **changes: object,
) -> run_summary.Summary:
    setup = run_setup.prepare(run or tiny_runs.make_config(**changes), cache)
    return train_loop.train(setup, workdir, allow_change=allow_change or [])


def losses(workdir: pathlib.Path) -> list[tuple[int, float, float]]:
    return [
        (r['step'], r['loss'], r['grad_norm'])
        for r in tiny_runs.lines(workdir, 'train')
    ]


def parameters(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    return restore.load_base(str(workdir), step=30).parameters


@pytest.fixture(scope='module')
def whole(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 30 steps that nothing stopped."""
    workdir = tmp_path_factory.mktemp('runs') / 'whole'
    train(cache, workdir)
    return workdir


@pytest.fixture(scope='module')
def short(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 10 steps; tests that go on with it copy it."""
    workdir = tmp_path_factory.mktemp('runs') / 'short'
    train(cache, workdir, train__num_steps=10)
    return workdir


def test_a_planted_regularity_is_learned(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    summary = train(
        cache,
        tmp_path,
        model__n_layer=2,
        train__num_steps=300,
        train__eval_every_steps=100,
        train__checkpoint_every_steps=300,
    )
    # Who sees only the token before cannot do better than this on the same split.
    bound = tiny_runs.bigram_entropy(cache, 'validation')
    assert summary.best_validation_loss < bound
    assert summary.unigram_entropy > bound


def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / 'stopped'
    # No checkpoint is due before the end: what is saved, the signal saved.
    changes = {'train__checkpoint_every_steps': 30, 'train__eval_every_steps': 30}
    child = child_process(cache, workdir, **changes)
    while child.poll() is None and num_lines(workdir) < 4:
        time.sleep(0.01)
    child.terminate()
    code = child.wait(timeout=120)
    assert code == 128 + signal.SIGTERM
    assert [info.step for info in steps(workdir)] == [len(losses(workdir))]
    assert train(cache, workdir, **changes).step == 30
    assert losses(workdir) == losses(whole)
    assert bit_equal(parameters(workdir), parameters(whole))


def test_the_step_is_compiled_while_the_state_is_made(
    cache: records.PackedCache, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_of, first_state = run_step.step_of, starting.first_state
    is_compiled = threading.Event()

    def compiling(setup: run_setup.Setup) -> Any:
        made = step_of(setup)
        is_compiled.set()
        return made

    def patient(*given: Any) -> Any:
        assert is_compiled.wait(300)
        return first_state(*given)

    monkeypatch.setattr(run_step, 'step_of', compiling)
    monkeypatch.setattr(starting, 'first_state', patient)
    assert train(cache, tmp_path / 'run', train__num_steps=6).trained_steps == 6


def test_a_finished_run_does_nothing_more(
    cache: records.PackedCache, whole: pathlib.Path
) -> None:
    before = (whole / 'metrics.jsonl').read_text()
    summary = train(cache, whole)
    assert summary.step == summary.num_steps == 30
    assert (whole / 'metrics.jsonl').read_text() == before


def test_a_finished_run_can_be_made_longer(
    cache: records.PackedCache, short: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = shutil.copytree(short, tmp_path / 'longer')
    assert train(cache, workdir, train__num_steps=15).step == 15
    changed = run_folder.read_run(workdir)['changes']
    assert changed == ['train.num_steps: 10 -> 15']


def test_a_run_that_lost_its_end_and_is_made_longer_is_judged_by_its_newest_call(
    cache: records.PackedCache, short: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = shutil.copytree(short, tmp_path / 'longer')
    *_, kept, last = sorted(
        (workdir / 'checkpoints').iterdir(), key=lambda p: len(p.name)
    )
    shutil.rmtree(last)
    train(cache, workdir, train__num_steps=15)
    calls = [(r['step'], r['num_steps']) for r in tiny_runs.lines(workdir, 'call')]
    assert calls == [(0, 10), (int(kept.name), 15)]
    told = measure_run.measure(run_record.read(str(workdir)))
    assert told['rate_off_step'] > int(kept.name)
    assert abs(told['rate_off']) < 1e-6


@pytest.mark.parametrize(
    ('then', 'now', 'said'),
    [
        ({'path': '/a', 'hash': '1'}, {}, "from '/a', and .* asks for no model"),
        ({}, {'path': '/b', 'hash': '2'}, "from no model, and .* asks for '/b'"),
    ],
)
def test_a_run_of_another_base_is_named_with_both(
    then: dict[str, str], now: dict[str, str], said: str
) -> None:
    config = tiny_runs.make_config()
    rest = {'tokenizer': 't', 'template': 't', 'dataset': 'd'}
    with pytest.raises(errors.InputError, match=f'the run was started {said}'):
        resume.check_identity({**rest, 'base': then}, {**rest, 'base': now}, config)


def test_a_run_is_not_made_shorter_than_it_is(
    cache: records.PackedCache, whole: pathlib.Path
) -> None:
    before = tree(whole)
    with pytest.raises(errors.InputError, match='has done 30 steps already'):
        train(cache, whole, train__num_steps=20)
    with pytest.raises(errors.InputError, match=r'raise train\.num_steps too'):
        train(cache, whole, train__seed=1, allow_change=['train.seed'])
    assert tree(whole) == before


def test_evaluation_does_not_disturb_training(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(cache, tmp_path, train__eval_every_steps=3)
    assert losses(tmp_path) == losses(whole)


def test_evaluation_is_bit_equal_when_repeated(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(cache, tmp_path)
    first, second = (
        tiny_runs.lines(whole, 'evaluation'),
        tiny_runs.lines(tmp_path, 'evaluation'),
    )
    assert first == second


def test_the_step_before_training_scores_as_untrained_weights_do(
    whole: pathlib.Path,
) -> None:
    first = tiny_runs.lines(whole, 'evaluation')[0]
    assert first['step'] == 0
    assert 'loss' not in first  # which is the training loss
    assert abs(first['eval_loss'] - np.log(tiny_runs.VOCAB)) < 0.3


def test_the_best_step_leaves_its_validation_scores(whole: pathlib.Path) -> None:
    scores = saved_scores.read(whole)
    rows = tiny_runs.lines(whole, 'evaluation')[1:]
    best = min(rows, key=lambda row: row['eval_loss'])
    assert scores.step == best['step']
    nats = sum(pair.answer.nats for pair in scores.pairs)
    tokens = sum(pair.answer.tokens for pair in scores.pairs)
    answers = best['by']['all']['answer']
    assert tokens == answers['tokens']
    assert nats / tokens == pytest.approx(answers['nll'], rel=1e-12)


def test_lora_on_a_run_keeps_the_base_bit_for_bit(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = tiny_runs.lora(tiny_runs.make_config(train__num_steps=10), whole)
    run, _ = origin.resolve(run)
    train(cache, tmp_path, run)
    best = restore.by_worth(steps(whole))[0].step
    base = restore.load_base(str(whole), step=best)
    assert run_folder.read_run(tmp_path)['base'] == {
        'path': str(whole),
        'step': best,
        'hash': base.hash,
    }
    # The first evaluation is of the base: an adapter begins as the identity.
    assert tiny_runs.lines(tmp_path, 'evaluation')[0]['eval_loss'] == pytest.approx(
        min(s.validation_loss for s in steps(whole) if s.validation_loss), abs=1e-6
    )
    merged = restore.load_base(str(tmp_path)).parameters
    changed = {n for n in merged if not np.array_equal(merged[n], base.parameters[n])}
    assert changed == {
        f'h.0.{layer}.kernel'
        for layer in ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
    }


def test_a_lora_run_goes_on_bit_for_bit(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = tiny_runs.make_config(train__num_steps=10, optimizer__warmup_steps=2)
    run, _ = origin.resolve(tiny_runs.lora(run, whole))
    train(cache, tmp_path / 'whole', run)
    # A run of 10 steps that lost what came after step 5.
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut')
    remove_checkpoint(tmp_path / 'cut', 10)
    train(cache, tmp_path / 'cut', run)
    assert losses(tmp_path / 'cut') == losses(tmp_path / 'whole')
    assert bit_equal(
        restore.load_base(str(tmp_path / 'cut'), step=10).parameters,
        restore.load_base(str(tmp_path / 'whole'), step=10).parameters,
    )


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'model__n_layer': 2}, 'model.n_layer: 1 -> 2'),
        ({'lora__rank': 4}, 'lora.rank: 0 -> 4'),
        ({'optimizer__learning_rate': 1e-3}, '--allow_change=optimizer.learning_rate'),
        ({'train__batch_size': 16}, '--allow_change=train.batch_size'),
        (
            {'optimizer__learning_rate': 1e-3, 'optimizer__b2': 0.9},
            '--allow_change=optimizer.learning_rate,optimizer.b2',
        ),
        ({'optimizer__clip_norm': 0.0}, 'the moments are stored otherwise'),
    ],
)
def test_going_on_as_another_run_is_refused_by_name(
    cache: records.PackedCache, whole: pathlib.Path, changes: dict[str, Any], named: str
) -> None:
    before = tree(whole)
    with pytest.raises(errors.InputError) as error:
        train(cache, whole, **changes)
    assert named in str(error.value)
    setup = run_setup.prepare(tiny_runs.make_config(**changes), cache)
    with pytest.raises(errors.InputError) as planned:
        starting.check(setup, whole, base='', allow_change=[])
    assert str(planned.value) == str(error.value)
    assert tree(whole) == before


def test_a_change_that_helps_nothing_is_not_offered(
    cache: records.PackedCache, whole: pathlib.Path
) -> None:
    run = tiny_runs.make_config(lora__rank=4, optimizer__b2=0.9)
    with pytest.raises(errors.InputError, match='another value is another') as error:
        starting.check_config(run, whole, [])  # before rows are packed
    assert 'optimizer.b2' in str(error.value)
    assert '--allow_change' not in str(error.value)
    sizes = tiny_runs.make_config(model__vocab_size=0)  # of its tokenizer, not known
    starting.check_config(sizes, whole, [])


def test_a_change_that_is_allowed_is_recorded(
    cache: records.PackedCache, short: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = shutil.copytree(short, tmp_path / 'changed')
    train(
        cache,
        workdir,
        train__num_steps=12,
        train__batch_size=16,
        allow_change=['train.batch_size'],
    )
    assert run_folder.read_run(workdir)['changes'] == [
        'train.num_steps: 10 -> 12',
        'train.batch_size: 8 -> 16',
    ]


def test_a_field_that_may_never_change_is_not_allowed(
    cache: records.PackedCache, whole: pathlib.Path
) -> None:
    with pytest.raises(errors.InputError, match=r'model\.n_layer: this may never'):
        train(cache, whole, model__n_layer=2, allow_change=['model.n_layer'])
    with pytest.raises(errors.InputError, match=r'did you mean train\.batch_size'):
        train(cache, whole, allow_change=['train.batchsize'])


def test_other_data_tokenizer_or_template_is_refused_by_name(
    whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tiny_runs.write_cache(tmp_path / 'other', num_train=119)
    with pytest.raises(errors.InputError, match='the dataset is not the one'):
        train(other, whole)
    meta = {**other.meta, 'tokenizer': 'another'}
    with pytest.raises(errors.InputError, match='the tokenizer is not the one'):
        train(dataclasses.replace(other, meta=meta), whole)
    meta = {**other.meta, 'template': 'another'}
    with pytest.raises(errors.InputError, match='the prompt template is not the one'):
        train(dataclasses.replace(other, meta=meta), whole)


def test_another_base_is_refused_and_a_moved_one_found(
    cache: records.PackedCache, short: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(short, tmp_path / 'base')
    train(cache, tmp_path / 'other', train__num_steps=10, train__seed=1)
    run = tiny_runs.make_config(train__num_steps=6)
    resolved, _ = origin.resolve(tiny_runs.lora(run, tmp_path / 'base'))
    train(cache, tmp_path / 'lora', resolved)
    stranger, _ = origin.resolve(tiny_runs.lora(run, tmp_path / 'other'))
    with pytest.raises(errors.InputError, match='is not the base that'):
        train(cache, tmp_path / 'lora', stranger)
    # A run that is refused before it began leaves no folder.
    gone = dataclasses.replace(run.model, pretrained=str(tmp_path / 'none'))
    with pytest.raises(errors.InputError, match='not a folder'):
        train(cache, tmp_path / 'new', dataclasses.replace(run, model=gone))
    assert not (tmp_path / 'new').exists()
    moved = tmp_path / 'moved'
    (tmp_path / 'base').rename(moved)
    with pytest.raises(errors.InputError, match='--base=PATH'):
        restore.load_base(str(tmp_path / 'lora'))
    restore.load_run_base(tmp_path / 'lora', base=str(moved))
    resolved, _ = origin.resolve(tiny_runs.lora(run, moved))
    assert train(cache, tmp_path / 'lora', resolved).step == 6
    restore.load_base(str(tmp_path / 'lora'))  # the new place is recorded


def test_targets_shifted_twice_stop_the_run_before_its_first_step(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    broken = tiny_runs.write_cache(tmp_path / 'broken')
    targets = np.array(broken.features('train')['targets'])
    targets[:, :-1] = targets[:, 1:]
    np.save(broken.path / 'train' / 'targets.npy', targets)
    with pytest.raises(errors.InputError, match='targets are not the next inputs'):
        train(broken, tmp_path / 'run')
    assert steps(tmp_path / 'run') == []


def test_a_rate_that_ruins_the_weights_saves_none_of_them(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    """The first step scores well and leaves weights of 1e5: no loss has shown it."""
    changes = {'optimizer__learning_rate': 1e6, 'train__checkpoint_every_steps': 1}
    with pytest.raises(stops.DivergedError, match='no step is saved yet') as error:
        train(cache, tmp_path, **changes)
    assert (error.value.step, error.value.saved) == (1, None)
    assert steps(tmp_path) == []
    written, _ = page.write([str(tmp_path)])  # it is reported from its figures
    assert 'no checkpoint is there' in written.read_text()


def test_a_base_that_would_not_be_read_is_refused(
    cache: records.PackedCache, short: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = tiny_runs.make_config(train__num_steps=6)
    setup = run_setup.prepare(run, cache)
    with pytest.raises(errors.InputError, match=r'model\.pretrained is not set'):
        starting.check(setup, tmp_path, base='elsewhere', allow_change=[])
    resolved, _ = origin.resolve(tiny_runs.lora(run, short))
    setup = run_setup.prepare(resolved, cache)
    with pytest.raises(errors.InputError, match=r'give --config\.model\.pretrained=el'):
        starting.check(setup, tmp_path, base='elsewhere', allow_change=[])
    starting.check(setup, tmp_path, base=str(short), allow_change=[])


def test_another_base_is_named_where_it_can_not_be_the_runs(
    cache: records.PackedCache,
    whole: pathlib.Path,
    short: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    run = tiny_runs.make_config(train__num_steps=2, optimizer__warmup_steps=0)
    run, _ = origin.resolve(tiny_runs.lora(run, whole))
    train(cache, tmp_path, run)
    other, _ = origin.resolve(tiny_runs.lora(run, short))
    setup = run_setup.prepare(other, cache)
    with pytest.raises(errors.InputError, match=f'-> {str(short)!r}, which is not the'):
        starting.check(setup, tmp_path, base='', allow_change=[])


def test_two_programs_do_not_write_one_run(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    child = child_process(cache, tmp_path, train__num_steps=100_000)
    try:
        while child.poll() is None and num_lines(tmp_path) < 2:
            time.sleep(0.01)
        with pytest.raises(errors.InputError, match='is writing'):
            train(cache, tmp_path)
    finally:
        child.kill()
        child.wait(timeout=60)


def test_the_last_checkpoints_and_the_best_are_kept(whole: pathlib.Path) -> None:
    settings = tiny_runs.make_config().train
    assert (settings.keep_last, settings.keep_best) == (2, 1)
    kept = steps(whole)
    rows = tiny_runs.lines(whole, 'evaluation')[1:]
    evaluated = {row['step']: row['eval_loss'] for row in rows}
    best = min(evaluated, key=evaluated.get)
    assert {s.step for s in kept} == {25, 30, best}


def test_the_best_are_kept_wherever_they_lie(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    train(
        cache,
        tmp_path,
        train__num_steps=9,
        train__eval_every_steps=1,
        train__checkpoint_every_steps=100,
        train__keep_last=1,
        train__keep_best=3,
        optimizer__schedule='constant',
        optimizer__learning_rate=0.2,  # so that losses go up and down
    )
    rows = tiny_runs.lines(tmp_path, 'evaluation')[1:]
    assert len(rows) == 9
    ranked = sorted(rows, key=lambda row: (row['eval_loss'], row['step']))
    assert [row['step'] for row in ranked[:3]] != [7, 8, 9]
    best = {row['step'] for row in ranked[:3]}
    assert {s.step for s in steps(tmp_path)} == best | {9}


def test_num_epochs_counts_the_rows(cache: records.PackedCache) -> None:
    setup = run_setup.prepare(
        tiny_runs.make_config(train__num_steps=0, train__num_epochs=2.5), cache
    )
    rows = cache.num_rows('train')
    assert setup.num_steps == -(-int(2.5 * rows * 2) // 16)


def test_dropout_follows_the_step_so_a_cut_run_is_bit_equal(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    # Two layers, each with draws and a place in the checkpoint of its own.
    changes = {'train__num_steps': 10, 'model__resid_pdrop': 0.1, 'model__n_layer': 2}
    train(cache, tmp_path / 'whole', **changes)
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut')
    remove_checkpoint(tmp_path / 'cut', 10)
    train(cache, tmp_path / 'cut', **changes)
    assert losses(tmp_path / 'cut') == losses(tmp_path / 'whole')


def child_process(
    cache: records.PackedCache, workdir: pathlib.Path, **changes: object
) -> subprocess.Popen[str]:
    given = cache.path, workdir, repr(changes)
    return forks.start('-c', _CHILD, *given, stdout=subprocess.DEVNULL, stderr=None)


def num_lines(workdir: pathlib.Path) -> int:
    path = workdir / 'metrics.jsonl'
    return path.read_bytes().count(b'\n') if path.exists() else 0


def steps(workdir: pathlib.Path) -> list[saved_steps.StepInfo]:
    begun = (workdir / 'run.json').exists()
    run_id = run_folder.read_run(workdir)['id'] if begun else 'none'
    return saved_steps.list_steps(workdir / 'checkpoints', run_id)


def remove_checkpoint(workdir: pathlib.Path, step: int) -> None:
    """As if the run had been killed before this step was saved."""
    folder = workdir / 'checkpoints' / str(step)
    for path in sorted(folder.rglob('*'), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def tree(folder: pathlib.Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def bit_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))
