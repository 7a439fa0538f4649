"""The evaluations of a run so far: best loss, patience. Each checkpoint stores it."""

import dataclasses
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class History:
    """Evaluations of the whole run, counted over every call that went on with it.

    `loss_before` is the validation loss before the first step, None if there is none;
    it does not count as an evaluation. `best_loss` is None before the first one. The
    history lies in the checkpoints, not in metrics.jsonl, because it must be exactly
    that of the state beside it.
    """

    loss_before: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    since_best: int = 0  # evaluations that were not better than the best one

    def evaluated(self, step: int, loss: float) -> 'History':
        """[3.0, 2.0, 2.0, 2.5] at steps 1 to 4: best 2.0 at 2, 2 evaluations since."""
        if self.best_loss is not None and loss >= self.best_loss:
            return dataclasses.replace(self, since_best=self.since_best + 1)
        return dataclasses.replace(self, best_loss=loss, best_step=step, since_best=0)

    def out_of_patience(self, patience: int) -> bool:
        """Whether `patience` evaluations in a row were no better; 0 never is."""
        return 0 < patience <= self.since_best


def read(
    metadata: dict[str, Any], saved: Iterable[tuple[int, float | None]]
) -> History:
    """The history in a checkpoint's metadata.

    A checkpoint of an older version, or one that was imported, has none: then the best
    is that of the checkpoints on disk (`saved`: their steps and losses), and
    evaluations count from here on.
    """
    if 'history' in metadata:
        return History(**metadata['history'])
    evaluated = [(loss, step) for step, loss in saved if loss is not None]
    if not evaluated:
        return History()
    loss, step = min(evaluated)
    return History(best_loss=loss, best_step=step)
