"""GPT-2's parameters by name: ours, Hugging Face's torch model's and Flax model's.

The head, where it is not tied, is `lm_head.embedding` [V, D], as `wte.embedding` is.
"""

import re
from collections.abc import Callable, Iterable

import ml_dtypes
import numpy as np

from hax_jax import errors
from hax_jax.config import schema

_FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
_BUFFER = re.compile(r'h\.\d+\.attn\.(bias|masked_bias)$')  # masks, not parameters
# What has a row or column for each id of the vocabulary, and which axis that is.
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
    """The parameters of `vocab_size` ids alone: what `pad_vocab` undoes."""
    cut = dict(parameters)
    for name, axis in _VOCAB_AXIS.items():
        if name in parameters:
            cut[name] = parameters[name].take(range(model.vocab_size), axis)
    return cut


def ours(name: str) -> str:
    """`transformer.h.0.ln_1.weight` -> `h.0.ln_1.scale`, with the prefix or without.

    Kernels are [in, out] on both sides.
    """
    name = name.removeprefix('transformer.')
    module, _, kind = name.rpartition('.')
    if kind != 'weight':
        return name
    last = module.rpartition('.')[2]
    kinds = dict.fromkeys(('wte', 'wpe', 'lm_head'), 'embedding')
    kind = 'scale' if last.startswith('ln_') else kinds.get(last, 'kernel')
    return f'{module}.{kind}'


def hugging_face(name: str) -> str:
    """`h.0.ln_1.scale` -> `transformer.h.0.ln_1.weight`; the inverse of `ours`."""
    module, _, kind = name.rpartition('.')
    kind = 'bias' if kind == 'bias' else 'weight'
    prefix = '' if module == 'lm_head' else 'transformer.'
    return f'{prefix}{module}.{kind}'


def hugging_face_flax(name: str) -> str:
    """`h.0.ln_1.scale` -> `transformer/h/0/ln_1/scale`.

    Each `/kernel` there is the transpose of what is here: its Conv1D keeps [out, in],
    its head [D, V].
    """
    if name == 'lm_head.embedding':
        return 'lm_head/kernel'
    return 'transformer/' + name.replace('.', '/')


def accounted(
    stored: dict[str, np.ndarray],
    model: schema.ModelConfig,
    *,
    what: str,
    stored_name: Callable[[str], str] | None = None,
) -> dict[str, np.ndarray]:
    """Dotted path -> float32 array, of all that a file stores of `model`.

    `stored` is by the file's own names. `stored_name` gives the file's name of one of
    ours; None is Hugging Face's in torch or in Flax, with and without `transformer.`.
    Mask buffers are left out; so is a head that equals the embeddings it is tied to.
    Arrays that are float32 already are not copied.

    Raises:
      InputError: begins with `what` ("model.pretrained: /a/b"), then lists, by the
        file's names, every tensor that is missing, extra, misshapen, no float or not
        finite.
    """
    naming = stored_name or _naming(stored)
    shapes = parameter_shapes(model)
    found = {name: naming(name) for name in shapes}
    extra = {name for name in stored.keys() - set(found.values()) if not _buffer(name)}
    problems = [f'missing: {n}' for n in sorted(set(found.values()) - stored.keys())]
    head, table = naming('lm_head.embedding'), found['wte.embedding']
    if model.tie_embeddings and head in extra:
        extra.remove(head)
        if table in stored and not _equal(stored, head, table):
            problems.append(
                f'{head} differs from {table}, but config.json ties them; set '
                'tie_word_embeddings to false there if the head is its own'
            )
    problems += [f'extra: {name}' for name in sorted(extra)]
    for name, shape in shapes.items():
        tensor = stored.get(found[name])
        if tensor is None:
            continue
        expected = _there(found[name], shape)
        if tensor.shape != expected:
            problems.append(
                f'{found[name]} has shape {tensor.shape}, the model {expected}'
            )
        elif tensor.dtype not in _FLOATS:
            problems.append(f'{found[name]} holds {tensor.dtype}, not floats')
        elif not np.isfinite(tensor).all():
            problems.append(f'{found[name]} holds numbers that are not finite')
    if problems:
        raise errors.InputError(
            f'{what} does not hold the model that it should; copy it again with the '
            'config that belongs to it, or give another:\n' + '\n'.join(problems)
        )
    return {
        name: np.asarray(_here(found[name], stored[found[name]]), np.float32)
        for name in shapes
    }


def _naming(
    stored: Iterable[str],
) -> Callable[[str], str]:
    """Hugging Face's names in torch or Flax, prefixed as the stored ones are."""
    names = list(stored)
    flax = any('/' in name for name in names)
    naming = hugging_face_flax if flax else hugging_face
    prefix = 'transformer/' if flax else 'transformer.'
    if any(name.startswith(prefix) for name in names):
        return naming
    return lambda name: naming(name).removeprefix(prefix)


def _buffer(name: str) -> bool:
    return _BUFFER.search(name) is not None


def _here(name: str, tensor: np.ndarray) -> np.ndarray:
    return tensor.T if name.endswith('/kernel') else tensor


def _there(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[::-1] if name.endswith('/kernel') else shape


def _equal(stored: dict[str, np.ndarray], one: str, other: str) -> bool:
    return np.array_equal(_here(one, stored[one]), _here(other, stored[other]))
