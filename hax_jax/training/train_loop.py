"""The training loop, written out: data, step, evaluation, checkpoint, report, stop."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import pathlib

import jax
import numpy as np

from hax_jax.devices import peers
from hax_jax.evaluation import history
from hax_jax.guards import bad_steps, preemption, stops
from hax_jax.runs import (
    checkpoint,
    disk_room,
    only_writer,
    restore,
    run_folder,
    saved_steps,
)
from hax_jax.training import (
    agreement,
    between_steps,
    capacity,
    first_step,
    resume,
    run_setup,
    run_step,
    run_summary,
    starting,
)
from hax_jax.training import train_state as ts
from hax_jax.watch import stopwatch, tracking, verdicts

_MOST_ROLLBACKS = 3  # to one step, in one call


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
        preemption.Signals(max_minutes=settings.max_minutes) as signals,
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
    signals: preemption.Signals,
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
        making = None if is_over else beside.submit(run_step.step_of, claim.setup)
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
    signals: preemption.Signals,
    watch: stopwatch.Stopwatch,
    base: dict[str, np.ndarray] | None,
    making: concurrent.futures.Future[run_step.Made] | None,
    first: int | None,
) -> run_summary.Summary:
    settings, num_steps = setup.run.train, setup.num_steps
    start = done = int(state.step)
    assert start == setup.begin.step  # else other rows would come next
    # Several steps in flight deadlock in the CPU's collectives (BUILD_NOTES.md).
    wait = jax.default_backend() == 'cpu' and jax.local_device_count() > 1
    rechecks = settings.recheck_every_steps
    recheck = run_step.recheck_of(setup) if rechecks else None
    reason = _why_stop(done, past, setup)
    with between_steps.BetweenSteps(
        setup, workdir, checkpoints, watch, start=start, late=not wait, track=not reason
    ) as between:
        opening = first_step.FirstStep(setup, workdir, between, watch)
        watch.lap('start')
        if start == 0:
            past = between.before_training(state, past)
        if not reason:
            batches = run_step.batches_of(setup)
            between.begin(state, past)
            watch.lap('start')
        while not reason:
            if done > start:
                peers.mark(f'the batch of step {done + 1}')
            batch = next(batches)
            # A batch that comes while the devices still compute cost no time.
            watch.lap('step' if between.report.devices_work() else 'data')
            if done == start:
                ahead = list(itertools.islice(batches, 1))
                batches = itertools.chain(ahead, batches)
                assert making is not None
                step, state = opening.ready(state, [batch, *ahead], base, making)
                base = None
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
            if done == start + 1:
                opening.done(state, metrics)
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
        summary = _summary(
            setup,
            state,
            past,
            checkpoints.steps(),
            signals,
            watch,
            done=done,
            trained_steps=done - (start if first is None else first),
            reason=reason,
        )
        if summary.trained_steps:
            between.report.summary(done, dataclasses.asdict(summary))
    return summary


def _summary(
    setup: run_setup.Setup,
    state: ts.TrainState,
    past: history.History,
    kept: list[saved_steps.StepInfo],
    signals: preemption.Signals,
    watch: stopwatch.Stopwatch,
    *,
    done: int,
    trained_steps: int,
    reason: str,
) -> run_summary.Summary:
    settings, best = setup.run.train, restore.by_worth(kept)[0]
    return run_summary.Summary(
        step=done,
        num_steps=setup.num_steps,
        reason=reason,
        stopped_by=signals.number if reason == 'signal' else 0,
        trained_steps=trained_steps,
        best_step=best.step,
        best_validation_loss=best.validation_loss,
        unigram_entropy=verdicts.unigram_entropy(setup.cache),
        history=past,
        patience=settings.patience,
        patience_min_delta=settings.patience_min_delta,
        seconds={part: round(value, 4) for part, value in watch.total().items()},
        skipped_steps=int(state.guard.num_skipped),
    )


def _why_stop(done: int, past: history.History, setup: run_setup.Setup) -> str:
    """'' to go on. The same for all processes, and when started again."""
    if done >= setup.num_steps:
        return 'finished'
    return 'patience' if past.out_of_patience(setup.run.train.patience) else ''
