"""GPT-2's parameters by name: their shapes, and Hugging Face's names for them.

The head, where it is not tied, is `lm_head.embedding` [V, D], as `wte.embedding` is.
"""

import numpy as np

from hax_jax.config import schema

# Parameters with a row or column for each id of the vocabulary, and the axis of it.
_VOCAB_AXIS = {
    'wte.embedding': 0,
    'lm_head.embedding': 0,
    'lm_head.lora_b': 1,
    'lm_head.lora_magnitude': 0,
}


def parameter_shapes(model: schema.ModelConfig) -> dict[str, tuple[int, ...]]:
    """Dotted path -> shape, of every parameter of a GPT-2 of these sizes.

    A vocabulary that is padded has its padded rows.
    """
    d, f, v = model.n_embd, model.mlp_width, model.num_table_rows
    shapes: dict[str, tuple[int, ...]] = {
        'wte.embedding': (v, d),
        'wpe.embedding': (model.n_positions, d),
        'ln_f.scale': (d,),
        'ln_f.bias': (d,),
    }
    if not model.tie_embeddings:
        shapes['lm_head.embedding'] = (v, d)
    for i in range(model.n_layer):
        for norm in ('ln_1', 'ln_2'):
            shapes[f'h.{i}.{norm}.scale'] = (d,)
            shapes[f'h.{i}.{norm}.bias'] = (d,)
        for layer, size_in, size_out in (
            ('attn.c_attn', d, 3 * d),
            ('attn.c_proj', d, d),
            ('mlp.c_fc', d, f),
            ('mlp.c_proj', f, d),
        ):
            shapes[f'h.{i}.{layer}.kernel'] = (size_in, size_out)
            shapes[f'h.{i}.{layer}.bias'] = (size_out,)
    return shapes


def pad_vocab(
    parameters: dict[str, np.ndarray], model: schema.ModelConfig
) -> dict[str, np.ndarray]:
    """The parameters with zeros after the vocabulary, up to `num_table_rows`."""
    padded = dict(parameters)
    for name, axis in _VOCAB_AXIS.items():
        if name in parameters:
            array = parameters[name]
            missing = model.num_table_rows - array.shape[axis]
            if missing > 0:
                widths = [(0, missing * (i == axis)) for i in range(array.ndim)]
                padded[name] = np.pad(array, widths)
    return padded


def unpad_vocab(
    parameters: dict[str, np.ndarray], model: schema.ModelConfig
) -> dict[str, np.ndarray]:
    """The parameters without the padding of the vocabulary."""
    cut = dict(parameters)
    for name, axis in _VOCAB_AXIS.items():
        if name in parameters:
            cut[name] = parameters[name].take(range(model.vocab_size), axis)
    return cut


def hugging_face(name: str) -> str:
    """`h.0.ln_1.scale` -> `transformer.h.0.ln_1.weight`; kernels are [in, out] too."""
    module, _, kind = name.rpartition('.')
    kind = 'bias' if kind == 'bias' else 'weight'
    prefix = '' if module == 'lm_head' else 'transformer.'
    return f'{prefix}{module}.{kind}'


def hugging_face_flax(name: str) -> str:
    """`h.0.ln_1.scale` -> `transformer/h/0/ln_1/scale`.

    Each `/kernel` there is the transpose of ours: Flax's Conv1D keeps [out, in], its
    head [D, V].
    """
    if name == 'lm_head.embedding':
        return 'lm_head/kernel'
    return 'transformer/' + name.replace('.', '/')
