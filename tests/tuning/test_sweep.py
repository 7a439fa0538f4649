"""Halving, the judgement of a value, and the config that is recommended."""

import dataclasses
import math
import pathlib

import ml_collections
import numpy as np
import programs
import pytest

from hax_jax.config import convert, schema
from hax_jax.evaluation import evaluate
from hax_jax.program import config_flag
from hax_jax.tuning import recommended, search, sweep, trials


def result(loss: float, *, spread: float = 0.01) -> trials.Result:
    """12 pairs of 100 tokens around a loss; without pairs where it is infinite."""
    if np.isinf(loss):
        return trials.Result('x', 8, 0, True, 1.0, [])
    noise = np.random.default_rng(round(loss * 1e6)).normal(size=12) * spread
    noise -= noise.mean()
    pairs = [
        evaluate.PairScore(f'p{i}', 'a', answer=evaluate.Part(100 * (loss + x), 100))
        for i, x in enumerate(noise.tolist())
    ]
    return trials.Result('x', 8, 8, False, 1.0, pairs)


def judged(
    holds: float, others: dict[float, float], *, noise: float = 0.0
) -> sweep.Decision:
    return sweep.judge(
        sweep.Stage(sweep.RATE, tuple(others), (1.0,)),
        1e-3,
        result(holds),
        {value: result(loss) for value, loss in others.items()},
        groups={},
        noise=noise,
    )


def test_the_best_value_holds_where_it_is_surely_better() -> None:
    found = judged(3.0, {2e-3: 2.9, 4e-3: 2.8, 8e-3: np.inf})
    assert found.value == 4e-3
    assert found.gain == pytest.approx(0.2)
    assert found.sentence.startswith(
        'optimizer.learning_rate=0.004 instead of 0.001: 0.004 is better by 0.2000'
    )


def test_a_value_stays_where_others_are_worse_alike_or_within_the_noise() -> None:
    worse, alike = judged(3.0, {2e-3: 3.1}), judged(3.0, {2e-3: 2.9999})
    noisy = judged(3.0, {2e-3: 2.9}, noise=0.15)
    gone = judged(3.0, {2e-3: np.inf})
    assert [each.value for each in (worse, alike, noisy, gone)] == [1e-3] * 4
    assert 'no difference can be told: 0.001 minus 0.002 is +0.0001' in alike.sentence
    assert 'no more than the 0.1500 between two seeds' in noisy.sentence
    assert 'all others diverged' in gone.sentence


def test_half_of_the_values_go_on_and_each_rung_is_longer() -> None:
    asked: list[tuple[float, float]] = []

    def train(value: float, share: float) -> trials.Result:
        asked.append((value, share))
        return result(value)  # the lower the value, the better

    stage = sweep.Stage(sweep.RATE, (1.0, 2.0, 3.0, 4.0, 5.0), (0.25, 0.5, 1.0))
    found, last = sweep.run_stage(stage, 6.0, train, groups={}, noise=0.0)
    rungs = [[v for v, share in asked if share == rung] for rung in stage.rungs]
    assert rungs == [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2, 6]]
    assert (found.before, found.value) == (6.0, 1.0)
    assert last.keys() == {1.0, 2.0, 6.0}
    assert sum(share for _, share in asked) == stage.cost()
    assert len(asked) == stage.num_trials() == sweep.num_trials([stage]) - 1


def test_rates_that_lie_close_are_tried_once() -> None:
    rates, decay, questions, epochs = sweep.stages(
        rate=1e-3, suggested=1.1e-3, decay=0.1, question_weight=0.0
    )
    assert rates.values == (3.3e-4 + 4e-5, 3.3e-3)
    assert decay.values == (0.0, 0.3)
    assert questions.values == (0.1, 0.5)
    assert epochs.values == (0.5, 2.0)


@pytest.mark.parametrize('rate', [1e-6, 1e-3, 0.5])
def test_tune_knows_without_jax_how_many_runs_the_rates_take(rate: float) -> None:
    stages = sweep.stages(
        rate=rate, suggested=100 * rate, decay=0.1, question_weight=0.5
    )
    source = (programs.ROOT / 'launch/tune.py').read_text()
    assert f'\n_RATE_RUNS = {sweep.num_runs(stages[:1])}  #' in source


def test_a_bound_on_steps_makes_trials_shorter_then_leaves_stages_out() -> None:
    stages = sweep.stages(rate=1e-3, suggested=0.1, decay=0.1, question_weight=0.0)
    runs = sweep.num_runs(stages)
    assert sweep.affordable(stages, 100, 0) == (stages, 100)
    assert sweep.affordable(stages, 100, math.ceil(runs * 100)) == (stages, 100)
    # Epochs of a shorter run say nothing of the whole run's.
    without = stages[:-1]
    half = math.ceil(sweep.num_runs(without) * 50)
    assert sweep.affordable(stages, 100, half) == (without, 50)
    kept, steps = sweep.affordable(stages, 100, 200)
    assert kept == stages[: len(kept)]
    assert len(kept) < len(stages)
    assert steps * sweep.num_runs(kept) <= 200


def base() -> schema.Config:
    config = schema.Config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, path='a "quoted"\\path'),
        model=dataclasses.replace(config.model, pretrained='gpt2'),
        lora=dataclasses.replace(config.lora, rank=4, targets=('attn.c_attn',)),
        optimizer=dataclasses.replace(
            config.optimizer, learning_rate=1e-3, final_learning_rate=1e-4
        ),
        train=dataclasses.replace(config.train, num_epochs=3.0),
    )


def test_the_recommended_file_gives_the_recommended_config(
    tmp_path: pathlib.Path,
) -> None:
    wanted = sweep.recommended(
        base(), {sweep.RATE: 2e-3, sweep.DECAY: 0.0, sweep.EPOCHS: 2.0}
    )
    assert wanted.optimizer.learning_rate == 2e-3
    assert wanted.optimizer.final_learning_rate == pytest.approx(2e-4)
    assert wanted.train.num_epochs == 6.0
    file = tmp_path / 'recommended.py'
    file.write_text(recommended.text(wanted, said=['A """quote""" \\', 'and more']))
    flag = config_flag.ConfigFlag(
        schema.Config, 'x', 'configs/gpt2_full.py', '', '', ''
    )
    draft = flag.load(str(file))
    assert isinstance(draft, ml_collections.ConfigDict)
    assert convert.freeze(draft) == wanted


def test_the_recommended_warm_up_is_the_share_that_was_tried() -> None:
    run = dataclasses.replace(
        base(),
        optimizer=dataclasses.replace(base().optimizer, warmup_steps=20),
        train=dataclasses.replace(base().train, num_epochs=0.0, num_steps=31),
    )
    half = sweep.recommended(run, {sweep.EPOCHS: 0.5})
    assert (half.train.num_steps, half.optimizer.warmup_steps) == (16, 10)
    assert list(half.conflicts()) == []  # 20 steps of warm-up are over 16


def test_a_trial_warms_up_for_the_share_of_its_own_run() -> None:
    run = dataclasses.replace(
        base(), optimizer=dataclasses.replace(base().optimizer, warmup_steps=20)
    )
    made = trials.config_of(run, num_steps=50, full_steps=200, train__seed=3)
    assert made.optimizer.warmup_steps == 0
    assert made.optimizer.warmup_share == 0.1
    assert (made.train.num_steps, made.train.num_epochs, made.train.seed) == (50, 0, 3)
    assert made.lora == run.lora


class _NoTrials:
    """Gives losses by formula: the best rate is 4e-3, decay and seed change little."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def run(self, label: str, config: schema.Config, cache: object) -> trials.Result:
        assert cache == f'rows {config.data.question_weight}'
        self.asked.append((label, config.train.num_steps))
        away = abs(math.log(config.optimizer.learning_rate / 4e-3))
        loss = 3 + 0.1 * away + 0.01 * (config.train.seed == 1)
        return result(loss - 0.002 * config.optimizer.weight_decay)


def test_a_search_adopts_what_is_better_and_carries_it_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = _NoTrials()
    run = sweep.recommended(base(), {sweep.RATE: 1e-3})
    stages = sweep.stages(rate=1e-3, suggested=4e-3, decay=0.1, question_weight=0.0)
    found = search.Search(
        train=done.run,
        run=run,
        rows_of=lambda data: f'rows {data.question_weight}',
        groups={},
        steps=100,
        full_steps=200,
    ).over(stages)
    assert found.values == {sweep.RATE: 4e-3}
    assert found.noise == pytest.approx(0.01)
    assert found.gain == pytest.approx(0.1 * math.log(4), abs=1e-6)
    assert found.sentence.startswith('the recommended is better than the config as it')
    assert capsys.readouterr().out.startswith('two seeds are 0.0100 nats apart\n')
    # Each later trial has the rate that was adopted.
    assert ('learning_rate 0.004, weight_decay 0.3', 50) in done.asked
    assert ('learning_rate 0.004, epochs 2', 200) in done.asked
    (last,) = (each for field, each in found.tried if field == sweep.EPOCHS)
    assert last.keys() == {0.5, 1.0, 2.0}
    total = sum(steps for _, steps in done.asked)
    # The stages' bound counts a full run of the value that holds anew in each.
    assert total <= 100 * (sweep.num_runs(stages) + 2)
