"""The activations of the MLP, by the names that Hugging Face gives them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_jvp
def gelu_new(x: jax.Array) -> jax.Array:
    """GELU by tanh: x (1 + tanh(y / 2)) / 2, which is x / (1 + exp(-y)).

    A quotient is what XLA's CPU compiler does not compute anew for each of its readers.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, 2.
    """
    y, _ = _inner(x)
    return x / (1 + jnp.exp(-y))


@gelu_new.defjvp
def _gelu_new_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (d_x,) = primals, tangents
    y, slope = _inner(x)
    gate = jax.nn.sigmoid(y)  # autodiff's own quotient is NaN where exp(-y) overflows
    return gelu_new(x), d_x * (gate + x * gate * (1 - gate) * slope)


def _inner(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y = 2 sqrt(2 / pi) (x + 0.044715 x^3), and dy/dx."""
    factor = x.dtype.type(2 * np.sqrt(2 / np.pi))
    return factor * (x + 0.044715 * x**3), factor * (1 + 3 * 0.044715 * x**2)


BY_NAME = {
    'gelu_new': gelu_new,
    'gelu': functools.partial(jax.nn.gelu, approximate=False),
    'relu': jax.nn.relu,
}
