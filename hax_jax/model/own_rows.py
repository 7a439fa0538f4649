"""A program that each device runs on its own rows, with what devices do together.

GSPMD, left alone, gathers and sums where a product stands: the table in each chunk of
the loss, gradients in each microbatch. Here `data` and `fsdp` move nothing by
themselves: what must come together is gathered or summed by name, once.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree


def run(
    function: Callable[..., Any], mesh: Mesh, *, in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
    """`function`, run by each device on its own rows and parts of parameters.

    Inside it, `data` and `fsdp` do nothing by themselves: what must come together is
    gathered (`gather`) or summed (jax.lax.psum) by name. `tensor` stays XLA's. Where
    one device has all rows, it is the function itself.
    """
    if mesh_lib.num_batch_shards(mesh) == 1:
        return function
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names=set(mesh_lib.BATCH),
        check_vma=False,
    )


def is_split(sharding: jax.sharding.Sharding) -> bool:
    """Whether the fsdp axis, over 1, splits an array."""
    return (
        isinstance(sharding, NamedSharding)
        and 'fsdp' in sharding.spec
        and sharding.mesh.shape['fsdp'] > 1
    )


def own_parts(abstract: Any) -> Any:
    """The spec of each ShapeDtypeStruct of a tree for `run`: without tensor."""

    def spec(leaf: jax.ShapeDtypeStruct) -> PartitionSpec:
        axes = getattr(leaf.sharding, 'spec', ())
        return PartitionSpec(
            *(axis if axis in mesh_lib.BATCH else None for axis in axes)
        )

    return jax.tree.map(spec, abstract)


def gather(x: jax.Array, spec: PartitionSpec, dtype: jnp.dtype) -> jax.Array:
    """In `run`: a parameter of which x is the device's part by `spec`, whole.

    It is rounded to `dtype` on its way and comes in x's dtype again, so that its
    gradient is not rounded: that is summed over fsdp, and each device keeps its part.
    """
    dimension = spec.index('fsdp')
    rest = PartitionSpec(*(None if axis == 'fsdp' else axis for axis in spec))

    def whole(_: tuple[()], part: jax.Array) -> jax.Array:
        rounded = part.astype(dtype)
        found = jax.lax.all_gather(rounded, 'fsdp', axis=dimension, tiled=True)
        return found.astype(part.dtype)

    def part(_: tuple[()], whole: jax.Array) -> jax.Array:
        return jax.lax.psum_scatter(
            whole, 'fsdp', scatter_dimension=dimension, tiled=True
        )

    def on_shards(one: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        # Left to itself, XLA would gather over tensor too.
        return jax.shard_map(
            one,
            in_specs=((), rest),
            out_specs=rest,
            axis_names={'tensor'},
            check_vma=False,
        )

    # One operation, so that a policy of jax.checkpoint can name it.
    return jax.custom_derivatives.linear_call(on_shards(whole), on_shards(part), (), x)


def heads_together(c_attn: Any, parts: int) -> Any:
    """c_attn with its columns [parts, 3, n / parts]: each part has its heads' q, k, v.

    They are stored as [3, n], of which the tensor axis's parts are no heads' own. To
    move them costs less than to move what they make of many tokens.
    """
    if parts == 1:
        return c_attn
    graphdef, state = nnx.split(c_attn)
    leaves = param_tree.named(state)
    moved = {
        # An adapter's A has no such columns; one number a column is not rounded.
        name: leaf
        if name == 'lora_a'
        else _moved(leaf, parts, c_attn.dtype if leaf.ndim > 1 else leaf.dtype)
        for name, leaf in leaves.items()
    }
    return nnx.merge(graphdef, param_tree.like(state, moved))


def _moved(x: jax.Array, parts: int, dtype: jnp.dtype) -> jax.Array:
    """x [..., 3 n] as [..., parts, 3, n / parts], rounded to `dtype` on its way."""
    whole, split = (None,) * x.ndim, (*(None,) * (x.ndim - 1), 'heads')

    def order(x: jax.Array, first: int, second: int, out: jnp.dtype) -> jax.Array:
        x = mesh_lib.constrain(x, *whole)
        columns = x.reshape(*x.shape[:-1], first, second, -1)
        columns = columns.swapaxes(-3, -2).reshape(x.shape)
        return mesh_lib.constrain(columns, *split).astype(out)

    return jax.custom_derivatives.linear_call(
        lambda _, x: order(x.astype(dtype), 3, parts, x.dtype),
        lambda _, x: order(x, parts, 3, x.dtype),
        (),
        x,
    )


def key_of(key: jax.Array, place: jax.Array) -> jax.Array:
    """In `run`: a key whose bits [B, ...] are those of the device's own rows.

    `place` is the device's among those that share the rows: of the bits that `key`
    gives for the rows of all devices, its own key gives rows [place * B, (place + 1) *
    B).
    """
    data = jnp.append(jax.random.key_data(key), place.astype(jnp.uint32))
    return jax.random.wrap_key_data(data, impl=_own_rows_generator())


@functools.cache
def _own_rows_generator() -> Any:
    """JAX's threefry on (key, place): it counts from the first of the own rows.

    The bits of number i are those of threefry(key, i), as two words.
    """
    own = jax.extend.random.threefry_prng_impl

    def random_bits(data: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
        assert width == 32
        row = data[2] * shape[0] + jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
        size = math.prod(shape[1:])
        # row * size + number, in two words; a row's number has 16 bits at most.
        high, low = row * (size >> 16), row * (size & 0xFFFF)
        total = (high << 16) + low
        carry = (high >> 16) + (total < low)
        number = jax.lax.iota(jnp.uint32, size).reshape(shape[1:])
        counts = total + number
        carry = carry + (counts < number)
        bits = jax.extend.random.threefry2x32_p.bind(
            *(jnp.broadcast_to(word, shape) for word in data[:2]), carry, counts
        )
        return bits[0] ^ bits[1]

    return jax.extend.random.define_prng_impl(
        key_shape=(3,),
        seed=lambda seed: jnp.append(own.seed(seed), jnp.uint32(0)),
        split=own.split,
        random_bits=random_bits,
        fold_in=lambda data, number: jnp.append(own.fold_in(data[:2], number), data[2]),
        name='own_rows',
    )
