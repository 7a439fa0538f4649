"""A model made ready to sample: its parameters and one cache on the devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from hax_jax import errors
from hax_jax.data import text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import gpt2, param_tree
from hax_jax.sampling import decode, next_token


class ShardedModel:
    """Runs batches, one at a time; batches of one shape share the cache's memory.

    The model may hold unmerged adapters and be sharded on `mesh`; parameters on other
    devices are copied to each device of `mesh`.
    """

    def __init__(
        self, model: gpt2.Gpt2, tokenizer: text.Decoder, *, mesh: Mesh
    ) -> None:
        """Raises InputError if the tokenizer has ids that the model lacks."""
        self.config = model.model
        self.mesh = mesh
        self._dtype = model.wte.dtype
        self._cache: gpt2.Cache | None = None
        if tokenizer.vocab_size > self.config.vocab_size:
            raise errors.InputError(
                f'the tokenizer has {tokenizer.vocab_size} ids and the model '
                f'vocab_size={self.config.vocab_size}; give the tokenizer that the '
                'model was trained with.'
            )
        self._graphdef, params = nnx.split(model)
        devices = set(mesh.devices.flat)
        whole = mesh_lib.replicated(mesh)
        self._params = jax.tree.map(
            lambda x: (
                x if x.sharding.device_set == devices else jax.device_put(x, whole)
            ),
            params,
        )
        if self._dtype != jnp.float32:
            # Each use would cast them to the same bits; once is enough.
            self._params = decode.cast_matrices(self._params, self._dtype)

    def start(
        self,
        rows: decode.Rows,
        drawing: next_token.Drawing,
        *,
        new_places: int,
        logprobs: bool,
    ) -> tuple[decode.Rows, decode.State]:
        """The rows on the devices, and their state after one new token each."""
        size, places = rows.inputs.shape
        cache = self._take_cache(size, places + new_places)
        rows = jax.tree.map(self._spread, rows)
        with jax.set_mesh(self.mesh):
            state = decode.prefill(
                self._graphdef,
                self._params,
                rows,
                cache,
                drawing=drawing,
                new_places=new_places,
                logprobs=logprobs,
            )
        return rows, state

    def go_on(
        self,
        rows: decode.Rows,
        state: decode.State,
        drawing: next_token.Drawing,
        *,
        stopped: np.ndarray,
        until: int,
    ) -> decode.State:
        """The state after `until` new tokens; `state` is donated."""
        stopped = self._spread(stopped)
        with jax.set_mesh(self.mesh):
            return decode.decode(
                self._graphdef,
                self._params,
                rows,
                state,
                stopped,
                jnp.int32(until),
                drawing=drawing,
            )

    def finish(self, state: decode.State) -> None:
        """Keeps the cache for the next batch.

        Raises:
          InputError: the model's logits are not finite.
        """
        self._cache = state.cache
        if not np.all(on_host(state.finite)):
            raise errors.InputError(
                'the model gives logits that are not finite: its parameters are '
                'damaged, or its training diverged. Choose an earlier --step.'
            )

    def _spread(self, rows: np.ndarray) -> jax.Array:
        """Rows [B, ...] that all processes have, each on its device."""
        sharding = mesh_lib.batch_sharding(self.mesh)
        # device_put would compare them between the processes each time.
        return param_tree.place(rows, sharding)

    def _take_cache(self, size: int, length: int) -> gpt2.Cache:
        """The last batch's cache if it has this shape, else an empty one."""
        cache, self._cache = self._cache, None
        if cache is not None and cache.segment_ids.shape == (size, length):
            return cache
        del cache  # frees its memory before the new cache is allocated
        with jax.set_mesh(self.mesh):
            return decode.empty_cache(self.config, size, length, self._dtype)


def on_host(arrays: Any) -> Any:
    """The whole arrays as NumPy, in every process, however they are sharded."""
    if jax.process_count() == 1:
        return jax.device_get(arrays)
    return multihost_utils.process_allgather(arrays, tiled=True)
