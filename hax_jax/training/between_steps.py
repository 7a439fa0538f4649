"""What the training loop does between two steps: evaluate, save, report."""

import dataclasses

from hax_jax.devices import mesh as mesh_lib
from hax_jax.evaluation import evaluate
from hax_jax.runs import checkpoint
from hax_jax.training import eval_samples, history, run_setup, train_step
from hax_jax.training import train_state as ts
from hax_jax.watch import layer_metrics, metrics, stopwatch, verdicts


class BetweenSteps:
    """One call's evaluations and saves, each part timed and reported."""

    def __init__(
        self,
        setup: run_setup.Setup,
        checkpoints: checkpoint.Checkpoints,
        samples: eval_samples.RunSamples,
        report: metrics.Report,
        watch: stopwatch.Stopwatch,
    ) -> None:
        self._setup = setup
        self._checkpoints = checkpoints
        self._samples = samples
        self._report = report
        self._watch = watch
        self._eval_step = train_step.make_eval_step(setup.blueprint, mesh=setup.mesh)
        moving, _ = setup.blueprint.split_held(setup.blueprint.abstract.params)
        self._layers = list(layer_metrics.groups(moving))

    def before_training(
        self, state: ts.TrainState, past: history.History
    ) -> history.History:
        """`past` with the loss of the first state, on which a verdict is printed."""
        loss = self.evaluated(state)
        model = self._setup.run.model
        verdict = verdicts.step_0_verdict(
            loss, vocab_size=model.vocab_size, pretrained=bool(model.pretrained)
        )
        self._report.note(f'loss before training {loss:.4f}: {verdict}')
        return dataclasses.replace(past, loss_before=loss)

    def report_step(self, done: int, step_metrics: train_step.Metrics) -> None:
        """Hands over a step's metrics, and its norms by layer where they are due."""
        norms = step_metrics.pop('layers', None)
        every = self._setup.run.train.layer_metrics_every_steps
        if norms is not None and done % every == 0:
            self._report.layers(done, self._layers, norms)
        self._report.step(step_metrics)

    def evaluated(self, state: ts.TrainState) -> float:
        """The loss of the validation split, after which the run's questions come."""
        self._report.flush()
        settings = self._setup.run.train
        result = evaluate.evaluate(
            lambda batch: self._eval_step(state.params, state.frozen, batch),
            self._setup.cache,
            'validation',
            sharding=mesh_lib.batch_sharding(self._setup.mesh),
            batch_size=settings.batch_size // settings.grad_accum_steps,
        )
        self._samples.write(state, self._report)
        self._watch.lap('evaluation')
        self._report.evaluation(int(state.step), result.loss, result.by)
        return result.loss

    def save(
        self,
        state: ts.TrainState,
        validation_loss: float | None,
        past: history.History,
    ) -> None:
        """Begins to save; FloatingPointError if the loss is not finite: never saved.

        An interval ends here: whoever goes on from this checkpoint reports from it on.
        """
        self._report.interval(int(state.step))
        self._report.flush()  # which raises it
        self._checkpoints.save(
            state,
            validation_loss=validation_loss,
            metadata={
                'environment': run_setup.environment(self._setup),
                'num_steps': self._setup.num_steps,
                'history': past.to_dict(),
            },
        )
        self._watch.lap('checkpoint')
