"""What process 0 of a run decides, told to the others: all then do the same.

Files may look different in each process, and change between two looks. If processes
took different decisions, such as how many batches there are, they would wait for each
other for ever.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from jax.experimental import multihost_utils

from hax_jax import errors
from hax_jax.devices import peers

_SMALLEST_MESSAGE = 1024  # bytes; each further size is twice as large


def is_here() -> bool:
    """Whether this is process 0, which reads and writes what all share."""
    return peers.process() == 0


def decided(decide: Callable[[], Any], kind: Any) -> Any:
    """The value of `decide()` in process 0, the only one that calls it.

    All processes must call this alike. `kind` is the value's type, of dataclasses and
    what JSON knows: 'list[int | None]'.

    Raises:
      InputError: what `decide` raised, in every process. (Another error ends them all.)
    """
    if not peers.are_several():
        return decide()
    value, problem, message = None, '', b''
    if is_here():
        try:
            value = decide()
        except errors.InputError as error:
            problem = str(error)
        message = msgspec.msgpack.encode((problem, None if problem else value))
    problem, sent = msgspec.msgpack.decode(
        _broadcast(message), type=tuple[str, msgspec.Raw]
    )
    if problem:
        raise errors.InputError(problem)
    return value if is_here() else msgspec.msgpack.decode(sent, type=kind)


def _broadcast(message: bytes) -> bytes:
    """The message of process 0; that of the others is not looked at.

    Goes over the devices: the coordinator's store takes no large values.
    """
    size = int(multihost_utils.broadcast_one_to_all(np.array(len(message), np.int32)))
    places = _SMALLEST_MESSAGE  # few sizes, so that few programs are compiled
    while places < size:
        places *= 2
    buffer = np.zeros(places, np.uint8)
    if is_here():
        buffer[:size] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer))[:size].tobytes()
