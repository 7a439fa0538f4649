"""Products and activations with gradients of our own, against autodiff and numpy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax.model import activations, linear


def drawn(*shape: int, seed: int = 0, dtype: str = 'float32') -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    return linear.add_bias(linear.product(x, kernel), bias)


def plain_affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    return x @ kernel + bias


def plain_by_rows(x: jax.Array, table: jax.Array) -> jax.Array:
    return x @ table.T


@pytest.mark.parametrize(
    ('ours', 'plain', 'shapes'),
    [
        (affine, plain_affine, [(2, 5, 8), (8, 24), (24,)]),
        (affine, plain_affine, [(2, 5, 32), (32, 2), (2,)]),
        (affine, plain_affine, [(7, 8), (8, 4), (4,)]),
        (linear.product_by_rows, plain_by_rows, [(2, 5, 8), (50, 8)]),
    ],
)
def test_values_and_gradients_are_those_of_autodiff(
    ours: Callable[..., jax.Array],
    plain: Callable[..., jax.Array],
    shapes: list[tuple[int, ...]],
) -> None:
    args = [drawn(*shape, seed=i) for i, shape in enumerate(shapes)]
    towards = drawn(*plain(*args).shape, seed=9)

    def gradients(f: Callable[..., jax.Array]) -> list[jax.Array]:
        return jax.grad(
            lambda args: jnp.sum(jnp.sin(f(*args)) * towards)  # no constant cotangent
        )(args)

    np.testing.assert_allclose(ours(*args), plain(*args), atol=1e-5)
    for found, expected in zip(gradients(ours), gradients(plain), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_in_bfloat16_a_float32_kernel_has_a_float32_gradient() -> None:
    x = drawn(4, 300, 16, dtype='bfloat16')
    kernel, bias = drawn(16, 8, seed=1), drawn(8, seed=2)
    towards = drawn(4, 300, 8, seed=3, dtype='bfloat16')

    def f(kernel: jax.Array, bias: jax.Array) -> jax.Array:
        y = affine(x, kernel, bias)
        assert y.dtype == jnp.bfloat16
        return jnp.sum((y * towards).astype(jnp.float32))

    d_kernel, d_bias = jax.jit(jax.grad(f, (0, 1)))(kernel, bias)
    exact = np.asarray(x, np.float64).reshape(-1, 16)
    d_y = np.asarray(towards, np.float64).reshape(-1, 8)
    # Rounded to bfloat16, which has 8 bits, it would be 4e-3 from it.
    np.testing.assert_allclose(d_kernel, exact.T @ d_y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(d_bias, d_y.sum(0), rtol=1e-4, atol=1e-4)


def test_gelu_is_the_formula_with_tanh_and_its_slope_is_finite_everywhere() -> None:
    x = np.concatenate([np.linspace(-6, 6, 241), [-1e4, -60, -11, -10.1, 11, 60, 1e4]])
    y = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    expected = 0.5 * x * (1 + np.tanh(y))
    slope_y = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    slope = 0.5 * (1 + np.tanh(y)) + 0.5 * x * (1 - np.tanh(y) ** 2) * slope_y
    given = jnp.asarray(x, jnp.float32)
    found, found_slope = jax.vmap(jax.value_and_grad(activations.gelu_new))(given)
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(found_slope, slope, atol=2e-6)
