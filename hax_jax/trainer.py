"""The training loop, written out: data, step, evaluation, checkpoint, report, stop."""

import contextlib
import dataclasses
import pathlib

import jax
import numpy as np

from hax_jax import (
    checkpoint,
    checks,
    config,
    evaluate,
    history,
    input_pipeline,
    layer_metrics,
    metrics,
    outcome,
    preflight,
    profiling,
    resume,
    run_samples,
    run_start,
    runs,
    stopping,
    stopwatch,
    throughput,
    tracking,
    train_step,
)
from hax_jax import mesh as mesh_lib
from hax_jax import train_state as ts

Summary = outcome.Summary


def train(
    setup: preflight.Setup,
    workdir: pathlib.Path,
    *,
    allow_change: list[str],
    base: str = '',
) -> Summary:
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
            stack.enter_context(run_start.only_writer(workdir))
        old = (workdir / 'run.json').is_file()
        source = run_start.find_base(setup, workdir, old=old, base=base)
        run_start.claim(setup, workdir, source, old=old, allow_change=allow_change)
        checkpoints = stack.enter_context(
            checkpoint.Checkpoints(
                workdir / runs.CHECKPOINTS,
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
            state = run_start.restored(state, step, checkpoints, setup)
            past = history.read(
                checkpoints.metadata(step), [(s.step, s.validation_loss) for s in saved]
            )
        return _loop(state, past, setup, workdir, checkpoints, signals, watch)


def _loop(
    state: ts.TrainState,
    past: history.History,
    setup: preflight.Setup,
    workdir: pathlib.Path,
    checkpoints: checkpoint.Checkpoints,
    signals: stopping.Signals,
    watch: stopwatch.Stopwatch,
) -> Summary:
    run, mesh, num_steps = setup.run, setup.mesh, setup.num_steps
    settings = run.train
    start = done = int(state.step)
    rows = mesh_lib.batch_sharding(mesh)
    step_function = train_step.make_train_step(
        setup.blueprint,
        setup.tx,
        setup.schedule,
        mesh=mesh,
        grad_accum_steps=settings.grad_accum_steps,
        seed=settings.seed,
        with_layers=settings.layer_metrics_every_steps > 0,
        z_loss=settings.z_loss,
    )
    eval_step = train_step.make_eval_step(setup.blueprint, mesh=mesh)
    moving, _ = setup.blueprint.split_held(setup.blueprint.abstract.params)
    layers = list(layer_metrics.groups(moving))
    # Several steps in flight deadlock in the CPU's collectives (BUILD_NOTES.md).
    wait = jax.default_backend() == 'cpu' and jax.local_device_count() > 1
    profiler = profiling.Profiler(settings.profile_steps, workdir / profiling.FOLDER)
    samples = run_samples.RunSamples(setup, workdir, start=start)

    def evaluated(state: ts.TrainState) -> float:
        report.flush()
        result = evaluate.evaluate(
            lambda batch: eval_step(state.params, state.frozen, batch),
            setup.cache,
            'validation',
            sharding=rows,
            batch_size=settings.batch_size // settings.grad_accum_steps,
        )
        samples.write(state, report)
        watch.lap('evaluation')
        report.evaluation(int(state.step), result.loss, result.by)
        return result.loss

    def save(state: ts.TrainState, validation_loss: float | None) -> None:
        report.flush()  # raises if the loss is not finite: never save such a state
        checkpoints.save(
            state,
            validation_loss=validation_loss,
            metadata={
                'environment': preflight.environment(setup),
                'num_steps': num_steps,
                'history': past.to_dict(),
            },
        )
        watch.lap('checkpoint')

    def why_stop() -> str:
        """'' to go on. The same for all processes, and when started again."""
        if done >= num_steps:
            return 'finished'
        return 'patience' if past.out_of_patience(settings.patience) else ''

    reason = why_stop()
    report = _report(
        setup, workdir, start=start, late=not wait, watch=watch, track=not reason
    )
    try:
        watch.lap('start')
        if start == 0:
            loss = evaluated(state)
            past = dataclasses.replace(past, loss_before=loss)
            verdict = checks.step_0_verdict(
                loss,
                vocab_size=run.model.vocab_size,
                pretrained=bool(run.model.pretrained),
            )
            report.note(f'loss before training {loss:.4f}: {verdict}')
        if not reason:
            batches = input_pipeline.train_batches(
                setup.cache,
                sharding=rows,
                batch_size=settings.batch_size,
                seed=settings.seed,
                start_step=start,
                num_steps=num_steps,
                reader=run.data.reader,
            )
            watch.lap('start')
            profiler.at(start, state.step)
        while not reason:
            batch = next(batches)
            # A batch that comes while the devices still compute cost no time.
            watch.lap('step' if report.devices_work() else 'data')
            if done == start:
                _check_shift(batch)
            state, step_metrics = step_function(state, batch)
            done += 1
            if wait:
                jax.block_until_ready(step_metrics)
            norms = step_metrics.pop('layers', None)
            if norms is not None and done % settings.layer_metrics_every_steps == 0:
                report.layers(done, layers, norms)
            report.step(step_metrics)
            report.note(profiler.at(done, step_metrics))
            if done % settings.log_every_steps == 0 or done == num_steps:
                report.interval(done)
            watch.lap('step')
            stop = signals.received(done, every=settings.log_every_steps)
            validation_loss = None
            if done % settings.eval_every_steps == 0 or done == num_steps:
                validation_loss = evaluated(state)
                past = past.evaluated(done, validation_loss)
            is_best = validation_loss is not None and past.best_step == done
            reason = why_stop()
            if stop and not reason:
                reason = 'signal' if signals.number else 'max_minutes'
            due = done % settings.checkpoint_every_steps == 0
            if due or reason or (is_best and settings.keep_best):
                save(state, validation_loss)
        report.flush()
        report.note(profiler.close())
        checkpoints.wait()
        watch.lap('checkpoint')
        saved = {s.step: s.validation_loss for s in checkpoints.steps()}
        best_step, _ = runs.choose_step(checkpoints.steps())
        summary = Summary(
            step=done,
            num_steps=num_steps,
            reason=reason,
            stopped_by=signals.number if reason == 'signal' else 0,
            trained_steps=done - start,
            best_step=best_step,
            best_validation_loss=saved[best_step],
            unigram_entropy=checks.unigram_entropy(setup.cache),
            history=past,
            patience=settings.patience,
            seconds={part: round(value, 4) for part, value in watch.total().items()},
        )
        if done > start:
            report.summary(done, dataclasses.asdict(summary))
    finally:
        profiler.close()
        report.close()
    return summary


def _report(
    setup: preflight.Setup,
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
        {name: tuple(leaf.shape) for name, leaf in ts.named(tree).items()}
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
    problem = checks.shift_problem(local)
    if problem:
        raise config.InputError(
            f'the packed rows are wrong: {problem}. Nothing was trained. Delete the '
            'packed folder of the dataset and run again.'
        )
