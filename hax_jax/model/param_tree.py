"""Trees of parameters by dotted name, and host arrays placed on their devices."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def dotted(path: tuple[Any, ...]) -> str:
    """A leaf's path as one name: `h.0.attn.c_attn.kernel`, `1.0.mu.ln_f.scale`.

    The `.value` that a Variable may add at the end is left out.
    """
    names = []
    for entry in path:
        for attribute in ('key', 'idx', 'name'):
            if hasattr(entry, attribute):
                names.append(str(getattr(entry, attribute)))
                break
    if names and names[-1] in ('value', 'raw_value'):
        names.pop()
    return '.'.join(names)


def named(tree: Any) -> dict[str, Any]:
    """Dotted path -> leaf, of an `nnx.State` or any other tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {dotted(path): leaf for path, leaf in leaves}


def like(tree: Any, leaves: Mapping[str, Any]) -> Any:
    """A tree of the structure of `tree`, its leaves looked up by dotted name."""
    return jax.tree.unflatten(
        jax.tree.structure(tree), [leaves[name] for name in named(tree)]
    )


def shardings(abstract: Any) -> Any:
    """The sharding of each ShapeDtypeStruct of a tree."""
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def place(
    value: np.ndarray, sharding: jax.sharding.Sharding, *, dtype: Any = None
) -> jax.Array:
    """A host array as a device array; each device receives its own part alone.

    The array is cast to `dtype` if one is given.
    """
    return jax.make_array_from_callback(
        value.shape, sharding, lambda index: np.asarray(value[index], dtype)
    )


def place_like(abstract: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Host arrays, by dotted name, as a tree of the dtypes and shardings of `abstract`.

    The leaves of `abstract` are ShapeDtypeStructs with shardings.
    """
    return like(
        abstract,
        {
            name: place(arrays[name], leaf.sharding, dtype=leaf.dtype)
            for name, leaf in named(abstract).items()
        },
    )
