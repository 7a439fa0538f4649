"""Trees of parameters by dotted name, and host arrays put on their devices."""

from typing import Any

import jax
import numpy as np


def place(
    value: np.ndarray, sharding: jax.sharding.Sharding, *, dtype: Any = None
) -> jax.Array:
    """A host array as a device array; each device receives its own part alone.

    `dtype` is what it becomes, by default its own.
    """
    return jax.make_array_from_callback(
        value.shape, sharding, lambda index: np.asarray(value[index], dtype)
    )


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


def named(state: Any) -> dict[str, Any]:
    """Dotted path -> leaf, of an `nnx.State` or any other tree."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {dotted(path): leaf for path, leaf in leaves}
