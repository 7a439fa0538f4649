"""LoRA adapters: add, select, merge. Source: Hu et al. 2021, arXiv:2106.09685, 4.1."""

import fnmatch

import jax
import jax.numpy as jnp
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


def targets(model: gpt2.Gpt2, settings: config.LoraConfig) -> list[str]:
    """The paths of the linear layers that `settings.targets` name, e.g. 'h.0.mlp.c_fc'.

    A target is a path's end, and may hold * and ?: 'attn.c_attn', 'h.1?.mlp.*'.

    Raises:
      InputError: lists each target that matches no layer.
    """
    paths = [
        '.'.join(map(str, path))
        for path, module in nnx.iter_modules(model)
        if isinstance(module, gpt2.Linear | LoraLinear)
    ]
    chosen, unmatched = set(), []
    for target in settings.targets:
        matched = [
            path
            for path in paths
            if fnmatch.fnmatch(path, target) or fnmatch.fnmatch(path, f'*.{target}')
        ]
        chosen.update(matched)
        if not matched:
            unmatched.append(target)
    if unmatched:
        kinds = sorted({path.split('.', 2)[-1] for path in paths})
        raise config.InputError(
            f'lora.targets: {", ".join(map(repr, unmatched))} match no layer; this '
            f'model has {", ".join(map(repr, kinds))} in h.0 to '
            f'h.{len(model.h) - 1}.'
        )
    return [path for path in paths if path in chosen]


def add_lora(model: gpt2.Gpt2, settings: config.LoraConfig, *, rngs: nnx.Rngs) -> None:
    """Replaces the layers that `settings.targets` name by adapted ones, in place."""
    for path in targets(model, settings):
        parent, name = _parent(model, path)
        setattr(parent, name, LoraLinear(getattr(parent, name), settings, rngs=rngs))


def merge_lora(model: gpt2.Gpt2) -> None:
    """Adds each adapter into its kernel and makes the layer plain again, in place.

    The sum is float32, whatever the model computes in.
    """
    adapted = [
        ('.'.join(map(str, path)), module)
        for path, module in nnx.iter_modules(model)
        if isinstance(module, LoraLinear)
    ]
    for path, layer in adapted:
        update = jnp.matmul(
            layer.lora_a[...], layer.lora_b[...], precision=jax.lax.Precision.HIGHEST
        )
        size_in, size_out = layer.kernel.shape
        plain = nnx.eval_shape(
            lambda size_in=size_in, size_out=size_out, dtype=layer.dtype: gpt2.Linear(
                size_in, size_out, dtype=dtype, rngs=nnx.Rngs(0)
            )
        )
        plain.kernel = nnx.Param(layer.kernel[...] + layer.scale * update)
        plain.bias = layer.bias
        parent, name = _parent(model, path)
        setattr(parent, name, plain)


def trainable_filter(settings: config.LoraConfig) -> nnx.filterlib.Filter:
    """What is trained, has moments and is checkpointed: adapters, or all parameters."""
    return nnx.LoRAParam if settings.rank else nnx.Param


def _parent(model: gpt2.Gpt2, path: str) -> tuple[nnx.Module, str]:
    *parents, name = path.split('.')
    module = model
    for step in parents:
        module = module[int(step)] if step.isdigit() else getattr(module, step)
    return module, name
