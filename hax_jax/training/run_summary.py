"""How a call of `train` ended: its exit code, and a report for people."""

import dataclasses
import pathlib
import shlex

from hax_jax.evaluation import history
from hax_jax.guards import bad_steps
from hax_jax.program import progress

UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, come again


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a call of `train` ended.

    `reason` is 'finished', 'patience', 'max_minutes' or 'signal'; `stopped_by` is the
    signal's number, else 0. `best_step` is the best checkpoint on disk, with its loss;
    `best_validation_loss` is None if no checkpoint was evaluated. `seconds` is this
    call's time by stopwatch.PARTS.
    """

    step: int
    num_steps: int
    reason: str
    stopped_by: int
    trained_steps: int  # of this call, without those that a rollback undid
    best_step: int
    best_validation_loss: float | None
    unigram_entropy: float
    history: history.History
    patience: int
    seconds: dict[str, float]
    patience_min_delta: float = 0.0
    skipped_steps: int = 0  # of the whole run: bad ones, whose update was not applied


def exit_code(summary: Summary) -> int:
    """0 when the run has ended, 75 after max_minutes, 128 + its number for a signal."""
    if summary.reason == 'signal':
        return 128 + summary.stopped_by
    return UNFINISHED if summary.reason == 'max_minutes' else 0


def render(summary: Summary, workdir: pathlib.Path) -> str:
    """Why the call ended, the best step, the time and the next command, a line each."""
    lines = [_why(summary), *_best(summary)]
    if summary.skipped_steps:
        lines.insert(
            1,
            f'{summary.skipped_steps} of the steps were bad and skipped; '
            f'{bad_steps.FILE} names their rows',
        )
    if summary.seconds:
        lines.append(f'time: {time_split(summary.seconds)}')
    lines.append(f'next: {_next(summary, workdir)}')
    return '\n'.join(lines)


def time_split(seconds: dict[str, float]) -> str:
    """{'data': 1.0, 'step': 3.0} -> '4s: data 25%, step 75%'; under 0.5% is out."""
    total = max(sum(seconds.values()), 1e-9)
    shares = [
        f'{part} {value / total:.0%}'
        for part, value in seconds.items()
        if value / total >= 0.005
    ]
    return f'{progress.duration(total)}: {", ".join(shares)}'


def _why(summary: Summary) -> str:
    at = f'at step {summary.step} of {summary.num_steps}'
    if summary.reason == 'signal':
        return f'stopped by signal {summary.stopped_by} {at}, saved'
    if summary.reason == 'max_minutes':
        return f'stopped {at}: train.max_minutes are over; saved'
    if summary.reason == 'patience':
        least = ''
        if summary.patience_min_delta:
            least = f', train.patience_min_delta={summary.patience_min_delta}'
        then = '' if summary.trained_steps else '; nothing more was trained now'
        return (
            f'stopped early {at}: {summary.history.since_best} evaluations in a row '
            'without a better validation loss '
            f'(train.patience={summary.patience}{least}){then}'
        )
    return f'done: {summary.step} steps'


def _best(summary: Summary) -> list[str]:
    past, loss = summary.history, summary.best_validation_loss
    if past.best_loss is None:
        line = 'no evaluation was due yet'
        if past.loss_before is not None:
            line += f'; before training the validation loss was {past.loss_before:.4f}'
        return [line]
    lines = []
    if loss is not None:
        lines.append(f'best validation loss {loss:.4f} at step {summary.best_step}')
    if loss is None or past.best_loss < loss:
        lines.append(
            f'the best of all, {past.best_loss:.4f} at step {past.best_step}, was not '
            'kept; give --config.train.keep_best=1'
        )
    before = past.loss_before
    if before is not None:
        lines.append(f'before training it was {before:.4f}')
    lines.append(
        f'token frequencies alone cost {summary.unigram_entropy:.4f} nats per token'
    )
    return lines


def _next(summary: Summary, workdir: pathlib.Path) -> str:
    if summary.reason in ('signal', 'max_minutes'):
        return 'the same command goes on from there'
    place = shlex.quote(str(workdir))
    sample = f'python -m launch.sample --workdir={place} --prompt="..."'
    past = summary.history
    if summary.reason == 'patience':
        return (
            f'{sample}\n      or the same command with --config.train.patience='
            f'{past.since_best + summary.patience} (0: never) goes on from there'
        )
    if past.best_loss is not None and past.best_step == summary.step:
        return (
            f'{sample}\n      the last evaluation was the best: a larger '
            'train.num_steps may gain more'
        )
    return sample
