"""Adapters merged into the kernels of their base, on host arrays.

Arrays are by dotted path: `h.0.mlp.c_fc.lora_a` [in, r] and `.lora_b` [r, out] go into
`h.0.mlp.c_fc.kernel` [in, out].
"""

import dataclasses

import numpy as np

from hax_jax.config import schema
from hax_jax.model import lora

Arrays = dict[str, np.ndarray]


def merge(base: Arrays, adapter: Arrays, settings: schema.LoraConfig) -> Arrays:
    """The base's parameters with each adapter added into its kernel, in float32.

    An adapter of the head makes `lm_head.embedding`, a head of its own
    (`merged_model`); wte stays as it is.
    """
    merged = dict(base)
    for name, a in adapter.items():
        layer, _, kind = name.rpartition('.')
        if kind != 'lora_a':
            continue
        update = np.asarray(a, np.float32) @ adapter[f'{layer}.lora_b']
        kernel = _kernel(base, layer) + np.float32(lora.scale(settings)) * update
        if settings.dora:
            lengths = np.maximum(np.linalg.norm(kernel, axis=0), lora.TINY)
            kernel = kernel * (adapter[f'{layer}.lora_magnitude'] / lengths)
        if layer == lora.HEAD:
            merged['lm_head.embedding'] = np.ascontiguousarray(kernel.T)
        else:
            merged[f'{layer}.kernel'] = kernel
    return merged


def merged_model(
    model: schema.ModelConfig, settings: schema.LoraConfig
) -> schema.ModelConfig:
    """The sizes after `merge`: an adapted head is no longer tied."""
    if settings.rank and lora.HEAD in settings.targets:
        return dataclasses.replace(model, tie_embeddings=False)
    return model


def initial_magnitudes(base: Arrays, settings: schema.LoraConfig) -> Arrays:
    """DoRA's magnitudes before training: the lengths of the base's columns."""
    if not (settings.rank and settings.dora):
        return {}
    shapes = {name: array.shape for name, array in base.items()}
    return {
        name: np.linalg.norm(_kernel(base, name.rpartition('.')[0]), axis=0)
        for name in lora.adapter_shapes(shapes, settings)
        if name.endswith('.lora_magnitude')
    }


def _kernel(parameters: Arrays, layer: str) -> np.ndarray:
    """A layer's kernel [in, out]; the head's is its table's transpose."""
    if layer == lora.HEAD:
        return parameters.get('lm_head.embedding', parameters['wte.embedding']).T
    return parameters[f'{layer}.kernel']
