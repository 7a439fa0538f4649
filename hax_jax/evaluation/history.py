"""The evaluations of a run so far: best loss, patience. Each checkpoint stores it."""

import dataclasses
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class History:
    """Evaluations of the whole run, counted over every call that went on with it.

    `loss_before` is the validation loss before the first step, None if there is none;
    it does not count as an evaluation. `best_loss` is None before the first one. The
    next evaluation ends the wait if it is the best and under `mark` by the least
    improvement. The history lies in the checkpoints, not in metrics.jsonl, because it
    must be exactly that of the state beside it.
    """

    loss_before: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    since_best: int = 0  # evaluations in a row that were not better, or by too little
    mark: float | None = None  # the last loss that ended a wait; None: `best_loss`

    def evaluated(self, step: int, loss: float, *, min_delta: float = 0.0) -> 'History':
        """[3.0, 2.0, 2.0, 2.5] at steps 1 to 4: best 2.0 at 2, 2 evaluations since.

        [2.0, 1.95, 1.85] with `min_delta` 0.1 nats: best 1.95 at 2, 1 evaluation since;
        then best 1.85 at 3, and none, as it is 0.15 under the mark of 2.0.
        """
        is_best = self.best_loss is None or loss < self.best_loss
        mark = self.best_loss if self.mark is None else self.mark
        ends_wait = is_best and (mark is None or loss < mark - min_delta)
        return dataclasses.replace(
            self,
            best_loss=loss if is_best else self.best_loss,
            best_step=step if is_best else self.best_step,
            since_best=0 if ends_wait else self.since_best + 1,
            mark=loss if ends_wait else mark,
        )

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
