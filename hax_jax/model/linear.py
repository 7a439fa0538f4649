"""Products with parameters, with backward passes that are written out.

They say what autodiff leaves to chance. Products add up in float32 whatever they are
of, and so do a bias's sums over positions. A parameter's gradient is float32 where the
parameter is, not rounded to the compute dtype on its way. A gradient that arrives in
float32 is rounded to the compute dtype before it is multiplied: a float32 product is
many times slower on an accelerator. A kernel's gradient is made [in, out], as it is
stored; autodiff makes [out, in] from a transposed copy of the arriving gradient, and
XLA's CPU compiler makes that gradient again, back to the last layer, for each copy.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

PRODUCT = 'product'


def product(
    x: Float[Array, '*B I'], kernel: Float[Array, 'I O']
) -> Float[Array, '*B O']:
    """x @ kernel in x's dtype, named `PRODUCT` for layer_loop.py."""
    return checkpoint_name(_product(x, kernel), PRODUCT)


@jax.custom_vjp
def product_by_rows(
    x: Float[Array, '*B D'], table: Float[Array, 'V D']
) -> Float[Array, '*B V']:
    """x @ table.T in float32."""
    return _dot(x, -1, table.astype(x.dtype), 1)


@jax.custom_vjp
def add_bias(y: Float[Array, '*B O'], bias: Float[Array, ' O']) -> Float[Array, '*B O']:
    """y + bias in y's dtype."""
    return y + bias.astype(y.dtype)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _dot(x, -1, kernel.astype(x.dtype), 0).astype(x.dtype)


_Operands = tuple[jax.Array, jax.Array]


def _product_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, _Operands]:
    return _product(x, kernel), (x, kernel)


def _product_backward(kept: _Operands, d_y: jax.Array) -> _Operands:
    x, kernel = kept
    d_x = _dot(d_y, -1, kernel.astype(x.dtype), 1)
    return d_x.astype(x.dtype), _over_rows(x, d_y).astype(kernel.dtype)


def _by_rows_forward(x: jax.Array, table: jax.Array) -> tuple[jax.Array, _Operands]:
    return product_by_rows(x, table), (x, table)


def _by_rows_backward(kept: _Operands, d_y: jax.Array) -> _Operands:
    x, table = kept
    d_y = d_y.astype(x.dtype)
    d_x = _dot(d_y, -1, table.astype(x.dtype), 0)
    return d_x.astype(x.dtype), _over_rows(d_y, x).astype(table.dtype)


def _bias_forward(y: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    return add_bias(y, bias), bias


def _bias_backward(bias: jax.Array, d_y: jax.Array) -> _Operands:
    d_bias = jnp.sum(d_y, axis=tuple(range(d_y.ndim - 1)), dtype=jnp.float32)
    return d_y, d_bias.astype(bias.dtype)


_product.defvjp(_product_forward, _product_backward)
product_by_rows.defvjp(_by_rows_forward, _by_rows_backward)
add_bias.defvjp(_bias_forward, _bias_backward)


def _dot(a: jax.Array, axis_a: int, b: jax.Array, axis_b: int) -> jax.Array:
    return jnp.tensordot(a, b, (axis_a, axis_b), preferred_element_type=jnp.float32)


def _over_rows(a: Float[Array, '*B I'], b: Float[Array, '*B O']) -> Float[Array, 'I O']:
    rows = tuple(range(a.ndim - 1))
    return jnp.tensordot(a, b, (rows, rows), preferred_element_type=jnp.float32)
