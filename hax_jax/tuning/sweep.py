"""Which value of a field is best: halving by the loss, judged pair by pair.

Source: Jamieson, Talwalkar 2016, Non-stochastic Best Arm Identification,
arXiv:1502.07943 (successive halving). Each rung trains with a schedule of its own that
ends there, so that no rate is judged before it has come down.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hax_jax.config import convert, schema
from hax_jax.evaluation import paired
from hax_jax.tuning import trials as trials_lib

EPOCHS = 'train.epochs'
RATE = 'optimizer.learning_rate'
DECAY = 'optimizer.weight_decay'
QUESTIONS = 'data.question_weight'
_APART = 1.25  # rates closer than that are one candidate
_RATE_RUNGS, _RUNGS = (0.25, 0.5, 1.0), (0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A field, the values to try beside the one that holds, and its rungs.

    `rungs` are shares of the full length; after each but the last, half of the values
    go on. Of 'train.epochs' the values are factors of the length.
    """

    field: str
    values: tuple[float, ...]
    rungs: tuple[float, ...]

    def cost(self) -> float:
        """Runs of full length, at most; the value that holds may be trained already."""
        if self.field == EPOCHS:
            return 1 + sum(self.values)
        return 1 + sum(
            n * share for n, share in zip(self._left(), self.rungs, strict=True)
        )

    def num_trials(self) -> int:
        """How many runs `cost` counts, whatever their lengths."""
        return 1 + sum(self._left())

    def _left(self) -> list[int]:
        """How many values each rung trains."""
        left = [len(self.values)]
        while len(left) < len(self.rungs):
            left.append(-(-left[-1] // 2))
        return left


@dataclasses.dataclass(frozen=True)
class Decision:
    """`value` is the one that holds from here on.

    `gain` is over `before`, in nats; 0.0 where nothing changes or `before` diverged.
    """

    field: str
    before: float
    value: float
    gain: float
    sentence: str


def stages(
    *, rate: float, suggested: float, decay: float, question_weight: float
) -> list[Stage]:
    """What is tried, in the order of what it gives: the rate first."""
    wanted = [suggested / 3, suggested, suggested * 3, rate / 3, rate * 3]
    others: list[float] = []
    for value in wanted:
        known = [rate, *others]
        if all(max(value / each, each / value) > _APART for each in known):
            others.append(float(f'{value:.2g}'))
    return [
        Stage(RATE, tuple(sorted(others)), _RATE_RUNGS),
        Stage(DECAY, _other(decay, (0.0, 0.1, 0.3)), _RUNGS),
        Stage(QUESTIONS, _other(question_weight, (0.0, 0.1, 0.5)), _RUNGS),
        Stage(EPOCHS, (0.5, 2.0), (1.0,)),
    ]


def _other(own: float, values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(value for value in values if value != own)[:2]


def affordable(
    planned: Sequence[Stage], full_steps: int, max_steps: int
) -> tuple[list[Stage], int]:
    """(stages, steps of a trial of full length) within `max_steps`; 0 is no bound.

    Trials become shorter, down to a quarter of the run; then the last stages go. Where
    they are shorter, epochs are not tried: twice as many of a short run say nothing of
    twice as many of the whole one.
    """
    kept = list(planned)
    if not max_steps or max_steps >= full_steps * num_runs(kept):
        return kept, full_steps
    kept = [stage for stage in kept if stage.field != EPOCHS]
    while True:
        steps = min(full_steps, int(max_steps / num_runs(kept)))
        if 4 * steps >= full_steps or len(kept) == 1:
            return kept, steps
        kept.pop()


def num_runs(planned: Sequence[Stage]) -> float:
    """Runs of full length that the stages take, at most, with the second seed's."""
    return 1 + sum(stage.cost() for stage in planned)


def num_trials(planned: Sequence[Stage]) -> int:
    """How many runs `num_runs` counts, whatever their lengths."""
    return 1 + sum(stage.num_trials() for stage in planned)


def with_values(
    run: schema.Config, values: Mapping[str, float]
) -> tuple[schema.Config, float]:
    """(the config with these values of stages, the factor of its length).

    The learning rate's floor keeps its share of the rate.
    """
    made = convert.to_dict(run)
    for name, value in values.items():
        section, _, field = name.partition('.')
        if name == RATE:
            share = value / run.optimizer.learning_rate
            made['optimizer']['final_learning_rate'] *= share
        if name != EPOCHS:
            made[section][field] = value
    return convert.from_dict(made), values.get(EPOCHS, 1.0)


def recommended(run: schema.Config, values: Mapping[str, float]) -> schema.Config:
    """The config with these values, its length too; the warm-up keeps its share."""
    made, factor = with_values(run, values)
    train = dataclasses.replace(
        made.train,
        num_steps=math.ceil(made.train.num_steps * factor),
        num_epochs=made.train.num_epochs * factor,
    )
    warmup = int(made.optimizer.warmup_steps * factor)
    tuned = dataclasses.replace(made.optimizer, warmup_steps=warmup)
    return dataclasses.replace(made, train=train, optimizer=tuned)


def better_half(results: Mapping[float, trials_lib.Result]) -> list[float]:
    """The values of the lower losses, half of them rounded up; no diverged one."""
    order = sorted(results, key=lambda value: results[value].loss)
    kept = order[: -(-len(order) // 2)]
    return [value for value in kept if math.isfinite(results[value].loss)]


def judge(
    stage: Stage,
    before: float,
    holds: trials_lib.Result,
    challengers: Mapping[float, trials_lib.Result],
    *,
    groups: Mapping[str, str],
    noise: float,
) -> Decision:
    """Whether the best challenger takes the place of the value that holds.

    It must be better by both intervals of the paired difference, and by more than the
    `noise` of a seed.
    """
    name = stage.field
    finite = {v: r for v, r in challengers.items() if math.isfinite(r.loss)}
    if not finite:
        return Decision(
            name, before, before, 0.0, f'{name}={before:g} stays: all others diverged'
        )
    value = min(finite, key=lambda each: finite[each].loss)
    if not holds.pairs:
        said = f'{name}={value:g} instead of {before:g}, which diverged'
        return Decision(name, before, value, 0.0, said)
    found = paired.compare(
        holds.pairs, finite[value].pairs, same_tokenizer=True, groups=groups
    ).by['all']
    words = paired.in_words(found).replace('A minus B', f'{before:g} minus {value:g}')
    words = words.replace('B is', f'{value:g} is').replace('A is', f'{before:g} is')
    if found.better == 'B' and found.mean > noise:
        return Decision(
            name,
            before,
            value,
            found.mean,
            f'{name}={value:g} instead of {before:g}: {words}',
        )
    if found.better == 'B':
        words = f'{words}, no more than the {noise:.4f} between two seeds'
    return Decision(name, before, before, 0.0, f'{name}={before:g} stays: {words}')


def run_stage(
    stage: Stage,
    before: float,
    train: Callable[[float, float], trials_lib.Result],
    **judging: Any,
) -> tuple[Decision, dict[float, trials_lib.Result]]:
    """Trains the stage's trials; (what holds then, the last rung's results).

    `train(value, share)` gives the trial of a value with that share of the full length;
    `judging` is `judge`'s groups and noise.
    """
    left: Sequence[float] = stage.values
    results: dict[float, trials_lib.Result] = {}
    for rung, share in enumerate(stage.rungs):
        results = {value: train(value, share) for value in left}
        if rung < len(stage.rungs) - 1:
            left = better_half(results)
    holds = train(before, 1.0)
    decision = judge(stage, before, holds, results, **judging)
    return decision, {before: holds, **results}
