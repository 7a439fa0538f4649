"""A run's train step and its batches, made from its setup."""

from collections.abc import Callable, Iterator

import jax

from hax_jax.data import input_pipeline, records
from hax_jax.devices import mesh as mesh_lib
from hax_jax.guards import reach
from hax_jax.guards import recheck as recheck_lib
from hax_jax.training import run_setup, train_step
from hax_jax.training import train_state as ts

# The traced step, and the compiled one, or what is left to compile.
Made = tuple[jax.stages.Traced, jax.stages.Compiled | jax.stages.Lowered]


def step_of(setup: run_setup.Setup) -> Made:
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


def taught(setup: run_setup.Setup, traced: jax.stages.Traced) -> dict[str, bool]:
    """Whether the traced step can teach a parameter by its batch, by dotted name."""
    return reach.taught(
        traced, lambda state: setup.blueprint.split_held(state.params)[0]
    )
