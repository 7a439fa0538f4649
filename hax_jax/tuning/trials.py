"""Trials: short runs of a config with changes, trained once and kept by what they are.

    <output>/trials/<label>-<key>/result.json    steps, best step, seconds
                                 /validation_scores.json, metrics.jsonl, ...

The key follows from config and rows, so a trial that is there is read, and one that was
stopped goes on. A trial that has ended keeps no checkpoint.
"""

import dataclasses
import math
import pathlib
import re
import shutil
import time
from collections.abc import Sequence
from typing import Any

from hax_jax import files
from hax_jax.config import convert, schema
from hax_jax.data import records
from hax_jax.evaluation import evaluate, saved_scores
from hax_jax.guards import stops
from hax_jax.program import progress
from hax_jax.runs import run_folder
from hax_jax.training import run_setup, run_summary, starting, train_loop

_RESULT = 'result.json'
EVALUATIONS = 8  # in a trial, the last at its end


class StoppedEarlyError(Exception):
    """A trial was stopped by a signal, or the time is over; it goes on from there."""

    def __init__(self, exit_code: int, what: str) -> None:
        super().__init__(what)
        self.exit_code = exit_code


class NoStepsLeftError(Exception):
    """The steps that all trials may have together would be passed."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A trial at its best evaluation. `loss` is nats per answer token.

    A trial that diverged counts what it had before; without any evaluation its loss is
    infinite and `pairs` is empty.
    """

    label: str
    steps: int
    best_step: int
    diverged: bool
    seconds: float
    pairs: Sequence[evaluate.PairScore]

    @property
    def loss(self) -> float:
        tokens = sum(pair.answer.tokens for pair in self.pairs)
        nats = sum(pair.answer.nats for pair in self.pairs)
        return nats / tokens if tokens else math.inf


def config_of(
    run: schema.Config, *, num_steps: int, full_steps: int, **changes: Any
) -> schema.Config:
    """The config of a trial of `num_steps`; `changes` are `section__field=value`.

    A warm-up of so many steps of a run of `full_steps` becomes that share of the trial.
    What does not change the weights is off: samples, trackers, norms by layer.
    """
    values = convert.to_dict(run)
    optimizer = values['optimizer']
    if optimizer['warmup_steps']:
        optimizer['warmup_share'] = min(optimizer['warmup_steps'] / full_steps, 0.5)
        optimizer['warmup_steps'] = 0
    values['train'] |= {
        'num_steps': num_steps,
        'num_epochs': 0.0,
        'log_every_steps': -(-num_steps // EVALUATIONS),
        'eval_every_steps': -(-num_steps // EVALUATIONS),
        'checkpoint_every_steps': -(-num_steps // 2),
        'keep_last': 1,
        'keep_best': 0,
        'num_sample_questions': 0,
        'patience': 0,
        'patience_min_delta': 0.0,
        'max_minutes': 0.0,
        'tensorboard': False,
        'wandb_project': '',
        'layer_metrics_every_steps': 0,
        'profile_steps': '',
    }
    for name, value in changes.items():
        section, _, field = name.partition('__')
        values[section][field] = value
    return convert.from_dict(values)


class Trials:
    """Trains trials in `folder`, one after the other, and counts their steps.

    Both bounds are of this call: `max_steps` of all trials together that are trained
    now, `minutes` of time; 0 is none. `planned` steps are for the ETA.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        planned: int,
        max_steps: int = 0,
        minutes: float = 0.0,
    ) -> None:
        self._folder = folder / 'trials'
        self._planned, self._max_steps = planned, max_steps
        self._end = time.monotonic() + 60 * minutes if minutes else math.inf
        self._seen = self._trained = 0  # steps of all trials; of those trained now
        self._seconds = 0.0

    def run(self, label: str, run: schema.Config, cache: records.PackedCache) -> Result:
        """The trial's result, trained now unless it is there.

        Raises:
          StoppedEarlyError: a signal, or the time is over.
          NoStepsLeftError: nothing was trained.
        """
        steps = run.train.num_steps
        key = records.sha256([convert.to_dict(run), cache.fingerprint])[:8]
        folder = self._folder / f'{re.sub("[^a-z0-9.]+", "-", label.lower())}-{key}'
        self._seen += steps
        if (folder / _RESULT).exists():
            _without_checkpoints(folder)  # a kill may have come before
            found = self._read(label, folder)
            say(f'{label}, {steps} steps: there already, {_words(found)}')
            return found
        if self._max_steps and self._trained + steps > self._max_steps:
            raise NoStepsLeftError(label)
        if time.monotonic() >= self._end:
            raise StoppedEarlyError(run_summary.UNFINISHED, 'the minutes are over')
        say(f'{label}, {steps} steps{self._eta(steps)}')
        begun = time.monotonic()
        row = self._train(run, cache, folder)
        row['seconds'] = round(time.monotonic() - begun, 1)
        self._trained += steps
        self._seconds += row['seconds']
        files.write_json(folder / _RESULT, {'label': label, 'steps': steps, **row})
        _without_checkpoints(folder)
        found = self._read(label, folder)
        say(f'{label}: {_words(found)}, {progress.duration(found.seconds)}')
        return found

    def _train(
        self, run: schema.Config, cache: records.PackedCache, folder: pathlib.Path
    ) -> dict[str, Any]:
        left = 0.0
        if self._end < math.inf:
            left = max((self._end - time.monotonic()) / 60, 1e-3)
        train = dataclasses.replace(run.train, max_minutes=left)
        run = dataclasses.replace(run, train=train)
        setup = run_setup.prepare(run, cache, begin=starting.progress(folder))
        try:
            summary = train_loop.train(setup, folder, allow_change=[])
        except stops.StoppedError as error:
            say(f'it diverged: {error}')
            return {'best_step': 0, 'diverged': True}
        if code := run_summary.exit_code(summary):
            raise StoppedEarlyError(
                code, f'stopped at step {summary.step} of {summary.num_steps}'
            )
        return {'best_step': summary.history.best_step, 'diverged': False}

    def _read(self, label: str, folder: pathlib.Path) -> Result:
        row = files.read_json_object(folder / _RESULT)
        pairs: Sequence[evaluate.PairScore] = []
        best_step = row['best_step']
        if (folder / saved_scores.FILE).exists():
            scores = saved_scores.read(folder)
            pairs, best_step = scores.pairs, scores.step
        return Result(
            label, row['steps'], best_step, row['diverged'], row['seconds'], pairs
        )

    def _eta(self, steps: int) -> str:
        """Of all trials, once one was trained: the rate is that of those."""
        done = self._seen - steps
        words = f' | {done:,} of about {self._planned:,} steps are done'
        if not self._trained:
            return words
        left = max(self._planned - done, steps) * self._seconds / self._trained
        return f'{words} | ETA {progress.duration(left)}'


def _without_checkpoints(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / run_folder.CHECKPOINTS, ignore_errors=True)


def say(line: str) -> None:
    """Prints a line of progress at once: trials take minutes."""
    print(line, flush=True)


def _words(found: Result) -> str:
    if not found.pairs:
        return 'it diverged before its first evaluation'
    after = ', then diverged' if found.diverged else ''
    return f'{found.loss:.4f} nats per answer token at step {found.best_step}{after}'
