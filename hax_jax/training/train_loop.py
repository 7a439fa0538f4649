"""The training loop, written out: data, step, evaluation, checkpoint, report, stop."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

from hax_jax import errors
from hax_jax.data import input_pipeline, shift_check
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint, run_folder
from hax_jax.training import (
    between_steps,
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
from hax_jax.watch import metrics, profiling, stopwatch, throughput, tracking, verdicts


def train(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    *,
    allow_change: list[str],
    base: str = '',
) -> run_summary.Summary:
    """Starts the run in `workdir`, or goes on with the one that is there.

    Raises:
      InputError: the run there is another one, or its base is gone.
      FloatingPointError: the loss is no longer finite; the last checkpoint is good.
    """
    resume.check_names(allow_change, setup.run)
    tracking.check(setup.run.train)
    with (
        contextlib.ExitStack() as stack,
        jax.set_mesh(setup.mesh),
        stopwatch.Stopwatch() as watch,
        stopping.Signals(max_minutes=setup.run.train.max_minutes) as signals,
    ):
        if jax.process_index() == 0:
            stack.enter_context(starting.only_writer(workdir))
        old = (workdir / 'run.json').is_file()
        source = starting.find_base(setup, workdir, old=old, base=base)
        starting.claim(setup, workdir, source, old=old, allow_change=allow_change)
        checkpoints = stack.enter_context(
            checkpoint.Checkpoints(
                workdir / run_folder.CHECKPOINTS,
                keep_last=setup.run.train.keep_last,
                keep_best=setup.run.train.keep_best,
            )
        )
        state = ts.create(
            setup.blueprint,
            setup.run.model,
            setup.run.lora,
            setup.tx,
            compute_dtype=setup.compute_dtype,
            seed=setup.run.train.seed,
            base=source.parameters if source else None,
        )
        past = history.History()
        saved = checkpoints.steps()
        if saved:
            step = saved[-1].step
            state = starting.restored(state, step, checkpoints, setup)
            past = history.read(
                checkpoints.metadata(step), [(s.step, s.validation_loss) for s in saved]
            )
        return _loop(state, past, setup, workdir, checkpoints, signals, watch)


def _loop(
    state: ts.TrainState,
    past: history.History,
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    checkpoints: checkpoint.Checkpoints,
    signals: stopping.Signals,
    watch: stopwatch.Stopwatch,
) -> run_summary.Summary:
    settings, num_steps = setup.run.train, setup.num_steps
    start = done = int(state.step)
    # Several steps in flight deadlock in the CPU's collectives (BUILD_NOTES.md).
    wait = jax.default_backend() == 'cpu' and jax.local_device_count() > 1
    train = step_function(setup)
    profiler = profiling.Profiler(settings.profile_steps, workdir / profiling.FOLDER)
    samples = eval_samples.RunSamples(setup, workdir, start=start)
    reason = _why_stop(done, past, setup)
    report = _report(
        setup, workdir, start=start, late=not wait, watch=watch, track=not reason
    )
    try:
        between = between_steps.BetweenSteps(setup, checkpoints, samples, report, watch)
        watch.lap('start')
        if start == 0:
            past = between.before_training(state, past)
        if not reason:
            batches = _batches(setup, start=start)
            watch.lap('start')
            profiler.at(start, state.step)
        while not reason:
            batch = next(batches)
            # A batch that comes while the devices still compute cost no time.
            watch.lap('step' if report.devices_work() else 'data')
            if done == start:
                _check_shift(batch)
                train = train_step.compiled(train, state, batch)
            state, step_metrics = train(state, batch)
            done += 1
            if wait:
                jax.block_until_ready(step_metrics)
            between.report_step(done, step_metrics)
            report.note(profiler.at(done, step_metrics))
            if done % settings.log_every_steps == 0 or done == num_steps:
                report.interval(done)
            watch.lap('step')
            stop = signals.received(done, every=settings.log_every_steps)
            validation_loss = None
            if done % settings.eval_every_steps == 0 or done == num_steps:
                validation_loss = between.evaluated(state)
                past = past.evaluated(done, validation_loss)
            is_best = validation_loss is not None and checkpoints.among_best(
                validation_loss
            )
            reason = _why_stop(done, past, setup)
            if stop and not reason:
                reason = 'signal' if signals.number else 'max_minutes'
            due = done % settings.checkpoint_every_steps == 0
            if due or reason or is_best:
                between.save(state, validation_loss, past)
        report.flush()
        report.note(profiler.close())
        checkpoints.wait()
        watch.lap('checkpoint')
        summary = _summary(
            setup,
            checkpoints.steps(),
            past,
            step=done,
            trained_steps=done - start,
            reason=reason,
            stopped_by=signals.number if reason == 'signal' else 0,
            seconds=watch.total(),
        )
        if done > start:
            report.summary(done, dataclasses.asdict(summary))
    finally:
        profiler.close()
        report.close()
    return summary


def _why_stop(done: int, past: history.History, setup: run_setup.Setup) -> str:
    """'' to go on. The same for all processes, and when started again."""
    if done >= setup.num_steps:
        return 'finished'
    return 'patience' if past.out_of_patience(setup.run.train.patience) else ''


def step_function(
    setup: run_setup.Setup,
) -> Callable[
    [ts.TrainState, train_step.Batch], tuple[ts.TrainState, train_step.Metrics]
]:
    """The train step that the run's settings ask for, not yet compiled."""
    settings = setup.run.train
    return train_step.make_train_step(
        setup.blueprint,
        setup.tx,
        setup.schedule,
        mesh=setup.mesh,
        grad_accum_steps=settings.grad_accum_steps,
        seed=settings.seed,
        with_layers=settings.layer_metrics_every_steps > 0,
        z_loss=settings.z_loss,
    )


def _batches(setup: run_setup.Setup, *, start: int) -> Iterator[train_step.Batch]:
    settings = setup.run.train
    return input_pipeline.train_batches(
        setup.cache,
        sharding=mesh_lib.batch_sharding(setup.mesh),
        batch_size=settings.batch_size,
        seed=settings.seed,
        start_step=start,
        num_steps=setup.num_steps,
        reader=setup.run.data.reader,
    )


def _summary(
    setup: run_setup.Setup,
    saved: list[checkpoint.StepInfo],
    past: history.History,
    *,
    step: int,
    trained_steps: int,
    reason: str,
    stopped_by: int,
    seconds: dict[str, float],
) -> run_summary.Summary:
    best_step, _ = run_folder.choose_step(saved)
    losses = {s.step: s.validation_loss for s in saved}
    return run_summary.Summary(
        step=step,
        num_steps=setup.num_steps,
        reason=reason,
        stopped_by=stopped_by,
        trained_steps=trained_steps,
        best_step=best_step,
        best_validation_loss=losses[best_step],
        unigram_entropy=verdicts.unigram_entropy(setup.cache),
        history=past,
        patience=setup.run.train.patience,
        seconds={part: round(value, 4) for part, value in seconds.items()},
    )


def _report(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    *,
    start: int,
    late: bool,
    watch: stopwatch.Stopwatch,
    track: bool,
) -> metrics.Report:
    trackers = None
    if track and jax.process_index() == 0:
        trackers = tracking.Trackers(workdir, setup.run, start_step=start)
    abstract = setup.blueprint.abstract
    trained, frozen = (
        {name: tuple(leaf.shape) for name, leaf in param_tree.named(tree).items()}
        for tree in (abstract.params, abstract.frozen)
    )
    return metrics.Report(
        workdir,
        start=start,
        num_steps=setup.num_steps,
        late=late,
        watch=watch,
        trackers=trackers,
        flops_per_token=throughput.flops_per_token(
            trained,
            frozen,
            n_embd=setup.run.model.n_embd,
            seq_len=setup.run.data.seq_len,
        ),
        peak_flops=throughput.peak_of_all_devices(),
    )


def _check_shift(batch: dict[str, jax.Array]) -> None:
    """The very first batch: is each target the next input, once?"""
    local = {
        name: np.concatenate([np.asarray(s.data) for s in array.addressable_shards])
        for name, array in batch.items()
    }
    problem = shift_check.shift_problem(local)
    if problem:
        raise errors.InputError(
            f'the packed rows are wrong: {problem}. Nothing was trained. Delete the '
            'packed folder of the dataset and run again.'
        )
