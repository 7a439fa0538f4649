"""A learning-rate range test: the rate rises with each step, on a copy of the start.

Source: Smith 2017, Cyclical Learning Rates, arXiv:1506.01186, 3.3 (the test); fastai's
lr_find, whose `minimum` is a tenth of the rate at the lowest smoothed loss.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hax_jax.runs import restore
from hax_jax.training import capacity, optimizer, run_setup, run_step
from hax_jax.training import train_state as ts

# From far too low to far too high. The best rates of adapters lie ten times higher
# (Biderman et al. 2024, LoRA Learns Less and Forgets Less, arXiv:2405.09673).
_FULL, _LORA = (1e-6, 0.3), (1e-5, 3.0)
_KEPT = 0.9  # of the smoothed loss, each step
_DIVERGED = 1.5  # times the lowest smoothed loss


@dataclasses.dataclass(frozen=True)
class Choice:
    """`rate` to begin a sweep at; the smoothed loss is lowest at `at_lowest`.

    `diverged` is the rate at which the test ended, None if it reached its end.
    """

    rate: float
    at_lowest: float
    diverged: float | None


def bounds(lora_rank: int) -> tuple[float, float]:
    """(lowest, highest) rate of the test."""
    return _LORA if lora_rank else _FULL


def rates(low: float, high: float, steps: int) -> np.ndarray:
    """The rate of each step [steps]: 1e-6 to 1 in 3 steps is 1e-6, 1e-3, 1."""
    return np.geomspace(low, high, steps)


def smoothed(losses: Sequence[float]) -> list[float]:
    """Means that forget a tenth each step: [4, 2] -> [4, (0.9 * 4 + 2) / 1.9]."""
    out, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = _KEPT * total + loss, _KEPT * weight + 1.0
        out.append(total / weight)
    return out


def diverged(losses: Sequence[float]) -> bool:
    """Whether the last smoothed loss is far over the lowest, or no number."""
    if not math.isfinite(losses[-1]):
        return True
    means = smoothed(losses)
    return means[-1] > _DIVERGED * min(means)


def choose(used: Sequence[float], losses: Sequence[float]) -> Choice:
    """The choice from the rates of the steps and their losses, equally many."""
    over = diverged(losses)
    finite = [loss for loss in losses if math.isfinite(loss)]
    means = smoothed(finite)
    at_lowest = float(used[int(np.argmin(means))]) if means else float(used[0])
    last = float(used[len(losses) - 1])
    return Choice(at_lowest / 10, at_lowest, last if over else None)


def run(
    setup: run_setup.Setup,
    *,
    steps: int,
    on_step: Callable[[float], Any] = lambda _: None,
) -> tuple[list[float], list[float]]:
    """(rates, losses) of the steps until the loss diverges, or `steps` are done.

    The state is thrown away; nothing is written. Warm-up and schedule are the test's.

    Raises:
      InputError: the state does not fit a device.
    """
    low, high = bounds(setup.run.lora.rank)
    every = rates(low, high, steps)

    def schedule(count: Any) -> Any:
        share = count / max(steps - 1, 1)
        return low * (high / low) ** share

    train = dataclasses.replace(
        setup.run.train, on_bad_step='skip', on_spike='note', num_steps=steps
    )
    config = dataclasses.replace(setup.run, train=train)
    tx = optimizer.make_optimizer(config.optimizer, num_steps=steps, rate=schedule)
    blueprint = dataclasses.replace(setup.blueprint, tx=tx)
    setup = dataclasses.replace(
        setup, run=config, blueprint=blueprint, schedule=schedule, num_steps=steps
    )
    capacity.check_state(setup)
    base = config.model.pretrained
    losses: list[float] = []
    with jax.set_mesh(setup.mesh):
        state = ts.create(
            blueprint,
            seed=train.seed,
            base=restore.load_base(base).parameters if base else None,
        )
        step = run_step.step_function(setup)
        for batch in run_step.batches_of(setup):
            state, metrics = step(state, batch)
            losses.append(float(metrics['loss']))
            on_step(losses[-1])
            if diverged(losses):
                break
    return every[: len(losses)].tolist(), losses
