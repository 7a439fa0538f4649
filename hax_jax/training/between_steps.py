"""Everything that the training loop does between two steps: report, evaluate, save."""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import jax

from hax_jax.data import input_pipeline
from hax_jax.devices import mesh as mesh_lib
from hax_jax.devices import peaks, peers
from hax_jax.evaluation import averaged, eval_step, evaluate, history, saved_scores
from hax_jax.guards import bad_steps, judge, state_check, stops
from hax_jax.runs import checkpoint, disk_room
from hax_jax.training import capacity, eval_samples, run_setup, train_step
from hax_jax.training import train_state as ts
from hax_jax.watch import (
    layer_metrics,
    metrics,
    profiling,
    stopwatch,
    tracking,
    verdicts,
)


class BetweenSteps:
    """One call's reports, evaluations and saves, each part timed. Use `with`."""

    def __init__(
        self,
        setup: run_setup.Setup,
        workdir: pathlib.Path,
        checkpoints: checkpoint.Checkpoints,
        watch: stopwatch.Stopwatch,
        *,
        start: int,
        late: bool,
        track: bool,
    ) -> None:
        """`late` and `track`: metrics are read late, and trackers get them too."""
        self._setup, self._start = setup, start
        self._workdir = workdir
        self._checkpoints = checkpoints
        self._watch = watch
        self._samples = eval_samples.RunSamples(setup, workdir, start=start)
        self._profiler = profiling.Profiler(
            setup.run.train.profile_steps, profiling.folder(workdir)
        )
        trackers = None
        if track and jax.process_index() == 0:
            trackers = tracking.Trackers(workdir, setup.run, start_step=start)
        self.report = metrics.Report(
            workdir,
            start=start,
            num_steps=setup.num_steps,
            late=late,
            watch=watch,
            trackers=trackers,
            flops_per_token=setup.flops_per_token,
            peak_flops=peaks.peak_of_all_devices(),
        )
        self.eval_step = eval_step.make_eval_step(
            setup.blueprint.model, mesh=setup.mesh
        )
        moving, _ = setup.blueprint.split_held(setup.blueprint.state.params)
        self._layers = list(layer_metrics.groups(moving))
        self._is_scored = False  # a state of this call, before a save
        self.row_seconds = 0.0  # of scoring one row, at the last evaluation
        self.loss_before: float | None = None  # training, if this call began it
        self._averaged_at = -1  # the step at whose evaluation the average was kept
        self._bad_steps = None
        if jax.process_index() == 0:
            saved_scores.drop_after(workdir, start)
            self._bad_steps = bad_steps.BadStepsFile(
                workdir, setup.cache, setup.rows_of, start=start, skip=setup.begin.skip
            )

    def __enter__(self) -> 'BetweenSteps':
        return self

    def __exit__(self, *_: object) -> None:
        self._profiler.close()
        self.report.close()

    def before_training(
        self, state: ts.TrainState, past: history.History
    ) -> history.History:
        """`past` with the loss of the first state, on which a verdict is printed."""
        loss = self.evaluated(state, past)
        model = self._setup.run.model
        verdict, why = verdicts.start(
            loss,
            ln_vocab=math.log(max(model.vocab_size, 2)),
            unigram_entropy=verdicts.unigram_entropy(self._setup.cache),
            pretrained=bool(model.pretrained),
        )
        self.report.note(f'loss before training {loss:.4f}: {verdict}: {why}')
        self.loss_before = loss
        return dataclasses.replace(past, loss_before=loss)

    def begin(self, state: ts.TrainState, past: history.History) -> None:
        """Starts the profile if it begins with the first step of this call.

        Raises:
          DivergedError: the state is not worth going on from.
        """
        if int(state.step) > 0:
            self._check_state(state, past)
        self.report.note(self._profiler.missed(int(state.step)))
        self._profiler.at(int(state.step), state.step)

    def after_step(
        self,
        done: int,
        step_metrics: train_step.Metrics,
        state: ts.TrainState,
        past: history.History,
    ) -> None:
        """Reports step number `done`, after which `state` is.

        Raises:
          StoppedError: a step up to here stopped the run.
        """
        settings = self._setup.run.train
        norms = step_metrics.pop('layers', None)
        every = settings.layer_metrics_every_steps
        if norms is not None and done % every == 0:
            self.report.layers(done, self._layers, norms)
        self.report.step(step_metrics)
        self.report.note(self._profiler.at(done, step_metrics))
        if done % settings.log_every_steps == 0 or done == self._setup.num_steps:
            self.report.interval(done)
            self._look_at_bad_steps(state, past)
        self._watch.lap('step')

    def evaluated(self, state: ts.TrainState, past: history.History) -> float:
        """The loss of the validation split; the run's sample questions are answered.

        Raises:
          StoppedError: a step up to here stopped the run, or training has diverged.
          FloatingPointError: the loss before training is not finite.
        """
        self.report.flush()
        self._look_at_bad_steps(state, past)
        try:
            result = self._evaluation(state)
        except FloatingPointError as error:
            if int(state.step) > 0:
                raise self._diverged(state, str(error)) from error
            raise
        if int(state.step) > 0 and result.loss > self._highest_loss(past):
            self._check_state(state, past)
        state, result = self._better(state, result)
        self._samples.write(state, self.report)
        self._watch.lap('evaluation')
        self.report.evaluation(int(state.step), result.loss, result.by)
        is_best = past.best_loss is None or result.loss < past.best_loss
        if is_best and int(state.step) > 0 and jax.process_index() == 0:
            cache = self._setup.cache
            scores = saved_scores.SavedScores(
                step=int(state.step),
                rows=cache.fingerprint,
                tokenizer=cache.meta['tokenizer'],
                seq_len=cache.seq_len,
                pairs=result.pairs,
            )
            saved_scores.write(self._workdir, scores)
        return result.loss

    def _evaluation(self, state: ts.TrainState) -> evaluate.Evaluation:
        cache, size = self._setup.cache, self._setup.microbatch_size
        self._watch.lap('evaluation')
        found = evaluate.evaluate(
            functools.partial(self._evaluated_batch, state, int(state.step)),
            cache,
            'validation',
            sharding=mesh_lib.batch_sharding(self._setup.mesh),
            batch_size=size,
        )
        num_batches = -(-cache.num_rows('validation') // size)
        self.row_seconds = self._watch.lap('evaluation') / (num_batches * size)
        return found

    def _better(
        self, state: ts.TrainState, plain: evaluate.Evaluation
    ) -> tuple[ts.TrainState, evaluate.Evaluation]:
        """The state and its evaluation, or those of its average where that is better.

        An average that is of one step alone is not evaluated.
        """
        weight, step = self._setup.average_weight, int(state.step)
        if weight is None or step == 0 or weight(step) == 1:
            return state, plain
        averaged_state = self._setup.blueprint.averaged(state)
        average = self._evaluation(averaged_state)
        kept = averaged.choose(plain, average)
        self.report.averaged(step, kept.row, kept.sentence)
        if not kept.is_average:
            return state, plain
        self._averaged_at = step
        return averaged_state, average

    def _evaluated_batch(
        self, state: ts.TrainState, step: int, batch: train_step.Batch
    ) -> Any:
        if step:
            peers.mark(f'the evaluation after step {step}')
        return self.eval_step(state.params, state.frozen, batch)

    def save(
        self, state: ts.TrainState, validation_loss: float | None, past: history.History
    ) -> None:
        """Begins to save a state that is worth going on from.

        An interval of metrics ends here: a call that goes on from this checkpoint
        reports from it on.

        Raises:
          StoppedError: a step up to here stopped the run, or training has diverged.
          InputError: the disk has no room for it; nothing is saved.
        """
        self.report.flush()
        self._look_at_bad_steps(state, past)
        step = int(state.step)
        self.report.interval(step)
        self.report.flush()
        self._check_before_save(state, past)
        self._checkpoints.wait()
        disk_room.check(
            self._checkpoints.folder, capacity.checkpoint_bytes(self._setup.blueprint)
        )
        self.report.publish()
        kept = {}
        if state.average is not None:
            kept = {checkpoint.KEPT: checkpoint.PLAIN}
        if self._averaged_at == step:
            state = self._setup.blueprint.averaged(state)
            kept = {checkpoint.KEPT: checkpoint.AVERAGE}
        self._checkpoints.save(
            step,
            ts.checkpointed(state),
            validation_loss=validation_loss,
            metadata={
                'environment': run_setup.environment(self._setup),
                'num_steps': self._setup.num_steps,
                'history': dataclasses.asdict(past),
                **self._setup.progress(step).to_metadata(),
                'guarded': True,
                **kept,
            },
        )
        self._watch.lap('checkpoint')

    def _look_at_bad_steps(self, state: ts.TrainState, past: history.History) -> None:
        """Lists and prints the bad steps that the report has found.

        Raises:
          RollBackError: one of them asks for it.
          BadStepError: one of them stopped the run; the state before it is saved.
          DivergedError: that state is not worth going on from either.
        """
        found = self.report.take_bad()
        if not found:
            return
        last, train = found[-1], self._setup.run.train
        stopped = last.action == judge.ACTIONS[judge.STOPPED]
        setting = train.on_spike if 'spike' in last.kind else train.on_bad_step
        rolls_back = stopped and setting == 'rollback'
        skip = self._setup.skip_with(last.step) if rolls_back else ()
        if self._bad_steps:
            self._bad_steps.write(found, rolled_back=skip[-1] if rolls_back else None)
        noted = found[:-1] if stopped else found
        if noted:
            more = f'; {len(noted) - 1} more since then' if len(noted) > 1 else ''
            self.report.note(f'{noted[0]}: {noted[0].action}{more} ({bad_steps.FILE})')
        if not stopped:
            return
        on_disk = self._on_disk()
        if rolls_back:
            saved = max(on_disk, default=None)
            raise stops.RollBackError(last, skip, saved=saved, start=self._start)
        if last.step - 1 not in (0, *on_disk):
            self.save(ts.released(state), None, past)
            on_disk = self._on_disk()
        tried = ''
        if setting == 'skip':
            tried = f'the {judge.MOST_IN_A_ROW}th bad step in a row'
        raise stops.BadStepError(last, saved=max(on_disk, default=None), tried=tried)

    def _on_disk(self) -> list[int]:
        self._checkpoints.wait()
        return [saved.step for saved in self._checkpoints.steps()]

    def _highest_loss(self, past: history.History) -> float:
        return state_check.highest_loss(
            self._setup.run.model.vocab_size, past.loss_before
        )

    def _check_before_save(self, state: ts.TrainState, past: history.History) -> None:
        """Raises DivergedError unless the state is worth going on from.

        Rows are scored for a call's first save, and where the losses of the last steps
        are over the limit: a save must not hold the loop up for a forward pass.
        """
        if self._is_scored and self.report.recent_loss() <= self._highest_loss(past):
            names = state_check.not_finite((state.params, state.opt_state))
            if problem := state_check.problem(names, 0.0, 0.0):
                raise self._diverged(state, problem)
            return
        self._check_state(state, past)
        self._is_scored = True

    def _check_state(self, state: ts.TrainState, past: history.History) -> None:
        """Raises DivergedError unless all is finite and rows score as they should.

        The rows are those of one microbatch, always the same, of the train split.
        """
        cache, size = self._setup.cache, self._setup.microbatch_size
        names = state_check.not_finite((state.params, state.opt_state))
        batch = next(
            input_pipeline.eval_batches(
                cache,
                'train',
                sharding=mesh_lib.batch_sharding(self._setup.mesh),
                batch_size=size,
            )
        )
        scores = jax.device_get(self.eval_step(state.params, state.frozen, batch))
        weights = cache.features('train')['loss_weights'][:size]
        loss = state_check.median_loss(scores['nll'][: len(weights)], weights)
        problem = state_check.problem(names, loss, self._highest_loss(past))
        if problem:
            raise self._diverged(state, problem)

    def _diverged(self, state: ts.TrainState, problem: str) -> stops.DivergedError:
        step, on_disk = int(state.step), self._on_disk()
        before = [saved for saved in on_disk if saved < step]
        return stops.DivergedError(
            step, problem, saved=max(before, default=None), is_on_disk=step in on_disk
        )

    def finish(self) -> None:
        """Waits for the reports and the save that are under way."""
        self.report.flush()
        self.report.note(self._profiler.close())
        self._checkpoints.wait()
        self._watch.lap('checkpoint')
