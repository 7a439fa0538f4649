"""The reports of a run: JSON lines on disk, progress on the terminal."""

import collections
import json
import math
import pathlib
from typing import Any

import jax
import numpy as np

from hax_jax import json_lines
from hax_jax.guards import bad_steps, judge
from hax_jax.program import progress
from hax_jax.watch import layer_metrics, stopwatch, tracking, verdicts

CALL = 'call'
_RECENT = 4  # steps
StepMetrics = dict[str, jax.Array]  # of train_step.py


class MetricsFile(json_lines.Log):
    """`metrics.jsonl`: one object a line, each with `step` and `kind`.

    `loss` is the training loss, in lines of kind 'train' alone; an evaluation's is
    `eval_loss`, so that a reader of `loss` meets one curve. (Earlier versions wrote
    `loss` in both kinds.) A line of kind CALL stands before the others of each call of
    `train`, with the step that it goes on from and its `num_steps`.
    """

    def __init__(self, path: pathlib.Path, *, start_step: int) -> None:
        """Opens the file to append, and removes rows after `start_step`.

        A run that was killed after its last checkpoint wrote them; it makes those steps
        again. A run that starts at step 0 starts the file anew.
        """
        super().__init__(path)
        if path.exists():
            self.keep_through(start_step)
        self.open()

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        row = {'step': step, 'kind': kind, **values}
        self.append_lines([json.dumps(row, allow_nan=False)])


class Report:
    """Collects step metrics and reads them late, so that no device waits for a read."""

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        start: int,
        num_steps: int,
        late: bool,
        watch: stopwatch.Stopwatch,
        trackers: tracking.Trackers | None = None,
        flops_per_token: float = 0.0,
        peak_flops: float = 0.0,
    ) -> None:
        """With `late` false, `interval` reads at once: for a loop that waits each step.

        `trackers` get each line too. Each line has `mfu` if `peak_flops`, the peak of
        all devices in FLOP/s, is known (not 0.0).
        """
        self._main = jax.process_index() == 0
        self._file, self._trackers = None, trackers
        if self._main:
            path = workdir / 'metrics.jsonl'
            self._file = MetricsFile(path, start_step=start)
        self._call: tuple[int, int] | None = start, num_steps  # None once it is written
        self._progress = progress.Progress(
            'step', num_steps, 'step', start=start, every_seconds=math.inf
        )
        self._is_late = late
        self._watch = watch
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._steps: list[StepMetrics] = []
        self._layers: list[tuple[int, list[str], jax.Array]] = []
        self._unread: tuple[int, list[StepMetrics]] | None = None
        self._computing: collections.deque[jax.Array] = collections.deque()  # losses
        self._newest = self._examined = start  # numbers of steps
        self._bad: list[bad_steps.Found] = []
        self._losses: collections.deque[float] = collections.deque(maxlen=_RECENT)
        self._warned = False
        watch.lap('start')  # not part of the first interval
        watch.take()
        self._left_out = self._one_off()

    def _one_off(self) -> float:
        """The seconds so far of starting and compiling, which are in no rate."""
        seconds = self._watch.total()
        return seconds.get('start', 0.0) + seconds.get('compile', 0.0)

    def _leave_out_one_off(self) -> None:
        one_off = self._one_off()
        self._progress.leave_out(one_off - self._left_out)
        self._left_out = one_off

    def step(self, step_metrics: StepMetrics) -> None:
        self._leave_out_one_off()
        self._steps.append(step_metrics)
        self._newest += 1
        self._computing.append(step_metrics['loss'])
        self._count_ended()
        # If the devices wait for data, the interval before has already ended.
        if self._unread and self._unread[1][-1]['loss'].is_ready():
            self._write_unread()

    def _count_ended(self) -> None:
        """The bar counts the steps that have ended, and shows the loss of the last."""
        ended, loss = 0, None
        while self._computing and self._computing[0].is_ready():
            loss, ended = self._computing.popleft(), ended + 1
        if loss is not None:
            drawn = self._progress.is_drawn
            self._progress.add(ended, f'loss {float(loss):.4f}' if drawn else '')

    def layers(self, step: int, names: list[str], values: jax.Array) -> None:
        """Keeps the norms of `layer_metrics.norms`, to be written with the interval."""
        self._layers.append((step, names, values))

    def devices_work(self) -> bool:
        """Whether the newest step is still being computed."""
        return bool(self._steps) and not self._steps[-1]['loss'].is_ready()

    def interval(self, step: int) -> None:
        """Ends an interval at `step`, if a step is in it, and writes the one before."""
        if not self._steps:
            return
        if self._is_late:
            self._write_unread()
        self._unread, self._steps = (step, self._steps), []
        if not self._is_late:
            self._write_unread()

    def flush(self) -> None:
        """Waits for the steps so far and writes each interval that is complete.

        Call before evaluating or saving, and look at `take_bad` then.
        """
        self._write_unread()
        counted = self._read(self._steps, self._newest)
        self._steps = self._steps[: len(counted)]
        self._watch.lap('step')

    def take_bad(self) -> list[bad_steps.Found]:
        """The bad steps among those read since the last call.

        All processes have read the same steps after `interval` and after `flush`.
        """
        taken, self._bad = self._bad, []
        return taken

    def recent_loss(self) -> float:
        """The median loss of the last few steps that were read; 0.0 without any."""
        return float(np.median(self._losses)) if self._losses else 0.0

    def _read(self, collected: list[StepMetrics], last: int) -> list[dict[str, float]]:
        """The numbers of the steps that the run counts, of those up to step `last`.

        From the step on that stopped the run, none counts.
        """
        if self._progress.is_drawn:  # the bar moves while the devices compute
            for metrics in collected:
                jax.block_until_ready(metrics['loss'])
                self._count_ended()
        read = [{k: float(v) for k, v in m.items()} for m in jax.device_get(collected)]
        for step, values in enumerate(read, last - len(read) + 1):
            if step <= self._examined:
                continue
            if values['action'] == judge.APPLIED:
                self._losses.append(values['loss'])
            if found := bad_steps.of_metrics(step, values):
                self._bad.append(found)
        self._examined = max(self._examined, last)
        counted = [values for values in read if values['action'] != judge.STOPPED]
        self._newest -= len(read) - len(counted)
        return counted

    def _write_unread(self) -> None:
        if self._unread is None:
            return
        (step, collected), self._unread = self._unread, None
        counted = self._read(collected, step)
        step -= len(collected) - len(counted)
        # The devices have just ended the interval's last step: reading waited for it.
        self._watch.lap('step')
        parts = self._watch.take()
        if any(values['action'] == judge.APPLIED for values in counted):
            self._write_interval(step, counted, parts)

    def _write_interval(
        self, step: int, counted: list[dict[str, float]], parts: dict[str, float]
    ) -> None:
        values = _interval_values(counted, parts)
        problem = verdicts.lost_updates_problem(values.get('lost_updates', 0.0))
        if problem and not self._warned:
            self.note(f'step {step}: {problem}')
        self._warned = self._warned or bool(problem)
        rate, trained = values['tokens_per_second'], values['trained_tokens_per_second']
        words = ''
        if self._peak_flops:
            values['mfu'] = self._flops_per_token * rate / self._peak_flops
            words = f' mfu {values["mfu"]:.1%}'
        values['seconds'] = {part: round(value, 4) for part, value in parts.items()}
        self._leave_out_one_off()
        self._write_layers(step)
        self._write('train', step, values)
        if self._main:
            self._count_ended()
            self._progress.milestone(
                step,
                f'loss {values["loss"]:.4f} lr {values["learning_rate"]:.2e} '
                f'grad {values["grad_norm"]:.2f} {rate:,.0f} tokens/s '
                f'({trained:,.0f} trained){words}',
                rate=values['steps'] / _working(parts),
            )

    def _write_layers(self, until: int) -> None:
        while self._layers and self._layers[0][0] <= until:
            step, names, values = self._layers.pop(0)
            values = np.asarray(values)
            if not np.isfinite(values).all():
                continue  # a bad step, which bad_steps.jsonl has
            norms = layer_metrics.by_layer(names, values)
            self._write('layers', step, {'by': norms})

    def _write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        if self._main:
            if self._call:
                start, num_steps = self._call
                self._file.write(CALL, start, {'num_steps': num_steps})
                self._call = None
            self._file.write(kind, step, values)
            if self._trackers:
                self._trackers.write(kind, step, values)

    def evaluation(self, step: int, loss: float, by: dict[str, Any]) -> None:
        self._write('evaluation', step, {'eval_loss': loss, 'by': by})
        answers = by['all']['answer']
        self.note(
            f'step {step} validation loss {loss:.4f}; answers: perplexity '
            f'{answers["perplexity"]:.2f}, {answers["bits_per_byte"]:.3f} bits per byte'
        )

    def averaged(self, step: int, values: dict[str, Any], sentence: str) -> None:
        """Figures of plain and averaged weights, and which were kept, in words."""
        self._write('average', step, values)
        self.note(f'step {step} {sentence}')

    def samples(
        self, step: int, values: dict[str, Any], answers: dict[str, str]
    ) -> None:
        """Figures of a run's answers, and the answers by the question's id."""
        self._write('samples', step, values)
        if self._main and self._trackers:
            self._trackers.write_answers(step, answers)

    def summary(self, step: int, values: dict[str, Any]) -> None:
        self._write('summary', step, values)

    def note(self, text: str) -> None:
        """Prints a line above the progress; '' prints none."""
        if self._main and text:
            self._progress.note(text)

    def publish(self) -> None:
        """Writes what a run at gs:// has reported; on a disk it is there already."""
        if self._file:
            self._file.publish()
        if self._trackers:
            self._trackers.publish()

    def close(self) -> None:
        self._progress.close()
        if self._file:
            self._file.close()
        if self._trackers:
            self._trackers.close()


def _interval_values(
    counted: list[dict[str, float]], parts: dict[str, float]
) -> dict[str, Any]:
    """The values of an interval's line: means by weight, and rates.

    Steps that were skipped are among its `steps`, and in nothing else. Rates divide by
    the seconds of the parts 'data' and 'step'.
    """
    read = [values for values in counted if values['action'] == judge.APPLIED]
    weight, tokens = (sum(m[name] for m in read) for name in ('weight', 'tokens'))
    seconds = _working(parts)
    means = {
        name: sum(m[name] * m['weight'] for m in read) / max(weight, 1e-6)
        for name in ('loss', 'z_loss')
        if name in read[-1]
    }
    values: dict[str, Any] = {
        'loss': means['loss'],
        'grad_norm': max(m['grad_norm'] for m in read),
        'learning_rate': read[-1]['learning_rate'],
        'steps': len(counted),
        'tokens': tokens,
        'weight': weight,
    }
    if len(read) < len(counted):
        values['skipped'] = len(counted) - len(read)
    if 'z_loss' in means:
        values['z_loss'] = means['z_loss']
    if 'lost_updates' in read[-1]:
        values['lost_updates'] = read[-1]['lost_updates']
    return values | {
        'tokens_per_second': tokens / seconds,
        'trained_tokens_per_second': weight / seconds,
    }


def _working(parts: dict[str, float]) -> float:
    """The seconds of an interval in which steps, or their data, were made."""
    return max(parts.get('data', 0.0) + parts.get('step', 0.0), 1e-9)
