"""What process 0 of a run decides, told to the others: all then do the same.

Files may look different in each process, and change between two looks. If processes
took different decisions, such as how many batches there are, they would wait for each
other for ever.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from hax_jax import errors
from hax_jax.devices import peers


def is_here() -> bool:
    """Whether this is process 0, which reads and writes what all share."""
    return peers.process() == 0


def decided(decide: Callable[[], Any], kind: Any) -> Any:
    """The value of `decide()` in process 0, the only one that calls it.

    All processes must call this alike. `kind` is the value's type, of dataclasses and
    what JSON knows: list[int | None].

    Raises:
      InputError: what `decide` raised, in every process. (Another error ends them all.)
    """
    if not peers.are_several():
        return decide()
    value, told = None, b''
    if is_here():
        try:
            value = decide()
            told = msgspec.json.encode(['', value])
        except errors.InputError as error:
            told = msgspec.json.encode([str(error), None])
    problem, sent = msgspec.json.decode(
        peers.from_first(told.decode()), type=tuple[str, msgspec.Raw]
    )
    if problem:
        raise errors.InputError(problem)
    return value if is_here() else msgspec.json.decode(sent, type=kind)
