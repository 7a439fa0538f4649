"""A model to start from, in whatever format it was stored."""

import dataclasses
import hashlib

import numpy as np

from hax_jax import errors
from hax_jax.config import schema


@dataclasses.dataclass(frozen=True)
class Base:
    """A model to start from; `step` is None unless `path` is a run's workdir."""

    path: str
    step: int | None
    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    hash: str


def fingerprint(parameters: dict[str, np.ndarray]) -> str:
    """Sha256 over names, shapes and float32 values: the same model, the same hash."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.ascontiguousarray(parameters[name], np.float32)
        digest.update(f'{name} {array.shape}\n'.encode())
        digest.update(array.data)
    return digest.hexdigest()


def require_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Raises MismatchError unless what was read back is what was written."""
    if fingerprint(found) != fingerprint(expected):
        raise errors.MismatchError('other parameters were read back than written.')
