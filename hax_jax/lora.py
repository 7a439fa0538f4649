"""LoRA adapters: add, select, merge. Source: Hu et al. 2021, arXiv:2106.09685, 4.1."""

import fnmatch

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hax_jax import config, gpt2


class LoraLinear(nnx.Module):
    """y = x @ kernel + bias + (alpha / rank) * dropout(x) @ lora_a @ lora_b.

    `kernel` and `bias` keep the paths that they had in the plain layer. `lora_b` begins
    at zero, so the layer begins as the one that it replaces.
    """

    def __init__(
        self, base: gpt2.Linear, settings: config.LoraConfig, *, rngs: nnx.Rngs
    ) -> None:
        self.kernel = base.kernel
        self.bias = base.bias
        self.dtype = base.dtype
        self.scale = settings.alpha / settings.rank
        self.dropout = settings.dropout
        size_in, size_out = base.in_features, base.out_features
        # Uniform within 1 / sqrt(in), as the paper's own code and peft have it.
        init = nnx.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
        a = init(rngs.params(), (size_in, settings.rank))
        self.lora_a = nnx.LoRAParam(a)
        self.lora_b = nnx.LoRAParam(jnp.zeros((settings.rank, size_out)))

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        x, kernel, bias, a, b = nnx.nn.dtypes.promote_dtype(
            (x, self.kernel[...], self.bias[...], self.lora_a[...], self.lora_b[...]),
            dtype=self.dtype,
        )
        adapted = x
        if self.dropout > 0 and key is not None:
            keep = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            adapted = jnp.where(keep, x / (1 - self.dropout), 0)
        return x @ kernel + bias + (adapted @ a) @ b * self.scale


def adapter_shapes(
    shapes: dict[str, tuple[int, ...]], settings: config.LoraConfig
) -> dict[str, tuple[int, ...]]:
    """The adapters' names and shapes, for a base of these names and shapes.

    A target is a layer's path or the end of one, and may hold * and ?: 'attn.c_attn',
    'h.1?.mlp.*'.

    Raises:
      InputError: lists each target that matches no layer.
    """
    layers = [name.removesuffix('.kernel') for name in shapes if '.kernel' in name]
    adapters: dict[str, tuple[int, ...]] = {}
    unmatched = []
    for target in settings.targets:
        matched = [
            layer
            for layer in layers
            if fnmatch.fnmatch(layer, target) or fnmatch.fnmatch(layer, f'*.{target}')
        ]
        for layer in matched:
            size_in, size_out = shapes[f'{layer}.kernel']
            adapters[f'{layer}.lora_a'] = (size_in, settings.rank)
            adapters[f'{layer}.lora_b'] = (settings.rank, size_out)
        if not matched:
            unmatched.append(target)
    if unmatched:
        kinds = sorted({layer.split('.', 2)[-1] for layer in layers})
        raise config.InputError(
            f'lora.targets: {", ".join(map(repr, unmatched))} match no layer; this '
            f'model has {", ".join(map(repr, kinds))} in each block h.0, h.1, ...'
        )
    return adapters


def add_lora(model: gpt2.Gpt2, settings: config.LoraConfig, *, rngs: nnx.Rngs) -> None:
    """Replaces the layers that `settings.targets` name by adapted ones, in place."""
    shapes = {
        f'{".".join(map(str, path))}.kernel': module.kernel.shape
        for path, module in nnx.iter_modules(model)
        if isinstance(module, gpt2.Linear)
    }
    for name in adapter_shapes(shapes, settings):
        path, _, kind = name.rpartition('.')
        if kind != 'lora_a':
            continue
        parent, name = _parent(model, path)
        setattr(parent, name, LoraLinear(getattr(parent, name), settings, rngs=rngs))


def merge(
    base: dict[str, np.ndarray],
    adapter: dict[str, np.ndarray],
    settings: config.LoraConfig,
) -> dict[str, np.ndarray]:
    """The base's parameters with each adapter added into its kernel, in float32.

    Both are dotted path -> array; `h.0.mlp.c_fc.lora_a` [in, r] and `.lora_b` [r, out]
    go into `h.0.mlp.c_fc.kernel` [in, out].
    """
    merged = dict(base)
    for name, a in adapter.items():
        if name.endswith('.lora_a'):
            layer = name.removesuffix('.lora_a')
            update = a.astype(np.float32) @ adapter[f'{layer}.lora_b']
            scale = np.float32(settings.alpha / settings.rank)
            merged[f'{layer}.kernel'] = base[f'{layer}.kernel'] + scale * update
    return merged


def trainable_filter(settings: config.LoraConfig) -> nnx.filterlib.Filter:
    """What is trained, has moments and is checkpointed: adapters, or all parameters."""
    return nnx.LoRAParam if settings.rank else nnx.Param


def _parent(model: gpt2.Gpt2, path: str) -> tuple[nnx.Module, str]:
    *parents, name = path.split('.')
    module = model
    for step in parents:
        module = module[int(step)] if step.isdigit() else getattr(module, step)
    return module, name
