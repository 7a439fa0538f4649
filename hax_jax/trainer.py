"""The training loop, written out: data, step, evaluation, checkpoint, report, stop."""

import collections.abc
import contextlib
import dataclasses
import math
import pathlib
import shutil
import time

import jax
import numpy as np

from hax_jax import (
    checkpoint,
    checks,
    config,
    evaluate,
    files,
    input_pipeline,
    metrics,
    optimizer,
    preflight,
    pretrained,
    restore,
    resume,
    run_samples,
    runs,
    runtime,
    stopping,
    train_step,
)
from hax_jax import mesh as mesh_lib
from hax_jax import train_state as ts


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a call of `train` ended; `stopped_by` is a signal's number, 0 if none.

    `best_validation_loss` is None if no checkpoint was evaluated.
    """

    step: int
    num_steps: int
    best_step: int
    best_validation_loss: float | None
    unigram_entropy: float
    stopped_by: int


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
    with (
        contextlib.ExitStack() as stack,
        jax.set_mesh(setup.mesh),
        stopping.Signals() as signals,
    ):
        if jax.process_index() == 0:
            stack.enter_context(_only_writer(workdir))
        old = (workdir / 'run.json').is_file()
        source = _source(setup, workdir, old=old, base=base)
        _claim(setup, workdir, source, old=old, allow_change=allow_change)
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
        saved = checkpoints.steps()
        if saved:
            state = _restore(state, saved[-1].step, checkpoints, setup)
        return _loop(state, setup, workdir, checkpoints, signals)


def _loop(
    state: ts.TrainState,
    setup: preflight.Setup,
    workdir: pathlib.Path,
    checkpoints: checkpoint.Checkpoints,
    signals: stopping.Signals,
) -> Summary:
    run, mesh, num_steps = setup.run, setup.mesh, setup.num_steps
    start = int(state.step)
    rows = mesh_lib.batch_sharding(mesh)
    step_function = train_step.make_train_step(
        setup.blueprint,
        setup.tx,
        setup.schedule,
        mesh=mesh,
        grad_accum_steps=run.train.grad_accum_steps,
        seed=run.train.seed,
        z_loss=run.train.z_loss,
    )
    eval_step = train_step.make_eval_step(setup.blueprint, mesh=mesh)
    batches = input_pipeline.train_batches(
        setup.cache,
        sharding=rows,
        batch_size=run.train.batch_size,
        seed=run.train.seed,
        start_step=start,
        num_steps=num_steps,
        reader=run.data.reader,
    )
    # Several steps in flight deadlock in the CPU's collectives (BUILD_NOTES.md).
    wait = jax.default_backend() == 'cpu' and jax.local_device_count() > 1
    report = metrics.Report(workdir, start=start, num_steps=num_steps, late=not wait)
    samples = run_samples.RunSamples(setup, workdir, start=start)

    def evaluated(state: ts.TrainState) -> float:
        report.flush()
        begun = time.monotonic()
        result = evaluate.evaluate(
            lambda batch: eval_step(state.params, state.frozen, batch),
            setup.cache,
            'validation',
            sharding=rows,
            batch_size=run.train.batch_size // run.train.grad_accum_steps,
        )
        samples.write(state, report)
        seconds = time.monotonic() - begun
        report.evaluation(int(state.step), result.loss, result.by, seconds)
        return result.loss

    def save(state: ts.TrainState, validation_loss: float | None) -> None:
        report.flush()  # raises if the loss is not finite: never save such a state
        begun = time.monotonic()
        checkpoints.save(
            state,
            validation_loss=validation_loss,
            metadata={
                'environment': preflight.environment(setup),
                'num_steps': num_steps,
            },
        )
        report.pause(time.monotonic() - begun)

    try:
        if start == 0:
            loss = evaluated(state)
            verdict = checks.step_0_verdict(
                loss,
                vocab_size=run.model.vocab_size,
                pretrained=bool(run.model.pretrained),
            )
            report.note(f'loss before training {loss:.4f}: {verdict}')
        best = min(
            [
                s.validation_loss
                for s in checkpoints.steps()
                if s.validation_loss is not None
            ],
            default=math.inf,
        )
        done = start
        for batch in batches:
            if done == start:
                _check_shift(batch)
            state, step_metrics = step_function(state, batch)
            done += 1
            if wait:
                jax.block_until_ready(step_metrics)
            report.step(step_metrics)
            if done % run.train.log_every_steps == 0 or done == num_steps:
                report.interval(done)
            stop = signals.received(done, every=run.train.log_every_steps)
            validation_loss = None
            if done % run.train.eval_every_steps == 0 or done == num_steps:
                validation_loss = evaluated(state)
            is_best = validation_loss is not None and validation_loss < best
            if is_best:
                best = validation_loss
            due = done % run.train.checkpoint_every_steps == 0 or done == num_steps
            if due or stop or (is_best and run.train.keep_best):
                save(state, validation_loss)
            if stop:
                break
        report.flush()
        checkpoints.wait()
        best_step, _ = runs.choose_step(checkpoints.steps())
        summary = Summary(
            step=done,
            num_steps=num_steps,
            best_step=best_step,
            best_validation_loss=best if best < math.inf else None,
            unigram_entropy=checks.unigram_entropy(setup.cache),
            stopped_by=signals.number,
        )
        if done > start:
            report.summary(done, dataclasses.asdict(summary))
    finally:
        report.close()
    return summary


def _source(
    setup: preflight.Setup, workdir: pathlib.Path, *, old: bool, base: str
) -> pretrained.Base | None:
    """The pretrained parameters that the run starts, or started, from."""
    if not setup.run.model.pretrained:
        return None
    then = runs.read_run(workdir) if old else {}
    if then.get('base'):
        return restore.load_run_base(workdir, base=base or setup.run.model.pretrained)
    if then.get('imported'):
        return None  # its parameters are in its checkpoints
    return restore.load_base(setup.run.model.pretrained)


def _claim(
    setup: preflight.Setup,
    workdir: pathlib.Path,
    source: pretrained.Base | None,
    *,
    old: bool,
    allow_change: list[str],
) -> None:
    """Makes `workdir` this run's folder, or checks that it is already."""
    now = runs.identity(setup.run, setup.cache, source)
    if old:
        then = runs.read_run(workdir)
        changed = resume.changes(
            then,
            now,
            runs.read_config(workdir),
            setup.run,
            allow_change=allow_change,
        )
        _check_length(workdir, setup.num_steps, changed, allow_change)
        for line in changed:
            print(f'changed: {line}', flush=True)
        changed = then['changes'] + changed
        now = {
            **then,
            'base': now['base'],
            'dataset': now['dataset'],
            'changes': changed,
        }
    if jax.process_index() == 0:
        folder = workdir / runs.TOKENIZER
        if not folder.exists():
            shutil.copytree(setup.cache.path / runs.TOKENIZER, folder)
        runs.write(workdir, setup.run, now)


def _check_length(
    workdir: pathlib.Path, num_steps: int, changed: list[str], allow_change: list[str]
) -> None:
    """Raises InputError if the run is past its new end, or changes after its end."""
    folders = (workdir / runs.CHECKPOINTS).glob('*')
    done = max((int(path.name) for path in folders if path.name.isdigit()), default=0)
    if done > num_steps:
        raise config.InputError(
            f'{workdir} has done {done} steps already, and the config asks for '
            f'{num_steps}; give train.num_steps={done} or more.'
        )
    allowed = [line for line in changed if line.split(':')[0] in allow_change]
    if done == num_steps and allowed:
        raise config.InputError(
            f'{workdir} has done all its {done} steps, so nothing would be trained '
            f'with {"; ".join(allowed)}; raise train.num_steps too.'
        )


def _restore(
    state: ts.TrainState,
    step: int,
    checkpoints: checkpoint.Checkpoints,
    setup: preflight.Setup,
) -> ts.TrainState:
    then = checkpoints.metadata(step)
    print(f'continuing from step {step} of {setup.num_steps}', flush=True)
    if 'imported' in then:
        print(
            f'the parameters are those of {then["imported"]}; the moments begin at '
            f'zero and the learning rate is that of step {step}',
            flush=True,
        )
        params, _ = checkpoints.restore(step, setup.blueprint, with_optimizer=False)
        opt_state = optimizer.starting_at(state.opt_state, step)
        placed = ts.place(np.asarray(step, np.int32), setup.blueprint.shardings.step)
        return ts.TrainState(placed, params, state.frozen, opt_state)
    if then['num_steps'] != setup.num_steps:
        print(
            f'the run is now {setup.num_steps} steps long, not {then["num_steps"]}: '
            'the learning rate follows the new length from here on',
            flush=True,
        )
    differences = runtime.differences(then['environment'], preflight.environment(setup))
    for line in differences:
        print(f'environment differs: {line}', flush=True)
    if differences:
        print(
            'so what follows equals an uninterrupted run up to float noise, not bit '
            'for bit',
            flush=True,
        )
    params, opt_state = checkpoints.restore(step, setup.blueprint)
    placed = ts.place(np.asarray(step, np.int32), setup.blueprint.shardings.step)
    return ts.TrainState(placed, params, state.frozen, opt_state)


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


@contextlib.contextmanager
def _only_writer(workdir: pathlib.Path) -> collections.abc.Iterator[None]:
    """Refuses a workdir that another process is writing."""
    try:
        with files.locked(workdir / 'lock', wait=False):
            yield
    except files.LockedError as error:
        raise config.InputError(
            f'another launch.train is writing {workdir}; wait for it, stop it, or use '
            'another --workdir.'
        ) from error
    finally:
        if not (workdir / 'run.json').exists():  # refused before it became a run
            (workdir / 'lock').unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what else is there is not ours
                workdir.rmdir()
