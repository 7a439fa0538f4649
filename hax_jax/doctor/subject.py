"""A run before its first step, as the doctor and its measures need it."""

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.measures import measure_model, measure_rows
from hax_jax.model import param_tree

LARGEST_MODEL = 2**31  # bytes of parameters that every run reads with NumPy too


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run before its first step, with its functions as they are in this process.

    `batch` is the first one, [B, T] as the step gets it, `next_batch` the second, if
    there is one; `base` has the pretrained parameters, if there are any. `row_order`
    are the stream's first rows, batch by batch, `sampled` the
    prompts of the run's own samples by the pair's id. `elapsed` are the seconds of the
    run so far, `row_seconds` those that scoring one row takes. `validation_loss` is
    that before training, if it was measured.
    """

    run: schema.Config
    cache: records.PackedCache
    tokenizer: text.Tokenizer | None
    num_steps: int
    microbatch_size: int
    tx: optax.GradientTransformation
    state: Any
    batch: Mapping[str, jax.Array]
    eval_step: Callable[[Any, Any, Any], Mapping[str, jax.Array]]
    base: Mapping[str, np.ndarray] | None
    row_order: np.ndarray
    next_batch: Mapping[str, jax.Array] | None = None
    sampled: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)
    is_imported: bool = False  # its parameters were trained elsewhere
    elapsed: float = 0.0
    row_seconds: float = 0.0
    validation_loss: float | None = None

    @property
    def parameters(self) -> dict[str, jax.Array]:
        state = self.state
        return param_tree.named(state.params) | param_tree.named(state.frozen)

    def readable(self, *, full: bool) -> Mapping[str, Any] | None:
        """The parameters on the host; None of a large model, but in full."""
        if not full and size_of(self.parameters) > LARGEST_MODEL:
            return None
        return {name: np.asarray(leaf) for name, leaf in self.parameters.items()}

    @property
    def rows(self) -> measure_rows.Rows:
        """The first batch, as far as this process holds it."""
        return {name: local(array) for name, array in self.batch.items()}

    @property
    def eos_id(self) -> int:
        return int(self.cache.meta['eos_id'])

    def scorer(self, state: Any) -> measure_model.Score:
        """Scores rows as the run's evaluations do, with the parameters of `state`."""
        return measure_model.scorer(self.eval_step, state, size=self.microbatch_size)


def size_of(tree: Any) -> int:
    """Its bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def local(array: Any) -> np.ndarray:
    """The rows of a batch that this process holds, each once."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return np.asarray(array)
    shards = collections.OrderedDict(
        (str(shard.index), shard.data) for shard in array.addressable_shards
    )
    return np.concatenate([np.asarray(each) for each in shards.values()])
