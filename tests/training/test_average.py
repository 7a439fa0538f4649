"""Averaged weights: numpy's mean of the plain ones, kept where they are better."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tiny_runs

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.evaluation import averaged, evaluate
from hax_jax.model import param_tree
from hax_jax.planning import planner
from hax_jax.runs import checkpoint, restore, saved_steps
from hax_jax.training import optimizer, resume, run_setup, train_loop

_STEPS, _K = 8, 3


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('rows') / 'rows')


def config(
    average: str, *, num_steps: int = _STEPS, **changes: object
) -> schema.Config:
    return tiny_runs.make_config(
        train__num_steps=num_steps,
        train__eval_every_steps=4,
        train__checkpoint_every_steps=1,
        train__keep_last=_STEPS,
        train__keep_best=0,
        train__average=average,
        train__average_steps=_K,
        optimizer__warmup_steps=0,
        **changes,
    )


def both(workdir: pathlib.Path, step: int) -> dict[str, dict[str, np.ndarray]]:
    """'plain' and 'average' -> the moving parameters of a step."""
    (info,) = (s for s in steps(workdir) if s.step == step)
    kept = checkpoint.load_part(info.path, checkpoint.PARAMS)
    other = checkpoint.load_part(info.path, checkpoint.OTHER)
    of = info.metadata['kept']
    return {of: kept, ({'plain', 'average'} - {of}).pop(): other}


def steps(workdir: pathlib.Path) -> list[saved_steps.StepInfo]:
    run = json.loads((workdir / 'run.json').read_text())
    return saved_steps.list_steps(workdir / 'checkpoints', run['id'])


def in_numpy(plain: list[np.ndarray], average: str) -> np.ndarray:
    """The average after the last of the plain weights, whose first is the start's."""
    if average == 'last_k':
        return np.mean(plain[-_K:], 0)
    made = plain[0]
    for step, value in enumerate(plain[1:], 1):
        made = made + max(1 / _K, 1 / step) * (value - made)
    return made


_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ('average', 'with_lora'),
    [
        ('ema', False),
        pytest.param('ema', True, marks=_SLOW),
        pytest.param('last_k', False, marks=_SLOW),
        pytest.param('last_k', True, marks=_SLOW),
    ],
)
def test_the_average_is_that_of_numpy_is_read_by_others_and_survives_a_stop(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    average: str,
    with_lora: bool,
) -> None:
    monkeypatch.setattr(averaged, 'choose', lambda *_: _KEPT)
    run = config(average)
    if with_lora:
        short = dataclasses.replace(run.train, num_steps=1, average='off')
        base = dataclasses.replace(run, train=short)
        run = tiny_runs.lora(run, tiny_runs.train(cache, tmp_path / 'base', base))
    whole = tiny_runs.train(cache, tmp_path / 'whole', run)
    every = [both(whole, step)['plain'] for step in range(1, _STEPS + 1)]
    found = both(whole, _STEPS)['average']
    assert found.keys() == every[0].keys()
    assert all(('lora' in name) == with_lora for name in found)
    for name, value in found.items():
        plain = [each[name] for each in every]
        wanted = in_numpy([plain[0], *plain], average)
        np.testing.assert_allclose(value, wanted, atol=1e-6, err_msg=name)
    read = restore.parameters(str(whole), step=_STEPS, adapter_only=with_lora)
    for name, value in read.items():
        np.testing.assert_array_equal(value, found[name])
    why = restore.find_step(whole, None).why
    # Before its last k steps, last_k has nothing to evaluate.
    assert why.startswith('the best validation loss of averaged') or average != 'ema'
    rows = tiny_runs.lines(whole, 'average')
    assert [row['step'] for row in rows] == ([4, 8] if average == 'ema' else [8])
    # Goes on from a step whose `params` is the average, as ema's fourth.
    cut = tmp_path / 'cut'
    shutil.copytree(whole, cut)
    for info in steps(cut):
        if info.step > 4:
            saved_steps.delete(info.path)
    begin = run_setup.Progress(4, 4 * run.train.batch_size, run.train.seed)
    again = run_setup.prepare(run, cache, begin=begin)
    train_loop.train(again, cut, allow_change=[])
    for part, tree in both(cut, _STEPS).items():
        for name, value in both(whole, _STEPS)[part].items():
            np.testing.assert_array_equal(tree[name], value)


_KEPT = averaged.Kept(True, 'as told', {'is_average': True})


@pytest.mark.parametrize(
    ('before', 'now', 'step', 'said'),
    [
        (12, 12, 12, False),
        (12, 24, 12, False),  # it begins anew at step 21
        (12, 15, 8, False),  # it has not begun: step 8 alone
        (12, 15, 12, True),  # it has steps 9 to 12, and 12 alone is wanted
        (12, 16, 12, False),
        (12, 9, 8, True),  # steps 6 and 7 are missing
        (3, 2, 2, False),  # all steps
    ],
)
def test_a_mean_of_other_steps_than_the_last_is_said(
    before: int, now: int, step: int, said: bool
) -> None:
    train = dataclasses.replace(config('last_k').train, average_steps=4)
    assert bool(resume.moved_mean(train, before, now, step=step)) == said
    off = dataclasses.replace(train, average='off')
    assert resume.moved_mean(off, before, now, step=step) == ''


def test_adapters_alone_are_averaged(cache: records.PackedCache) -> None:
    run = config('ema', lora__rank=4)
    state = run_setup.prepare(run, cache).blueprint.state
    names = param_tree.named(state.average).keys()
    assert names == param_tree.named(state.params).keys()
    assert all('lora' in name for name in names)


def score(loss: float, spread: float = 0.0) -> evaluate.Evaluation:
    pairs = [
        evaluate.PairScore(
            f'p{i}', 'a', answer=evaluate.Part(10 * (loss + spread * (-1) ** i), 10)
        )
        for i in range(10)
    ]
    return evaluate.Evaluation(loss, {}, pairs)


def test_an_average_is_kept_only_where_it_is_surely_better() -> None:
    better = averaged.choose(score(3.0), score(2.9))
    assert better.is_average
    assert 'the average is kept: the average is better by 0.1000' in better.sentence
    unsure = averaged.choose(score(3.0), score(2.99, spread=0.5))
    assert not unsure.is_average
    assert 'the plain weights are kept: no difference can be told' in unsure.sentence
    assert not averaged.choose(score(2.9), score(3.0)).is_average


@pytest.mark.slow
def test_without_the_average_now_the_plain_weights_go_on(
    cache: records.PackedCache, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averaged, 'choose', lambda *_: _KEPT)
    folders = {name: tmp_path / name for name in ('ema', 'off')}
    longer = config('off', num_steps=9, optimizer__schedule='constant')
    begin = run_setup.Progress(_STEPS, _STEPS * 8, longer.train.seed)
    for name, folder in folders.items():
        tiny_runs.train(cache, folder, config(name, optimizer__schedule='constant'))
        setup = run_setup.prepare(longer, cache, begin=begin)
        train_loop.train(setup, folder, allow_change=['train.average'])
    on, off = (restore.parameters(str(each), step=9) for each in folders.values())
    for name, value in on.items():
        np.testing.assert_array_equal(value, off[name])


def test_a_plan_counts_the_average_and_nothing_is_kept_when_it_is_off(
    cache: records.PackedCache,
) -> None:
    on, off = (run_setup.prepare(config(name), cache) for name in ('ema', 'off'))
    assert off.blueprint.state.average is None
    assert off.average_weight is None
    plans = planner.make_plan(on), planner.make_plan(off)
    assert plans[0].average_bytes == 4 * plans[0].trainable_parameters
    assert plans[1].average_bytes == 0
    more = plans[0].checkpoint_bytes - plans[1].checkpoint_bytes
    assert more == plans[0].average_bytes
    assert ', average ' in planner.render(plans[0])
    assert ', average ' not in planner.render(plans[1])
    state = on.blueprint.state
    moving, _ = on.blueprint.split_held(state.params)
    assert jax.tree.map(lambda x: x.sharding, state.average) == jax.tree.map(
        lambda x: x.sharding, moving
    )


def test_the_weights_of_steps() -> None:
    ema, last = (
        optimizer.average_weight(config(name).train, num_steps=_STEPS)
        for name in ('ema', 'last_k')
    )
    np.testing.assert_allclose([ema(s) for s in (1, 2, 3, 8)], [1, 1 / 2, 1 / 3, 1 / 3])
    np.testing.assert_allclose([last(s) for s in (1, 6, 7, 8)], [1, 1, 1 / 2, 1 / 3])


def test_an_average_that_would_be_rounded_is_refused() -> None:
    with pytest.raises(
        errors.InputError, match=r"train.average='ema' with train.param"
    ):
        config('ema', train__param_dtype='bfloat16')
