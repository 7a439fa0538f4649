"""The training loop, written out: data, step, evaluation, checkpoint, report, stop."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from hax_jax import errors
from hax_jax.data import input_pipeline, records, shift_check
from hax_jax.devices import mesh as mesh_lib
from hax_jax.devices import peers
from hax_jax.doctor import diagnosis, examine, first_look
from hax_jax.doctor.subject import Subject
from hax_jax.guards import bad_steps, reach, stops
from hax_jax.guards import recheck as recheck_lib
from hax_jax.runs import checkpoint, disk_room, only_writer, restore, run_folder
from hax_jax.training import (
    agreement,
    between_steps,
    capacity,
    eval_samples,
    history,
    resume,
    run_setup,
    run_summary,
    starting,
    stopping,
    train_step,
)
from hax_jax.training import train_state as ts
from hax_jax.watch import stopwatch, tracking, verdicts

_MOST_ROLLBACKS = 3  # to one step, in one call
# The traced step, and the compiled one, or what is left to compile.
_Step = tuple[jax.stages.Traced, jax.stages.Compiled | jax.stages.Lowered]
_ROWS = 1024  # of the stream, at whose order the doctor looks


def train(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    *,
    allow_change: list[str],
    base: str = '',
    restart: bool = False,
) -> run_summary.Summary:
    """Starts the run in `workdir`, or goes on with the one that is there.

    With `restart` the files of a run that is there are moved aside, and it begins anew.

    Raises:
      InputError: the run there is another one, its base is gone, or no checkpoint of it
        is whole.
      StoppedError: a step was bad, or training has diverged; what is saved is good.
    """
    settings = setup.run.train
    resume.check_names(allow_change, setup.run)
    tracking.check(settings)
    with (
        contextlib.ExitStack() as stack,
        jax.set_mesh(setup.mesh),
        stopwatch.Stopwatch() as watch,
        stopping.Signals(max_minutes=settings.max_minutes) as signals,
        peers.limited(settings.hang_timeout_seconds),
    ):
        agreement.check_run(setup, workdir)
        if jax.process_index() == 0:
            stack.enter_context(only_writer.held(workdir))
            if restart:
                only_writer.move_aside(workdir)
        peers.from_first('begun')  # nothing is read before it was moved aside
        capacity.check_disk(setup, workdir)
        capacity.check_state(setup)
        folder = workdir / run_folder.CHECKPOINTS
        needed = capacity.checkpoint_bytes(setup.blueprint)
        stack.enter_context(disk_room.named(folder, needed))
        stack.enter_context(capacity.told(setup))
        skip: tuple[tuple[int, int], ...] = ()
        rolled_back: list[int | None] = []  # to these steps
        first: int | None = None  # the step that the call went on from
        while True:
            try:
                return _from_newest(
                    setup, workdir, base, allow_change, skip, first, signals, watch
                )
            except stops.RollBackError as error:
                found, skip, saved = error.found, error.skip, error.saved
                first = error.start if first is None else first
            peers.mark('')  # compiling anew does not count as hanging
            peers.from_first('saved')  # it has named the step that all go back to
            rolled_back.append(saved)
            if rolled_back.count(saved) > _MOST_ROLLBACKS:
                tried = f'after {_MOST_ROLLBACKS} times back to step {saved or 0}'
                raise stops.BadStepError(found, saved=saved, tried=tried)
            begin, end = skip[-1]
            print(
                f'{found}: back to step {saved or 0}; rows {begin} to {end} of the '
                f'stream are left out ({bad_steps.FILE})',
                flush=True,
            )


def _from_newest(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    base: str,
    allow_change: list[str],
    skip: tuple[tuple[int, int], ...],
    first: int | None,
    signals: stopping.Signals,
    watch: stopwatch.Stopwatch,
) -> run_summary.Summary:
    """Trains from the run's newest whole step on, without the rows in `skip`.

    `first` is the step at which a call began that was rolled back since.
    """
    claim, source = starting.claim(
        setup,
        workdir,
        base=base,
        allow_change=allow_change,
        rolled_back=first is not None,
    )
    claim, settings = claim.leaving_out(skip), setup.run.train
    agreement.check_start(claim)
    past = starting.past(claim)
    with (
        checkpoint.Checkpoints(
            workdir / run_folder.CHECKPOINTS,
            run_id=claim.identity['id'],
            keep_last=settings.keep_last,
            keep_best=settings.keep_best,
            before_commit=claim.write,
            after_commit=claim.step_is_saved,
        ) as checkpoints,
        concurrent.futures.ThreadPoolExecutor(1, 'compile') as beside,
    ):
        is_over = _why_stop(claim.setup.begin.step, past, claim.setup)
        making = None if is_over else beside.submit(step_of, claim.setup)
        state = starting.first_state(claim, source)
        base = source.parameters if source else None
        del source  # its arrays on the host are needed until the first step alone
        summary = _loop(
            state,
            past,
            claim.setup,
            workdir,
            checkpoints,
            signals,
            watch,
            base,
            making,
            first,
        )
        if is_over and jax.process_index() == 0:
            claim.write()  # with no step to save, this alone is new
        return summary


def _loop(
    state: ts.TrainState,
    past: history.History,
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    checkpoints: checkpoint.Checkpoints,
    signals: stopping.Signals,
    watch: stopwatch.Stopwatch,
    base: dict[str, np.ndarray] | None,
    making: concurrent.futures.Future[_Step] | None,
    first: int | None,
) -> run_summary.Summary:
    settings, num_steps = setup.run.train, setup.num_steps
    start = done = int(state.step)
    assert start == setup.begin.step  # else other rows would come next
    # Several steps in flight deadlock in the CPU's collectives (BUILD_NOTES.md).
    wait = jax.default_backend() == 'cpu' and jax.local_device_count() > 1
    rechecks = settings.recheck_every_steps
    recheck = recheck_of(setup) if rechecks else None
    reason = _why_stop(done, past, setup)
    look: first_look.Look | None = None
    restored: dict[str, Any] = {}
    with between_steps.BetweenSteps(
        setup, workdir, checkpoints, watch, start=start, late=not wait, track=not reason
    ) as between:
        watch.lap('start')
        if start == 0:
            past = between.before_training(state, past)
        if not reason:
            batches = batches_of(setup)
            between.begin(state, past)
            watch.lap('start')
        while not reason:
            if done > start:
                peers.mark(f'the batch of step {done + 1}')
            batch = next(batches)
            # A batch that comes while the devices still compute cost no time.
            watch.lap('step' if between.report.devices_work() else 'data')
            if done == start:
                check_labels(setup, batch, workdir)
                ahead = list(itertools.islice(batches, 1))
                batches = itertools.chain(ahead, batches)
                assert making is not None
                step, look = _compiled(
                    setup, making, state, [batch, *ahead], base, between, watch
                )
                if look:
                    state = look.state
                    between.looked(look)
                elif not setup.begin.is_imported:  # which has no moments
                    restored = examine.restored(setup.run, state)
                base = None
                watch.lap('start')
            if recheck and (done == start or (done + 1) % rechecks == 0):
                jax.block_until_ready(state)
                watch.lap('step')
                recheck.check(done + 1, state, batch)
                watch.lap('recheck')
            if done > start:
                peers.mark(f'step {done + 1}')
            state, metrics = step(state, batch)
            done += 1
            if wait:
                jax.block_until_ready(metrics)
            if look:
                jax.block_until_ready(state)
                watch.lap('step')
                between.told(look, state, metrics)
                look = None
                watch.lap('start')
            elif restored:
                between.resumed(restored, metrics)
                restored = {}
            between.after_step(done, metrics, state, past)
            stop = signals.reason(done, every=settings.log_every_steps)
            loss, is_best = None, False
            if done % settings.eval_every_steps == 0 or done == num_steps:
                loss = between.evaluated(state, past)
                past = past.evaluated(done, loss, min_delta=settings.patience_min_delta)
                is_best = checkpoints.among_best(loss)
            reason = _why_stop(done, past, setup) or stop
            if done % settings.checkpoint_every_steps == 0 or reason or is_best:
                peers.mark(f'the save of step {done}')
                between.save(state, loss, past)
        signals.doing = 'no step is left, saving'
        peers.mark('the last save')
        between.finish()
        best = restore.by_worth(checkpoints.steps())[0]
        summary = run_summary.Summary(
            step=done,
            num_steps=num_steps,
            reason=reason,
            stopped_by=signals.number if reason == 'signal' else 0,
            trained_steps=done - (start if first is None else first),
            best_step=best.step,
            best_validation_loss=best.validation_loss,
            unigram_entropy=verdicts.unigram_entropy(setup.cache),
            history=past,
            patience=settings.patience,
            patience_min_delta=settings.patience_min_delta,
            seconds={part: round(value, 4) for part, value in watch.total().items()},
            skipped_steps=int(state.guard.num_skipped),
        )
        if summary.trained_steps:
            between.report.summary(done, dataclasses.asdict(summary))
    return summary


def _compiled(
    setup: run_setup.Setup,
    making: concurrent.futures.Future[_Step],
    state: ts.TrainState,
    batches: Sequence[train_step.Batch],
    base: dict[str, np.ndarray] | None,
    between: between_steps.BetweenSteps,
    watch: stopwatch.Stopwatch,
) -> tuple[Callable[..., Any], first_look.Look | None]:
    """The compiled step, and what the doctor sees before the first step of a run.

    `batches` are the first and, if there is one, the second.

    The doctor looks while the step is compiled, which leaves cores idle.
    """
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
            measured = beside.submit(lambda: examine.measure(looked.result().subject))
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
        of_step = functools.partial(taught, setup, traced)
        first_look.compiled(found, step, of_step, waited=waiting.seconds)
    found.numbers['seconds'] = waiting.seconds()
    return step, found


def _why_stop(done: int, past: history.History, setup: run_setup.Setup) -> str:
    """'' to go on. The same for all processes, and when started again."""
    if done >= setup.num_steps:
        return 'finished'
    return 'patience' if past.out_of_patience(setup.run.train.patience) else ''


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


def taught(setup: run_setup.Setup, traced: jax.stages.Traced) -> dict[str, bool]:
    """Whether the traced step can teach a parameter by its batch, by dotted name."""
    return reach.taught(
        traced, lambda state: setup.blueprint.split_held(state.params)[0]
    )


def step_function(
    setup: run_setup.Setup,
) -> Callable[
    [ts.TrainState, train_step.Batch], tuple[ts.TrainState, train_step.Metrics]
]:
    """The train step of the run's settings, not yet compiled."""
    settings = setup.run.train
    return train_step.make_train_step(
        setup.blueprint,
        setup.schedule,
        mesh=setup.mesh,
        grad_accum_steps=settings.grad_accum_steps,
        seed=settings.seed,
        with_layers=settings.layer_metrics_every_steps > 0,
        z_loss=settings.z_loss,
        on_bad_step=settings.on_bad_step,
        on_spike=settings.on_spike,
        average_weight=setup.average_weight,
    )


def step_of(setup: run_setup.Setup) -> _Step:
    """The run's train step, for a state and batches that need not be there yet.

    It is compiled but on a GPU, where XLA times kernels: nothing else may run then.
    """
    batch = described_batch(setup)
    with jax.set_mesh(setup.mesh):  # each thread has its own
        traced = step_function(setup).trace(setup.blueprint.state, batch)
        lowered = traced.lower()
        if setup.platform == 'gpu':
            return traced, lowered
        return traced, train_step.compiled(lowered, setup.mesh)


def described_batch(setup: run_setup.Setup) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch, as `batches_of` gives it."""
    shape = (setup.run.train.batch_size, setup.run.data.seq_len)
    sharding = mesh_lib.batch_sharding(setup.mesh)
    return {
        name: jax.ShapeDtypeStruct(
            shape, 'float32' if name == 'loss_weights' else 'int32', sharding=sharding
        )
        for name in records.FEATURES
    }


def recheck_of(setup: run_setup.Setup) -> recheck_lib.Recheck:
    """Computes a step's gradients twice; compiled when it is first used."""
    settings, blueprint = setup.run.train, setup.blueprint
    gradients = train_step.gradients_function(
        blueprint,
        grad_accum_steps=settings.grad_accum_steps,
        seed=settings.seed,
        z_loss=settings.z_loss,
    )
    moving, _ = blueprint.split_held(blueprint.state.params)
    return recheck_lib.Recheck(
        lambda state, batch: gradients(state, batch)[0],
        mesh=setup.mesh,
        state=blueprint.state,
        parameters=moving,
    )


def batches_of(setup: run_setup.Setup) -> Iterator[train_step.Batch]:
    """The batches of this call's steps."""
    settings = setup.run.train
    return input_pipeline.train_batches(
        setup.cache,
        sharding=mesh_lib.batch_sharding(setup.mesh),
        batch_size=settings.batch_size,
        stream=setup.stream,
        num_batches=setup.num_steps - setup.begin.step,
        reader=setup.run.data.reader,
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
