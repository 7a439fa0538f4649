"""What tests of single updates share: random parameters, batches, trees by name."""

import jax.numpy as jnp
import numpy as np

from hax_jax.config import schema
from hax_jax.model import naming, param_tree
from hax_jax.training import train_step


def random_parameters(
    model: schema.ModelConfig, *, scale: float
) -> dict[str, np.ndarray]:
    """Normal numbers of deviation `scale`, around 1 for the norms' scales, else 0."""
    rng = np.random.default_rng(5)
    return {
        name: (name.endswith('.scale') + scale * rng.normal(size=shape)).astype(
            np.float32
        )
        for name, shape in naming.parameter_shapes(model).items()
    }


def batch(arrays: dict[str, np.ndarray]) -> train_step.Batch:
    """Arrays [B, T] as the step takes them: weights in float32, all others int32."""
    return {
        name: jnp.asarray(x, jnp.float32 if name == 'loss_weights' else jnp.int32)
        for name, x in arrays.items()
    }


def named(tree: object) -> dict[str, np.ndarray]:
    """Dotted path -> array, copied off the devices."""
    return {name: np.array(leaf) for name, leaf in param_tree.named(tree).items()}
