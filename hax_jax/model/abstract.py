"""A model before it exists: its graph, and each parameter's shape, dtype, sharding."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import gpt2, layer_loop, lora, own_rows, param_tree

_BLOCKS = 'h.'  # how the names of their parameters begin


@dataclasses.dataclass(frozen=True)
class AbstractModel:
    """Everything about a model but its numbers.

    `params` (trained) and `frozen` are disjoint `nnx.State`s of one model. Their leaves
    are jax.ShapeDtypeStructs, each with its sharding.
    """

    config: schema.ModelConfig
    lora: schema.LoraConfig
    compute_dtype: str
    graphdef: Any
    params: Any
    frozen: Any

    @functools.cached_property
    def split(self) -> dict[str, PartitionSpec]:
        """Dotted path -> the spec of each parameter that fsdp, over 1, splits."""
        leaves = param_tree.named(self.params) | param_tree.named(self.frozen)
        return {
            name: leaf.sharding.spec
            for name, leaf in leaves.items()
            if own_rows.is_split(leaf.sharding)
        }

    def gather_outside_blocks(self, tree: Any) -> Any:
        """In `own_rows.run`: a tree of parameters, whole but for the blocks'."""
        outside = {
            name: spec
            for name, spec in self.split.items()
            if not name.startswith(_BLOCKS)
        }
        return self._gathered(tree, outside)

    @property
    def gather_block(self) -> Callable[[nnx.State], nnx.State] | None:
        """layer_loop.py's `gather`; None where fsdp splits no block."""
        # Blocks may differ in adapters, not in how one of a name is split.
        inside = {
            name.split('.', 2)[2]: spec
            for name, spec in self.split.items()
            if name.startswith(_BLOCKS)
        }
        return functools.partial(self._gathered, split=inside) if inside else None

    def _gathered(self, tree: Any, split: dict[str, PartitionSpec]) -> Any:
        dtype = jnp.dtype(self.compute_dtype)
        leaves = {
            name: own_rows.gather(leaf, split[name], dtype) if name in split else leaf
            for name, leaf in param_tree.named(tree).items()
        }
        return param_tree.like(tree, leaves)


class _Keys(nnx.Rngs):
    """The keys that nnx.Rngs(key) gives, counted in Python.

    Rngs counts in an array. While a program is traced, flax asks that array for its
    sharding at each count, and jax makes an error's text out of all that was traced.
    """

    def __init__(self, key: jax.Array) -> None:
        keys = (jax.random.fold_in(key, i) for i in itertools.count())
        object.__setattr__(self, '_keys', keys)

    def params(self) -> jax.Array:
        return next(self._keys)


def build(
    model: schema.ModelConfig,
    lora_config: schema.LoraConfig,
    *,
    compute_dtype: str,
    key: jax.Array,
    remat: str = 'none',
) -> gpt2.Gpt2:
    """A model with parameters drawn from `key`, adapted where `lora_config` says so."""
    rngs = _Keys(key)
    built = gpt2.Gpt2(model, dtype=jnp.dtype(compute_dtype), rngs=rngs, remat=remat)
    if lora_config.rank:
        lora.add_lora(built, lora_config, rngs=rngs)
    return built


def abstract_model(
    model: schema.ModelConfig,
    lora_config: schema.LoraConfig,
    *,
    compute_dtype: str,
    mesh: Mesh | None,
    param_dtype: str = 'float32',
    remat: str = 'none',
) -> AbstractModel:
    """The model's description; runs nothing and allocates nothing.

    Parameters are stored in `param_dtype`, adapters, which are few, in float32. They
    are sharded over `mesh`, or lie on the first local device where that is None.

    Raises:
      InputError: a LoRA target matches no layer, or `scan_layers` is asked of blocks
        that differ.
    """

    def made() -> gpt2.Gpt2:
        key = jax.random.key(0)
        return build(
            model, lora_config, compute_dtype=compute_dtype, key=key, remat=remat
        )

    def described(path: tuple[Any, ...], leaf: Any) -> jax.ShapeDtypeStruct:
        name = param_tree.dotted(path)
        dtype = leaf.dtype if '.lora_' in name else param_dtype
        if mesh is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        else:
            sharding = mesh_lib.parameter_sharding(mesh, name, leaf.shape)
        return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)

    built = nnx.eval_shape(made)
    if model.scan_layers:
        layer_loop.check_alike(built.h)
    graphdef, *states = nnx.split(built, lora.trainable_filter(lora_config), ...)
    params, frozen = jax.tree_util.tree_map_with_path(described, states)
    return AbstractModel(model, lora_config, compute_dtype, graphdef, params, frozen)
