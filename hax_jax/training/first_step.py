"""A call's first step: its labels are checked, the doctor looks, it is compiled."""

import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hax_jax import errors
from hax_jax.data import shift_check
from hax_jax.doctor import diagnosis, examine, first_look
from hax_jax.doctor.subject import Subject
from hax_jax.training import (
    between_steps,
    capacity,
    eval_samples,
    run_setup,
    run_step,
    train_step,
)
from hax_jax.training import train_state as ts
from hax_jax.watch import stopwatch

_ROWS = 1024  # of the stream, at whose order the doctor looks


class FirstStep:
    """Makes a call's first step ready, and says afterwards what the doctor found."""

    def __init__(
        self,
        setup: run_setup.Setup,
        workdir: pathlib.Path,
        between: between_steps.BetweenSteps,
        watch: stopwatch.Stopwatch,
    ) -> None:
        self._setup, self._workdir = setup, workdir
        self._between, self._watch = between, watch
        self._look: first_look.Look | None = None  # before the first step of a run
        self._said: list[diagnosis.Finding] = []  # of this look
        self._restored: dict[str, Any] = {}  # of the moments of a run that goes on

    def ready(
        self,
        state: ts.TrainState,
        batches: Sequence[train_step.Batch],
        base: dict[str, np.ndarray] | None,
        making: concurrent.futures.Future[run_step.Made],
    ) -> tuple[Callable[..., Any], ts.TrainState]:
        """The compiled step, and the state to give it with the first batch.

        `batches` are the first and, if there is one, the second.

        Raises:
          InputError: the first batch's labels are wrong, or the step has no room.
        """
        check_labels(self._setup, batches[0], self._workdir)
        step, self._look = self._compiled(state, batches, base, making)
        if self._look:
            state = self._look.state
            self._say_look(self._look)
        elif not self._setup.begin.is_imported:  # which has no moments
            self._restored = examine.restored(self._setup.run, state)
        self._watch.lap('start')
        return step, state

    def _compiled(
        self,
        state: ts.TrainState,
        batches: Sequence[train_step.Batch],
        base: dict[str, np.ndarray] | None,
        making: concurrent.futures.Future[run_step.Made],
    ) -> tuple[Callable[..., Any], first_look.Look | None]:
        """The compiled step, and what the doctor sees before the first step of a run.

        The doctor looks while the step is compiled, which leaves cores idle.
        """
        setup, between, watch = self._setup, self._between, self._watch
        is_first, waiting = setup.begin.step == 0, stopwatch.Waiting()
        elapsed = sum(watch.total().values())

        def look() -> first_look.Look:
            with jax.set_mesh(setup.mesh):  # each thread has its own
                subject = subject_of(setup, state, batches, between.eval_step, base)
                subject = dataclasses.replace(
                    subject,
                    elapsed=elapsed,
                    row_seconds=between.row_seconds,
                    validation_loss=between.loss_before,
                )
                return first_look.look(subject, waited=waiting.seconds)

        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            if is_first:
                looked = beside.submit(look)
                measured = beside.submit(
                    lambda: examine.measure(looked.result().subject)
                )
            with watch.compiling():
                traced, step = making.result()
            if isinstance(step, jax.stages.Lowered):
                if is_first:
                    with waiting.begun():
                        concurrent.futures.wait([looked])
                step = train_step.compiled(step, setup.mesh)
            with waiting.begun():
                beside.shutdown()
        needed = step.memory_analysis().temp_size_in_bytes
        capacity.check_step(setup, needed, has_state=True)
        between.report.note(
            f'the compiled step needs {needed / 1e9:.2f} GB beside its state'
        )
        if not is_first:
            return step, None
        found = looked.result()
        with waiting.begun():
            found.numbers = measured.result() | found.numbers
            of_step = functools.partial(run_step.taught, setup, traced)
            first_look.compiled(found, step, of_step, waited=waiting.seconds)
        found.numbers['seconds'] = waiting.seconds()
        return step, found

    def _say_look(self, look: first_look.Look) -> None:
        """Prints what the doctor found wrong before the first step."""
        found = examine.judged(look.numbers)
        self._said = [each for each in found if each.verdict != diagnosis.OK]
        if self._said:
            *lines, count = diagnosis.lines(found)
            for line in [*lines, f'so far {count}']:
                self._between.report.note(line)

    def done(self, state: ts.TrainState, metrics: train_step.Metrics) -> None:
        """Prints and writes what the step showed; `ready`'s arrays are released."""
        if self._look:
            jax.block_until_ready(state)
            self._watch.lap('step')
            self._say_step(self._look, state, metrics)
            self._look = None
            self._watch.lap('start')
        elif self._restored:
            self._say_resumed(metrics)

    def _say_step(
        self, look: first_look.Look, state: ts.TrainState, metrics: train_step.Metrics
    ) -> None:
        """Prints what the first step adds to what was found, and writes all down."""
        found = examine.told(look, state, metrics)
        if jax.process_index() == 0:
            diagnosis.write(self._workdir, found, look.numbers)
        for line in diagnosis.lines(found, known=self._said):
            self._between.report.note(line)
        for left_out in look.numbers['left_out']:
            self._between.report.note(f'not looked at: {left_out}')

    def _say_resumed(self, metrics: train_step.Metrics) -> None:
        """Prints and writes down what is wrong with the moments of a resumed run."""
        found = examine.resumed(self._restored, metrics)
        if jax.process_index() == 0:
            diagnosis.add(self._workdir, found)
        if any(each.verdict != diagnosis.OK for each in found):
            for line in diagnosis.lines(found):
                self._between.report.note(line)


def subject_of(
    setup: run_setup.Setup,
    state: ts.TrainState,
    batches: Sequence[train_step.Batch],
    score_step: Callable[..., Any],
    base: dict[str, np.ndarray] | None,
) -> Subject:
    """A run before its first step, for the doctor; `batches` are one or two."""
    size = setup.run.train.batch_size
    order = [setup.stream.batch(i, size) for i in range(max(2, _ROWS // size))]
    tokenizer, sampled = eval_samples.asked(setup)
    return Subject(
        run=setup.run,
        cache=setup.cache,
        tokenizer=tokenizer,
        num_steps=setup.num_steps,
        microbatch_size=setup.microbatch_size,
        tx=setup.blueprint.tx,
        state=state,
        batch=batches[0],
        next_batch=batches[1] if len(batches) > 1 else None,
        eval_step=score_step,
        base=base,
        row_order=np.concatenate(order),
        sampled=sampled,
        is_imported=setup.begin.is_imported,
    )


def check_labels(
    setup: run_setup.Setup, batch: train_step.Batch, workdir: pathlib.Path
) -> None:
    """Raises InputError unless each target of the first batch is the next input.

    The doctor's findings of these rows are in the error, and in the run's folder.
    """
    local = {
        name: np.concatenate([np.asarray(s.data) for s in array.addressable_shards])
        for name, array in batch.items()
    }
    problem = shift_check.shift_problem(local)
    if not problem:
        return
    tokenizer, _ = eval_samples.asked(setup)
    found, numbers = examine.of_rows(
        setup.cache, local, tokenizer, question_weight=setup.run.data.question_weight
    )
    if jax.process_index() == 0:
        diagnosis.write(workdir, found, numbers)
    causes = [each.cause for each in found if each.verdict == diagnosis.FAIL]
    raise errors.InputError(
        '; '.join([f'the packed rows are wrong: {problem}', *causes]) + '. Nothing '
        'was trained. Delete the packed folder of the dataset and run again.'
    )
