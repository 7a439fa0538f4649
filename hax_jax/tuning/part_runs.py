"""The trials behind a verdict on data: each part trained, and one trained twice."""

import dataclasses
import math
from collections.abc import Mapping

from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.tuning import saturation
from hax_jax.tuning import trials as trials_lib


@dataclasses.dataclass(frozen=True)
class Found:
    """The parts, smallest first, their trials, and how far a seed moves the loss."""

    measured: list[saturation.Measured]
    results: list[trials_lib.Result]
    noise: float


def num_steps(parts: int, steps: int) -> int:
    """The steps of the first trial of each part and of the second seed."""
    return (parts + 1) * steps


def train(
    trials: trials_lib.Trials,
    run: schema.Config,
    caches: Mapping[float, records.PackedCache],
    *,
    steps: int,
    full_steps: int,
) -> Found:
    """Trains each share's part for the same `steps`, and all the data with two seeds.

    A loss in mid-schedule is that of a learning rate that is still high. So a part
    whose best step was not its last is trained again with a schedule that ends there,
    while `trials` has steps left, and its better trial counts.

    Raises:
      StoppedEarlyError: the trials so far are kept.
    """
    order = sorted(caches)
    wanted = [(f'share {share:.3g}', share, run.train.seed) for share in order]
    wanted.append(('share 1, second seed', 1.0, run.train.seed + 1))

    def trained(label: str, share: float, seed: int, count: int) -> trials_lib.Result:
        config = trials_lib.config_of(
            run, num_steps=count, full_steps=full_steps, train__seed=seed
        )
        return trials.run(label, config, caches[share])

    results = [trained(*each, steps) for each in wanted]
    for place, (label, share, seed) in enumerate(wanted):
        best = results[place].best_step
        if not 0 < best < steps:
            continue
        try:
            again = trained(f'{label}, ending at {best}', share, seed, best)
        except trials_lib.NoStepsLeftError as error:
            trials_lib.say(f'not trained, as --max_steps is used up: {error}')
            continue
        results[place] = min(results[place], again, key=lambda found: found.loss)
    measured = [
        saturation.Measured(
            share, caches[share].meta['splits']['train']['answer'], found.pairs
        )
        for share, found in zip(order, results, strict=False)
    ]
    noise = abs(results[-1].loss - results[-2].loss)
    return Found(measured, results, noise if math.isfinite(noise) else 0.0)
