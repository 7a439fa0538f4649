"""Low-rank adapters: the layers, and which layers of a model they adapt.

Merging them into their base is lora_merge.py's. LoRA: Hu et al. 2021, arXiv:2106.09685,
4.1. rsLoRA's scale: Kalajdzievski 2023, arXiv:2312.03732. DoRA: Liu et al. 2024,
arXiv:2402.09353, 4.1 to 4.3.
"""

import fnmatch
import math

import jax
import jax.numpy as jnp
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.model import gpt2, linear, naming

HEAD = 'lm_head'
TINY = 1e-30  # a column of zeros has no direction; it stays zero


def scale(settings: schema.LoraConfig) -> float:
    """The factor of A @ B: alpha / rank, or alpha / sqrt(rank) with rslora."""
    root = math.sqrt(settings.rank) if settings.rslora else settings.rank
    return settings.alpha / root


class LoraLinear(nnx.Module):
    """y = x @ kernel + bias + scale * dropout(x) @ lora_a @ lora_b.

    `kernel` and `bias` keep the paths that they had in the plain layer. `lora_b` begins
    at zero, so the layer begins as the one that it replaces. With DoRA, each column of
    kernel + scale * lora_a @ lora_b is scaled to the length in `lora_magnitude` [out].
    """

    def __init__(
        self, base: gpt2.Linear, settings: schema.LoraConfig, *, rngs: nnx.Rngs
    ) -> None:
        self.kernel = base.kernel
        self.bias = base.bias
        self.dtype = base.dtype
        self.scale = scale(settings)
        self.dropout = settings.dropout
        self.dora = settings.dora
        self.lora_a, self.lora_b = _pair(
            base.in_features, base.out_features, settings.rank, rngs
        )
        if self.dora:
            lengths = jnp.linalg.norm(base.kernel[...], axis=0)
            self.lora_magnitude = nnx.LoRAParam(lengths)

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        a, b = self.lora_a[...], self.lora_b[...]
        x = x.astype(self.dtype)
        low = linear.product(gpt2.dropout(x, self.dropout, key), a) * self.scale
        y = linear.product(x, self.kernel[...]) + linear.product(low, b)
        if self.dora:
            adapted_kernel = self.kernel[...] + self.scale * a @ b  # [in, out]
            factor = _stretch(self.lora_magnitude[...], adapted_kernel, axis=0)
            y = y * factor.astype(y.dtype)
        return linear.add_bias(y, self.bias[...])


class LoraHead(gpt2.Head):
    """The head with an adapter, as one wider product.

    [hidden, scale * dropout(hidden) @ lora_a] @ [table, lora_b.T].T equals the output
    of a LoraLinear on table.T, so the loss needs no second path. The table stays tied
    to wte, which the adapter leaves alone.
    """

    def __init__(
        self,
        base: gpt2.Head,
        wte: jax.Array,
        settings: schema.LoraConfig,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        if hasattr(base, 'embedding'):
            self.embedding = base.embedding
        table = base.table(wte)
        self.scale = scale(settings)
        self.dropout = settings.dropout
        self.dora = settings.dora
        rows, size = table.shape
        self.lora_a, self.lora_b = _pair(size, rows, settings.rank, rngs)
        if self.dora:
            self.lora_magnitude = nnx.LoRAParam(jnp.linalg.norm(table, axis=1))

    def __call__(
        self, hidden: jax.Array, wte: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        a, b, table = self.lora_a[...], self.lora_b[...], self.table(wte)
        adapted = gpt2.dropout(hidden, self.dropout, key) @ a.astype(hidden.dtype)
        features = jnp.concatenate([hidden, adapted * self.scale], -1)  # [.., D + r]
        wide = jnp.concatenate([table, b.T], axis=1)  # [V, D + r]
        if self.dora:
            adapted_table = table + self.scale * (a @ b).T  # [V, D]
            factor = _stretch(self.lora_magnitude[...], adapted_table, axis=1)
            wide = wide * factor[:, None]
        return features, wide


def adapter_shapes(
    shapes: dict[str, tuple[int, ...]], settings: schema.LoraConfig
) -> dict[str, tuple[int, ...]]:
    """The adapters' names and shapes, for a base of these names and shapes.

    A target is a layer's path or the end of one, and may hold * and ?: 'attn.c_attn',
    'h.1?.mlp.*'. Only 'lm_head' itself targets the head.

    Raises:
      InputError: lists each target that matches no layer.
    """
    sizes = {
        name.removesuffix('.kernel'): shape
        for name, shape in shapes.items()
        if name.endswith('.kernel')
    }
    adapters: dict[str, tuple[int, ...]] = {}
    unmatched = []
    for target in settings.targets:
        matched = {
            layer: size
            for layer, size in sizes.items()
            if fnmatch.fnmatch(layer, target) or fnmatch.fnmatch(layer, f'*.{target}')
        }
        if target == HEAD:
            rows, size = shapes.get('lm_head.embedding', shapes['wte.embedding'])
            matched = {HEAD: (size, rows)}
        for layer, (size_in, size_out) in matched.items():
            adapters[f'{layer}.lora_a'] = (size_in, settings.rank)
            adapters[f'{layer}.lora_b'] = (settings.rank, size_out)
            if settings.dora:
                adapters[f'{layer}.lora_magnitude'] = (size_out,)
        if not matched:
            unmatched.append(target)
    if unmatched:
        kinds = sorted({layer.split('.', 2)[-1] for layer in sizes})
        raise errors.InputError(
            f'lora.targets: {", ".join(map(repr, unmatched))} '
            f'match{"" if len(unmatched) > 1 else "es"} no layer; this '
            f'model has {", ".join(map(repr, kinds))} in each block h.0, h.1, ..., '
            f'and {HEAD!r}.'
        )
    return adapters


def add_lora(model: gpt2.Gpt2, settings: schema.LoraConfig, *, rngs: nnx.Rngs) -> None:
    """Replaces the layers that `settings.targets` match by adapted ones, in place."""
    for name in adapter_shapes(naming.parameter_shapes(model.model), settings):
        path, _, kind = name.rpartition('.')
        if kind != 'lora_a':
            continue
        if path == HEAD:
            wte = model.wte.embedding[...]
            model.lm_head = LoraHead(model.lm_head, wte, settings, rngs=rngs)
            continue
        _, number, part, layer = path.split('.')  # h.0.mlp.c_fc
        parent = getattr(model.h[int(number)], part)
        adapted = LoraLinear(getattr(parent, layer), settings, rngs=rngs)
        setattr(parent, layer, adapted)


def trainable_filter(settings: schema.LoraConfig) -> nnx.filterlib.Filter:
    """Selects the parameters to train, with moments and checkpoints."""
    return nnx.LoRAParam if settings.rank else nnx.Param


def _pair(
    size_in: int, size_out: int, rank: int, rngs: nnx.Rngs
) -> tuple[nnx.LoRAParam, nnx.LoRAParam]:
    """A [in, r], uniform within 1 / sqrt(in) as in the paper's code; B [r, out], 0."""
    init = nnx.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
    a = nnx.LoRAParam(init(rngs.params(), (size_in, rank)))
    return a, nnx.LoRAParam(jnp.zeros((rank, size_out)))


def _stretch(magnitude: jax.Array, kernel: jax.Array, *, axis: int) -> jax.Array:
    """magnitude / length of the kernel's vectors along `axis`.

    The length has no gradient of its own (DoRA's paper, 4.3): it costs little quality
    and saves the memory of a second backward pass.
    """
    lengths = jnp.linalg.norm(jax.lax.stop_gradient(kernel), axis=axis)
    return magnitude / jnp.maximum(lengths, TINY)
