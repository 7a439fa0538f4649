"""Which validation pairs are of one group: a bootstrap draws whole groups."""

from __future__ import annotations

from data_pipeline import dataset
from hax_jax import local_copy
from hax_jax.program import entry


def of(path: str, split: str) -> dict[str, str]:
    """Pair id -> group, where the dataset's own files are there; else says so.

    Raises:
      InputError: the dataset at `path` is damaged, or of another version.
    """
    if not (local_copy.folder(path) / 'tfds').is_dir():
        entry.say(f'note: {path} has no pairs here, so each pair is its own group')
        return {}
    try:
        return {pair.id: pair.group for pair in dataset.read_pairs(path, split)}
    except ImportError as error:
        entry.say(f'note: {error}, so each pair is its own group')
        return {}
