"""What a config asks for, worked out a second time and apart from what trains by it."""

import math

from hax_jax.config import schema

_POINTS = 9


def steps(settings: schema.OptimizerConfig, *, num_steps: int) -> list[int]:
    """A few steps from the first to the last, and the one at which warm-up ends."""
    last = num_steps - 1
    evenly = {round(i * last / (_POINTS - 1)) for i in range(_POINTS)}
    return sorted({*evenly, min(_warmup(settings, num_steps), last)})


def rates(settings: schema.OptimizerConfig, *, num_steps: int) -> dict[str, float]:
    """The learning rate at those steps, by the step."""
    return {
        str(step): rate(settings, step, num_steps=num_steps)
        for step in steps(settings, num_steps=num_steps)
    }


def rate(settings: schema.OptimizerConfig, step: int, *, num_steps: int) -> float:
    """The rate of a step, as README gives the schedules.

    Source: the docstring of training/optimizer.schedule has the formulas.
    """
    peak, floor = settings.learning_rate, settings.final_learning_rate
    warmup = _warmup(settings, num_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(num_steps - warmup, 1)
    if settings.schedule == 'constant':
        return peak
    if settings.schedule == 'linear':
        return peak + (floor - peak) * share
    if settings.schedule == 'cosine':
        return floor + (peak - floor) * (1 + math.cos(math.pi * share)) / 2
    if settings.schedule == 'inverse_sqrt':
        return max(floor, peak * math.sqrt((warmup + 1) / (step + 1)))
    decay = max(1, round(settings.decay_share * num_steps))
    return peak + (floor - peak) * max(0, step - (num_steps - decay)) / decay


def _warmup(settings: schema.OptimizerConfig, num_steps: int) -> int:
    return settings.warmup_steps or round(settings.warmup_share * num_steps)
