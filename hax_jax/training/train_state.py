"""The train state, created already sharded."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.guards import judge
from hax_jax.model import abstract, lora_merge, naming, param_tree
from hax_jax.runs import checkpoint
from hax_jax.training import optimizer


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=['step', 'params', 'frozen', 'opt_state', 'guard', 'average'],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a step changes, and the frozen parameters that it reads.

    `params` and `frozen` are disjoint `nnx.State`s of one model; `step` counts steps,
    also those that were skipped; `guard` is a `judge.Guard`. A run's checkpoints hold
    `params`, among them those that a multiplier of 0 holds still: these have no
    gradient and no moments (`Blueprint.split_held`). `average` is the average of what
    moves, float32, or None.
    """

    step: Any
    params: Any
    frozen: Any
    opt_state: Any
    guard: Any
    average: Any = None


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """A train state before it exists.

    The leaves of `state` are ShapeDtypeStructs with shardings. `multipliers` are those
    of its `params`, each parameter in one of them.
    """

    model: abstract.AbstractModel
    tx: optax.GradientTransformation
    state: TrainState
    multipliers: list[optimizer.Multiplier]

    @property
    def factors(self) -> dict[str, float]:
        """Dotted path of each of `params` -> the multiplier of its learning rate."""
        return {name: row.factor for row in self.multipliers for name in row.names}

    def split_held(self, params: Any) -> tuple[Any, Any]:
        """(parameters that move, parameters held by a multiplier of 0).

        `nnx.merge_state` puts the two disjoint parts together again.
        """
        return _split_held(params, self.multipliers)

    def averaged(self, state: TrainState) -> TrainState:
        """The state with the average in the place of what moves, and the reverse."""
        moving, held = self.split_held(state.params)
        params = nnx.merge_state(state.average, held)
        return dataclasses.replace(state, params=params, average=moving)


def make_blueprint(
    model: schema.ModelConfig,
    lora_config: schema.LoraConfig,
    tx: optax.GradientTransformation,
    *,
    compute_dtype: str,
    mesh: Mesh,
    param_dtype: str = 'float32',
    remat: str = 'none',
    lr_multipliers: tuple[str, ...] = (),
    average: bool = False,
) -> Blueprint:
    """The blueprint of a model's train state; runs nothing and allocates nothing.

    With `average` the state holds one of what moves.

    Raises:
      InputError: as `abstract.abstract_model`; or a multiplier matches no parameter.
    """
    made = abstract.abstract_model(
        model,
        lora_config,
        compute_dtype=compute_dtype,
        mesh=mesh,
        param_dtype=param_dtype,
        remat=remat,
    )
    multipliers = optimizer.multipliers(lr_multipliers, param_tree.named(made.params))
    moving, _ = _split_held(made.params, multipliers)

    def described(path: tuple[Any, ...], leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = mesh_lib.parameter_sharding(
            mesh, param_tree.dotted(path), leaf.shape
        )
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    opt_state = jax.tree_util.tree_map_with_path(
        described, jax.eval_shape(tx.init, moving)
    )
    everywhere = mesh_lib.replicated(mesh)
    step = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
    guard = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        judge.empty(),
    )
    state = TrainState(
        step, made.params, made.frozen, opt_state, guard, moving if average else None
    )
    return Blueprint(made, tx, state, multipliers)


def create(
    blueprint: Blueprint, *, seed: int, base: dict[str, np.ndarray] | None = None
) -> TrainState:
    """A state at step 0: `base`'s parameters, the rest drawn from `seed`.

    `base` maps a dotted path to an array. Each device is given its own part alone, and
    parameters of `base` are not drawn. Its vocabulary is padded here, if the model's
    is, and everything is rounded to the dtypes of the blueprint.

    Raises:
      ValueError: `base` has a name or a shape that the model has not.
    """
    model = blueprint.model
    base = naming.pad_vocab(base or {}, model.config)
    base = {**base, **lora_merge.initial_magnitudes(base, model.lora)} if base else {}
    both = (model.params, model.frozen)
    wanted = {
        name: leaf for state in both for name, leaf in param_tree.named(state).items()
    }
    shapes = {name: leaf.shape for name, leaf in wanted.items()}
    wrong = [name for name in base if base[name].shape != shapes.get(name)]
    if wrong:
        raise ValueError(f'base holds {wrong}, which the model has not, or not so.')
    drawn = {name: leaf for name, leaf in wanted.items() if name not in base}
    leaves = _drawn(model, drawn, seed) if drawn else {}
    for name in wanted.keys() - drawn.keys():
        leaf = wanted[name]
        leaves[name] = param_tree.place(base[name], leaf.sharding, dtype=leaf.dtype)
    params, frozen = (param_tree.like(state, leaves) for state in both)
    moving, _ = blueprint.split_held(params)
    opt_state = jax.jit(
        blueprint.tx.init, out_shardings=param_tree.shardings(blueprint.state.opt_state)
    )(moving)
    return at_step(blueprint, 0, params, frozen, opt_state)


def _drawn(
    model: abstract.AbstractModel, wanted: dict[str, jax.ShapeDtypeStruct], seed: int
) -> dict[str, jax.Array]:
    def draw(key: jax.Array) -> dict[str, jax.Array]:
        built = abstract.build(
            model.config, model.lora, compute_dtype=model.compute_dtype, key=key
        )
        made = param_tree.named(nnx.state(built))
        # XLA drops the work for the others.
        return {name: made[name].astype(leaf.dtype) for name, leaf in wanted.items()}

    draw_placed = jax.jit(draw, out_shardings=param_tree.shardings(wanted))
    return draw_placed(jax.random.key(seed))


def at_step(
    blueprint: Blueprint,
    step: int,
    params: Any,
    frozen: Any,
    opt_state: Any,
    guard: judge.Guard | None = None,
    average: Any = None,
) -> TrainState:
    """A state after `step` steps, of trees that are on the devices already.

    Without a `guard` no step before is known to compare the next one with; without an
    `average`, one that the blueprint has begins with `params`.
    """
    counted = np.asarray(step, np.int32)
    everywhere = blueprint.state.step.sharding
    if guard is None:
        guard = jax.tree.map(lambda x: param_tree.place(x, everywhere), judge.empty())
    placed = param_tree.place(counted, everywhere)
    if blueprint.state.average is None:
        average = None
    elif average is None:
        moving, _ = blueprint.split_held(params)
        average = jax.tree.map(jnp.copy, moving)  # a step donates both
    return TrainState(placed, params, frozen, opt_state, guard, average)


def released(state: TrainState) -> TrainState:
    """The state without the stop of a bad step, as it was before that step."""
    stopped = state.guard.stopped
    free = param_tree.place(np.zeros((), np.bool_), stopped.sharding)
    return dataclasses.replace(
        state, guard=dataclasses.replace(state.guard, stopped=free)
    )


def checkpointed(state: TrainState) -> dict[str, Any]:
    """The trees of a state that a checkpoint holds; `state` may be abstract."""
    trees = {
        checkpoint.PARAMS: state.params,
        checkpoint.OPTIMIZER: state.opt_state,
        checkpoint.GUARD: state.guard,
    }
    if state.average is not None:
        trees[checkpoint.OTHER] = state.average
    return trees


def _split_held(params: Any, table: list[optimizer.Multiplier]) -> tuple[Any, Any]:
    held = {name for row in table if row.factor == 0 for name in row.names}
    return nnx.split_state(
        params, lambda path, _: '.'.join(map(str, path)) not in held, ...
    )
