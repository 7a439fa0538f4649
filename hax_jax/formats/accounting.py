"""The tensors that a file stores against those of a model: each one accounted for."""

import re
from collections.abc import Callable, Iterable, Mapping

import ml_dtypes
import numpy as np

from hax_jax.config import schema
from hax_jax.model import naming

_FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
# What trainers put before each name: DataParallel, torch.compile, a wrapper's field.
_PREFIXES = ('module.', '_orig_mod.', 'model.')
_BUFFER = re.compile(r'h\.\d+\.attn\.(bias|masked_bias)$')  # masks, not parameters


def problems(
    stored: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[int, ...]],
    *,
    notes: Iterable[str] = (),
) -> list[str]:
    """Every tensor that is missing, extra, misshapen, no float or not finite.

    Names and shapes are the file's own on both sides. `notes` stand where a tensor is
    neither missing nor extra.
    """
    found = [f'missing: {name}' for name in sorted(expected.keys() - stored.keys())]
    found += notes
    found += [f'extra: {name}' for name in sorted(stored.keys() - expected.keys())]
    for name, shape in expected.items():
        if name not in stored:
            continue
        tensor = stored[name]
        if tensor.shape != shape:
            found.append(f'{name} has shape {tensor.shape}, the model {shape}')
        elif tensor.dtype not in _FLOATS:
            found.append(f'{name} holds {tensor.dtype}, not floats')
        elif not np.isfinite(tensor).all():
            found.append(f'{name} holds numbers that are not finite')
    return found


def require(
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[int, ...]],
    *,
    what: str,
) -> None:
    """Raises ValueError, a defect of the caller, unless the shapes are `expected`."""
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        raise ValueError(
            f'the {what} have {sorted(found.items() - expected.items())}, expected '
            f'{sorted(expected.items() - found.items())}.'
        )


def gpt2(
    stored: Mapping[str, np.ndarray],
    model: schema.ModelConfig,
    *,
    stored_name: Callable[[str], str] | None = None,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """(dotted path -> float32 array, `problems`), of a file that holds all of `model`.

    `stored_name` gives the file's name of one of ours; None is Hugging Face's in torch
    or in Flax, with and without `transformer.`. Mask buffers are left out; so is a head
    that equals the embeddings it is tied to; alone it is the embeddings. Arrays that
    are float32 already are not copied. With problems there are no arrays.
    """
    naming_of = stored_name or _hugging_face_naming(stored)
    shapes = naming.parameter_shapes(model)
    names = {name: naming_of(name) for name in shapes}
    stored = {name: x for name, x in stored.items() if not _BUFFER.search(name)}
    notes = []
    head, table = naming_of('lm_head.embedding'), names['wte.embedding']
    if model.tie_embeddings and head in stored and table not in stored:
        stored[table] = _as_ours(head, stored.pop(head))  # one tensor, by its alias
    if model.tie_embeddings and head in stored:
        tied = _as_ours(head, stored.pop(head))
        if table in stored and not np.array_equal(tied, stored[table]):
            notes.append(
                f'{head} differs from {table}, but config.json ties them; set '
                'tie_word_embeddings to false there if the head is its own'
            )
    expected = {
        names[name]: shape[::-1] if _is_turned(names[name]) else shape
        for name, shape in shapes.items()
    }
    found = problems(stored, expected, notes=notes)
    if found:
        return {}, found
    return {
        name: np.asarray(_as_ours(theirs, stored[theirs]), np.float32)
        for name, theirs in names.items()
    }, []


def without_prefix(
    stored: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], list[str]]:
    """(the tensors without what a trainer put before each name, notes that say so)."""
    stored, notes = dict(stored), []
    while prefix := next(
        (p for p in _PREFIXES if stored and all(n.startswith(p) for n in stored)), ''
    ):
        stored = {name.removeprefix(prefix): x for name, x in stored.items()}
        notes.append(f'each name begins with {prefix!r}, which is left out')
    return stored, notes


def _hugging_face_naming(stored: Iterable[str]) -> Callable[[str], str]:
    """Hugging Face's names in torch or Flax, prefixed as the stored ones are."""
    flax = any('/' in name for name in stored)
    naming_of = naming.hugging_face_flax if flax else naming.hugging_face
    prefix = 'transformer/' if flax else 'transformer.'
    if any(name.startswith(prefix) for name in stored):
        return naming_of
    return lambda name: naming_of(name).removeprefix(prefix)


def _is_turned(stored_name: str) -> bool:
    """Whether the file keeps the transpose of what is here, as Flax does."""
    return stored_name.endswith('/kernel')


def _as_ours(stored_name: str, tensor: np.ndarray) -> np.ndarray:
    return tensor.T if _is_turned(stored_name) else tensor
