"""Finds a device that computes wrong numbers in silence: one step's gradients, twice.

A worn or faulty device may give other bits for the same work, without an error; such
errors spread through the optimizer into all parameters. A fault that gives the same
wrong bits both times is not found.
Source: Dixit et al. 2021, "Silent Data Corruptions at Scale", arXiv:2102.11245.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from hax_jax import errors
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree

# XLA may compile a GPU's scatters with atomics, which add in any order; this keeps to
# operations that give the same bits each time. Other platforms know the flag and have
# no use for it. Source: https://github.com/openxla/xla/pull/12520
_SAME_BITS = {'xla_gpu_exclude_nondeterministic_ops': True}
_MOST_NAMES = 3  # parameters in the error


class Recheck:
    """Computes a step's gradients twice; raises unless all bits are the same.

    Two copies of the gradients are held meanwhile. Nothing of the state changes.
    """

    def __init__(
        self,
        gradients: Callable[[Any, Any], Any],
        *,
        mesh: Mesh,
        state: Any,
        parameters: Any,
    ) -> None:
        """`gradients` maps (state, batch) to a float32 tree like `parameters`.

        `state` and `parameters` are trees of ShapeDtypeStructs with shardings.
        """
        shardings = param_tree.shardings(parameters)
        self._mesh = mesh
        self._names = list(param_tree.named(parameters))
        self._compute = jax.jit(
            gradients,
            in_shardings=(param_tree.shardings(state), mesh_lib.batch_sharding(mesh)),
            out_shardings=shardings,
            compiler_options=_SAME_BITS,
        )
        self._differences = _differences_function(mesh, shardings)
        self.bytes_on_a_device = 2 * sum(  # float32 gradients, held twice
            4 * math.prod(leaf.sharding.shard_shape(leaf.shape))
            for leaf in jax.tree.leaves(parameters)
        )
        self._last_good: int | None = None

    def check(self, step: int, state: Any, batch: Any) -> None:
        """Checks the gradients of step number `step`, before the update.

        Raises:
          InputError: names the step, the devices and the parameters that differ.
        """
        first = self.compute(state, batch)
        self.compare(step, first, self.compute(state, batch))

    def compute(self, state: Any, batch: Any) -> Any:
        """The gradients, once they are ready."""
        # Two programs at a time would deadlock in a CPU's collectives.
        return jax.block_until_ready(self._compute(state, batch))

    def compare(self, step: int, first: Any, second: Any) -> None:
        """Raises InputError unless two trees of gradients have the same bits."""
        # Every process sees the counts of all devices, so all stop together.
        counts = np.asarray(self._differences(first, second))  # [devices, parameters]
        if counts.any():
            raise errors.InputError(self._message(step, counts))
        self._last_good = step

    def _message(self, step: int, counts: np.ndarray) -> str:
        devices = [
            _name(self._mesh.devices.flat[index])
            for index in np.flatnonzero(counts.any(axis=1))
        ]
        where = np.flatnonzero(counts.any(axis=0))
        named = ', '.join(self._names[index] for index in where[:_MOST_NAMES])
        if len(where) > _MOST_NAMES:
            named += f' and {len(where) - _MOST_NAMES} more'
        doubt = 'No earlier step of this call was rechecked: the checkpoints'
        if self._last_good is not None:
            doubt = (
                f'Step {self._last_good} was the last that gave the same bits: later'
            )
            doubt += ' checkpoints'
        several = ''
        if len(devices) > 1:
            several = (
                ' Gradients are summed over devices, so one of these may have spoilt '
                'the others: run on each alone to find it.'
            )
        return (
            f'step {step}: its gradients were computed twice and are not the same on '
            f'{", ".join(devices)}, in {counts.sum()} of the numbers of {named}. That '
            f'hardware computes wrong numbers.{several} The step was not applied and '
            f'nothing of it was saved. {doubt} may be wrong too. Run the same command '
            'on another machine: it goes on from the last checkpoint.'
        )


def _differences_function(mesh: Mesh, shardings: Any) -> Any:
    """(a, b) -> the numbers whose bits differ, int32 [devices, leaves], each device
    counting in its own parts. Devices are in the order of `mesh.devices.flat`."""
    specs = jax.tree.map(lambda sharding: sharding.spec, shardings)

    def count(first: Any, second: Any) -> jax.Array:
        pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
        counts = [jnp.sum(_bits(a) != _bits(b), dtype=jnp.int32) for a, b in pairs]
        return jnp.stack(counts)[None]  # [1, leaves]

    counted = jax.shard_map(
        count,
        mesh=mesh,
        in_specs=(specs, specs),
        out_specs=PartitionSpec(mesh.axis_names),
        check_vma=False,  # copies of one array are compared apart
    )
    return jax.jit(
        counted,
        in_shardings=(shardings, shardings),
        out_shardings=mesh_lib.replicated(mesh),
    )


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.int32)


def _name(device: jax.Device) -> str:
    return f'device {device} ({device.device_kind}) of process {device.process_index}'
