"""Facts of one checkpoint for people: its size, and what is in each of its tensors."""

import dataclasses
import pathlib

import numpy as np

from hax_jax import places
from hax_jax.runs import checkpoint


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A stored tensor. `norm` and `largest` (by size) leave out what is not finite."""

    tree: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    norm: float
    largest: float
    not_finite: int


def size(path: pathlib.Path) -> int:
    """Bytes of all files below a folder."""
    if places.is_remote(path):
        return sum(found.size for found in path.objects().values())
    return sum(file.stat().st_size for file in path.rglob('*') if file.is_file())


def tensors(path: pathlib.Path) -> list[Tensor]:
    """The tensors of a step, tree by tree, in the order of their names.

    Raises:
      InputError: the step can't be read.
    """
    return [
        _describe(tree, name, array)
        for tree in checkpoint.parts(path)
        for name, array in sorted(checkpoint.load_part(path, tree).items())
    ]


def norm(found: list[Tensor]) -> float:
    """The norm of several tensors together, without counts."""
    return sum(t.norm**2 for t in found if 'float' in t.dtype) ** 0.5


def _describe(tree: str, name: str, array: np.ndarray) -> Tensor:
    values = array.astype(np.float64)
    finite = np.isfinite(values)
    values = np.abs(np.where(finite, values, 0.0))
    return Tensor(
        tree=tree,
        name=name,
        shape=array.shape,
        dtype=str(array.dtype),
        bytes=array.nbytes,
        norm=float(np.sqrt(np.sum(values**2))),
        largest=float(values.max(initial=0.0)),
        not_finite=int(array.size - finite.sum()),
    )
