"""What process 0 of a run decides, told to the others: all then do the same.

Files may look different in each process, and change between two looks. If processes
took different decisions, such as how many batches there are, they would wait for each
other for ever.
"""

import pickle
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from hax_jax import errors

_T = TypeVar('_T')
_SMALLEST_MESSAGE = 1024  # bytes; each further size is twice as large


def is_here() -> bool:
    """Whether this is process 0, which reads and writes what all share.

    Starts JAX's backend only where there are several processes.
    """
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def decided(decide: Callable[[], _T]) -> _T:
    """The value of `decide()` in process 0, the only one that calls it.

    All processes must call this alike; the value must be one that pickle takes.

    Raises:
      Exception: what `decide` raised, in every process.
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return decide()
    message, failure = b'', None
    if is_here():
        try:
            message = pickle.dumps((decide(), None))
        except Exception as error:
            failure = error
            message = pickle.dumps((None, error))
    value, told = pickle.loads(_broadcast(message))
    if told is not None:
        raise failure or told
    return value


def check_same(what: str, value: object) -> None:
    """Raises InputError in every process if one has another `value` than process 0."""
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return
    same = value == decided(lambda: value)
    answers = multihost_utils.process_allgather(np.array([same])).reshape(-1)
    others = [str(index) for index in np.flatnonzero(~answers)]
    if others:
        raise errors.InputError(
            f'{what} is not the same in process {", ".join(others)} as in process 0; '
            'let all processes read the same files, on a disk that they share.'
        )


def _broadcast(message: bytes) -> bytes:
    """The message of process 0; that of the others is not looked at."""
    size = int(multihost_utils.broadcast_one_to_all(np.array(len(message), np.int32)))
    places = _SMALLEST_MESSAGE  # few sizes, so that few programs are compiled
    while places < size:
        places *= 2
    buffer = np.zeros(places, np.uint8)
    if is_here():
        buffer[:size] = np.frombuffer(message, np.uint8)
    return multihost_utils.broadcast_one_to_all(buffer)[:size].tobytes()
