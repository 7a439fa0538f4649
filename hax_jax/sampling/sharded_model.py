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
from hax_jax.devices import memory
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
        if mesh.devices.flat[0].platform == 'cpu':
            model = by_rows(model)
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
        inputs: np.ndarray,
        rows: decode.Rows,
        drawing: next_token.Drawing,
        *,
        new_places: int,
        cache_places: int,
        logprobs: bool,
    ) -> decode.State:
        """The state of a batch after one new token of each row.

        Raises:
          InputError: the batch has no room in the memory that is free.
        """
        self._check_room(*inputs.shape, cache_places)
        cache = self._take_cache(inputs.shape[0], cache_places)
        inputs, rows = jax.tree.map(self._spread, (inputs, rows))
        with jax.set_mesh(self.mesh):
            return decode.prefill(
                self._graphdef,
                self._params,
                inputs,
                rows,
                cache,
                drawing=drawing,
                new_places=new_places,
                logprobs=logprobs,
            )

    def refill(
        self,
        state: decode.State,
        inputs: np.ndarray,
        rows: decode.Rows,
        drawing: next_token.Drawing,
        *,
        slots: np.ndarray,
    ) -> decode.State:
        """The state with other rows in `slots`; `state` is donated."""
        inputs, rows = jax.tree.map(self._spread, (inputs, rows))
        slots = param_tree.place(slots, mesh_lib.replicated(self.mesh))
        with jax.set_mesh(self.mesh):
            return decode.refill(
                self._graphdef,
                self._params,
                state,
                inputs,
                rows,
                slots,
                drawing=drawing,
            )

    def go_on(
        self,
        state: decode.State,
        drawing: next_token.Drawing,
        *,
        stopped: np.ndarray,
        enough: int,
        steps: int,
    ) -> decode.State:
        """The state once `enough` rows are done, or after `steps`; it is donated."""
        stopped = self._spread(stopped)
        with jax.set_mesh(self.mesh):
            return decode.decode(
                self._graphdef,
                self._params,
                state,
                stopped,
                jnp.int32(enough),
                jnp.int32(steps),
                drawing=drawing,
            )

    def look(self, state: decode.State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The `tokens`, `counts` and `done` of a state.

        Raises:
          InputError: the model's logits are not finite.
        """
        *found, finite = on_host((state.tokens, state.counts, state.done, state.finite))
        if not np.all(finite):
            raise errors.InputError(
                'the model gives logits that are not finite: its parameters are '
                'damaged, or its training diverged. Choose an earlier --step.'
            )
        return tuple(found)

    def keep_cache(self, state: decode.State) -> None:
        """Keeps the cache of a batch that has ended for the next one."""
        self._cache = state.cache

    def _spread(self, rows: np.ndarray) -> jax.Array:
        """Rows [B, ...] that all processes have, each on its device."""
        sharding = mesh_lib.batch_sharding(self.mesh)
        # device_put would compare them between the processes each time.
        return param_tree.place(rows, sharding)

    def _check_room(self, size: int, prompt_places: int, cache_places: int) -> None:
        """Raises InputError if a batch surely needs more than is free on a device.

        It needs its cache, another one of the prompts, and a token's logits. On a CPU
        a batch that is too large would have the whole process killed.
        """
        free = memory.free(self.mesh.local_devices[0])
        if free is None:
            return
        model, number = self.config, np.dtype(self._dtype).itemsize
        places = cache_places + prompt_places
        row = 2 * model.n_layer * places * model.n_embd * number  # keys and values
        row += model.vocab_size * np.dtype(np.float32).itemsize
        if self._cache is not None:  # it is freed, or used, for this batch
            free += (
                sum(x.nbytes for x in jax.tree.leaves(self._cache)) // self.mesh.size
            )
        needed = row * size // self.mesh.size
        if needed <= free:
            return
        fits = max(free * self.mesh.size // row, 1)
        raise errors.InputError(
            f'a batch of {size:,} answers needs over {needed / 1e9:.1f} GB on each '
            f'device, and {free / 1e9:.1f} are free; give a batch_size of '
            f'{1 << (fits.bit_length() - 1)} or less.'
        )

    def _take_cache(self, size: int, length: int) -> gpt2.Cache:
        """The last batch's cache if it has this shape, else an empty one."""
        cache, self._cache = self._cache, None
        if cache is not None and cache.segment_ids.shape == (size, length):
            return cache
        del cache  # frees its memory before the new cache is allocated
        with jax.set_mesh(self.mesh):
            return decode.empty_cache(self.config, size, length, self._dtype)


def by_rows(model: gpt2.Gpt2) -> gpt2.Gpt2:
    """The model with the kernels of its plain layers [out, in]; `model` stays.

    XLA on a CPU lays a kernel [in, out] out anew for each product with several rows,
    and a decoded token is little else than such products.
    """
    model = nnx.clone(model, variables=False)
    for _, layer in nnx.iter_modules(model):
        if isinstance(layer, gpt2.Linear):
            layer.kernel = nnx.Param(layer.kernel[...].T)
            layer.by_rows = True
    return model


def on_host(arrays: Any) -> Any:
    """The whole arrays as NumPy, in every process, however they are sharded."""
    if jax.process_count() == 1:
        return jax.device_get(arrays)
    return multihost_utils.process_allgather(arrays, tiled=True)
