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
from hax_jax.model import gpt2, layer_loop, lora, lora_merge, naming, param_tree
from hax_jax.training import optimizer


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=['step', 'params', 'frozen', 'opt_state'],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that a step changes, and the frozen parameters that it reads.

    `params` and `frozen` are disjoint `nnx.State`s of one model; `step` counts updates.
    `params` is what a run learns and its checkpoints hold, with those of its parts that
    a multiplier of 0 keeps where they are: they have no gradient and no moments
    (`split_held`).
    """

    step: Any
    params: Any
    frozen: Any
    opt_state: Any


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """A state's shapes and places, before anything of it exists.

    `multipliers` are those of `params`, each of them in one.
    """

    graphdef: Any
    abstract: TrainState
    shardings: TrainState
    multipliers: list[optimizer.Multiplier]

    @property
    def factors(self) -> dict[str, float]:
        """Dotted path of each of `params` -> the multiplier of its learning rate."""
        return {name: row.factor for row in self.multipliers for name in row.names}

    def split_held(self, params: Any) -> tuple[Any, Any]:
        """(what moves, what a multiplier of 0 holds), two disjoint parts of `params`.

        `nnx.merge_state` puts them together again.
        """
        return _split_held(params, self.multipliers)


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
) -> Blueprint:
    """The blueprint of a model's state; runs nothing and allocates nothing.

    Raises:
      InputError: a LoRA target matches no layer, or a multiplier no parameter, or the
        blocks are to be looped over and differ.
    """
    build = functools.partial(_build, model, lora_config, compute_dtype, remat=remat)
    made = nnx.eval_shape(build)
    if model.scan_layers:
        layer_loop.check_alike(made.h)
    graphdef, *states = nnx.split(made, lora.trainable_filter(lora_config), ...)
    params, frozen = _in_dtype(states, param_dtype)
    table = optimizer.multipliers(lr_multipliers, param_tree.named(params))
    moving, _ = _split_held(params, table)
    opt_state = jax.eval_shape(tx.init, moving)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    abstract = TrainState(step, params, frozen, opt_state)
    shardings = jax.tree_util.tree_map_with_path(
        lambda path, leaf: mesh_lib.parameter_sharding(
            mesh, param_tree.dotted(path), leaf.shape
        ),
        abstract,
    )
    return Blueprint(graphdef, abstract, shardings, table)


def create(
    blueprint: Blueprint,
    model: schema.ModelConfig,
    lora_config: schema.LoraConfig,
    tx: optax.GradientTransformation,
    *,
    compute_dtype: str,
    seed: int,
    base: dict[str, np.ndarray] | None = None,
) -> TrainState:
    """A state at step 0: `base`'s parameters, the rest drawn from `seed`.

    `base` maps a dotted path to an array; each device is given its own part alone, and
    what `base` has is never drawn. Its vocabulary is padded here, if the model's is,
    and all is rounded to the dtypes of the blueprint.

    Raises:
      ValueError: `base` has a name or a shape that the model has not.
    """
    base = naming.pad_vocab(base or {}, model)
    base = {**base, **lora_merge.initial_magnitudes(base, lora_config)} if base else {}
    both = (blueprint.abstract.params, blueprint.abstract.frozen)
    places = (blueprint.shardings.params, blueprint.shardings.frozen)
    paths = [path for state in both for path in param_tree.named(state)]
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(both)]
    flat_places = jax.tree.leaves(places)
    drawn = [i for i, path in enumerate(paths) if path not in base]
    shapes = {
        path: leaf.shape
        for state in both
        for path, leaf in param_tree.named(state).items()
    }
    wrong = [name for name in base if base[name].shape != shapes.get(name)]
    if wrong:
        raise ValueError(f'base holds {wrong}, which the model has not, or not so.')

    def draw(key: jax.Array) -> list[jax.Array]:
        built = _build(model, lora_config, compute_dtype, key)
        _, *states = nnx.split(built, lora.trainable_filter(lora_config), ...)
        leaves = jax.tree.leaves(tuple(states))
        # XLA drops the work for the others.
        return [leaves[i].astype(dtypes[i]) for i in drawn]

    fresh = jax.jit(draw, out_shardings=[flat_places[i] for i in drawn])(
        jax.random.key(seed)
    )
    leaves = dict(zip(drawn, fresh, strict=True))
    for i, path in enumerate(paths):
        if path in base:
            leaves[i] = param_tree.place(base[path], flat_places[i], dtype=dtypes[i])
    params, frozen = jax.tree.unflatten(
        jax.tree.structure(both), [leaves[i] for i in range(len(paths))]
    )
    moving, _ = blueprint.split_held(params)
    opt_state = jax.jit(tx.init, out_shardings=blueprint.shardings.opt_state)(moving)
    step = param_tree.place(np.zeros((), np.int32), blueprint.shardings.step)
    return TrainState(step, params, frozen, opt_state)


def _build(
    model: schema.ModelConfig,
    lora_config: schema.LoraConfig,
    compute_dtype: str,
    key: jax.Array | None = None,
    *,
    remat: str = 'none',
) -> gpt2.Gpt2:
    rngs = nnx.Rngs(jax.random.key(0) if key is None else key)
    built = gpt2.Gpt2(model, dtype=jnp.dtype(compute_dtype), rngs=rngs, remat=remat)
    if lora_config.rank:
        lora.add_lora(built, lora_config, rngs=rngs)
    return built


def _split_held(params: Any, table: list[optimizer.Multiplier]) -> tuple[Any, Any]:
    held = {name for row in table if row.factor == 0 for name in row.names}
    return nnx.split_state(
        params, lambda path, _: '.'.join(map(str, path)) not in held, ...
    )


def _in_dtype(states: Any, param_dtype: str) -> Any:
    """Abstract parameters in `param_dtype`; adapters stay float32, as they are few."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.ShapeDtypeStruct(
            leaf.shape,
            leaf.dtype if '.lora_' in param_tree.dotted(path) else param_dtype,
        ),
        states,
    )
