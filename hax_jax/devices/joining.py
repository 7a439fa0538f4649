"""Joining the other processes of a run, and hearing of their end from JAX's C++ part.

JAX's own heartbeats are sent by a C++ thread, so a process that compiles or that holds
Python's lock for minutes is not taken for dead. The callback that jaxlib offers for
their absence cannot be called in 0.10.2: jaxlib finds no Python type for its argument
and ends the process by std::terminate, and the default callback aborts it. So the
handler of std::terminate is ours: it calls back on that error alone. This file alone
uses jaxlib's private client.
"""

import contextlib
import ctypes
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax._src import distributed

from hax_jax import errors

VARIABLES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
SILENT_SECONDS = 12  # a process without a heartbeat for so long is gone
_SHUTDOWN_SECONDS = 20
_WAITING_SECONDS = 15.0  # after which a process says whom it waits for
_CPP_LIBRARIES = ('libstdc++.so.6', 'libc++abi.dylib')
_UNCALLABLE = b'St8bad_cast'  # the type of the exception, as C++ writes it


class Joined(NamedTuple):
    client: Any  # of the coordinator's key-value store
    process: int
    num_processes: int


def join(
    reason: str, local_device_ids: Sequence[int] | None, lost: Callable[[], None]
) -> Joined:
    """Joins the run's other processes.

    `reason` is that of `runtime.multihost_reason`. `lost` is called, in any thread,
    when a process has sent no heartbeat for SILENT_SECONDS or the coordinator, process
    0, can't be reached; it must end the process and not use the client. Where the
    user's own program has joined already, it is not called.

    Raises:
      InputError: the other processes can't be joined.
    """
    state = distributed.global_state
    if jax.distributed.is_initialized():
        return Joined(state.client, state.process_id, state.num_processes)
    address, number, own = (os.environ.get(name) for name in VARIABLES)
    if reason == 'told' and address and bool(number) != bool(own):
        missing = VARIABLES[2] if number else VARIABLES[1]
        raise errors.InputError(
            f'{missing} is not set, and the other variables of several processes are; '
            f'set {", ".join(VARIABLES)}, or none of them.'
        )
    # It would take SIGTERM from us; guards/preemption.py has its work.
    if 'JAX_ENABLE_PREEMPTION_SERVICE' not in os.environ:
        jax.config.update('jax_enable_preemption_service', False)
    try:
        with _waiting(reason, address, own), _ended_by_signals(), _calling(lost):
            jax.distributed.initialize(
                coordinator_address=address or None,
                num_processes=int(number) if number else None,
                process_id=int(own) if own else None,
                local_device_ids=local_device_ids,
                heartbeat_timeout_seconds=SILENT_SECONDS,
                shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
            )
    except (ValueError, RuntimeError) as error:
        # Else JAX would wait for the others once more as Python ends.
        state.client = state.service = None
        said = str(error).splitlines()[0]
        raise errors.InputError(
            f'the other processes of this run cannot be joined ({reason}): {said}. '
            f'Set {", ".join(VARIABLES)} in each of them, and start them within five '
            'minutes.'
        ) from error
    return Joined(state.client, state.process_id, state.num_processes)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """In the block signals end the process at once: C++ waits, and nothing is begun."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _waiting(reason: str, address: str | None, own: str | None) -> Iterator[None]:
    """Says after a while that the others have not come yet."""
    who, where = (f'process {own}' if own else 'this process'), address or reason
    line = f'{who} waits for the other processes of its run ({where})'
    timer = threading.Timer(_WAITING_SECONDS, print, [line], {'flush': True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _calling(lost: Callable[[], None]) -> Iterator[None]:
    """A client that is made in the block calls `lost`, where this C++ library can."""
    if not _on_terminate(lost):
        yield
        return
    jaxlib = distributed._jax
    make = jaxlib.get_distributed_runtime_client
    jaxlib.get_distributed_runtime_client = functools.partial(
        make, missed_heartbeat_callback=lambda _: lost()
    )
    try:
        yield
    finally:
        jaxlib.get_distributed_runtime_client = make


_kept: list[Any] = []  # C++ calls it: it must not be collected


def _on_terminate(lost: Callable[[], None]) -> bool:
    """Calls `lost` where std::terminate would end the process by _UNCALLABLE.

    False where the C++ library is another one.
    """
    for name in _CPP_LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            set_terminate = library._ZSt13set_terminatePFvvE
            thrown = library.__cxa_current_exception_type
            break
    else:
        return False
    handler = ctypes.CFUNCTYPE(None)
    set_terminate.argtypes, set_terminate.restype = [handler], handler
    thrown.argtypes, thrown.restype = [], ctypes.c_void_p

    def ended() -> None:
        information = thrown()  # std::type_info: a pointer to its methods, its name
        if information:
            where = information + ctypes.sizeof(ctypes.c_void_p)
            if ctypes.c_char_p.from_address(where).value == _UNCALLABLE:
                lost()
        before()

    ours = handler(ended)
    before = set_terminate(ours)
    _kept.extend((ours, before))
    return True
