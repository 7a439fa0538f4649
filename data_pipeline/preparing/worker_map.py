"""A function over items in processes of this machine, its results in the items' order.

A worker imports only the function's module and its imports: no JAX and no TensorFlow
unless that module needs them.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hax_jax import errors

Item = TypeVar('Item')
Result = TypeVar('Result')
_AHEAD = 2  # items for each worker: one in work and one that waits


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_workers: int,
    known: Callable[[Item], Result | None] = lambda item: None,
) -> Iterator[Result]:
    """`function` of each item, in the order of the items.

    `known` is asked first, in this process, and may have the result already.

    One worker is this process; more are spawned processes. They pickle function, items
    and results, and the calling program needs `if __name__ == '__main__'`. Takes at
    most 2 * num_workers items before it gives a result, so memory never holds all items
    or all results.

    An exception of `function` is raised unchanged at its item's place and ends all
    workers; so do Ctrl-C and a caller that takes no more results.

    Raises:
      InputError: num_workers is not positive, or a worker was killed.
    """
    if num_workers < 1:
        raise errors.InputError(
            f'--num_workers={num_workers} is not accepted; use 1 (this process alone) '
            'or more.'
        )
    if num_workers == 1:
        return (_either(known(item), function, item) for item in items)
    return _in_processes(function, items, num_workers, known)


def _either(
    found: Result | None, function: Callable[[Item], Result], item: Item
) -> Result:
    return function(item) if found is None else found


def _in_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    known: Callable[[Item], Result | None],
) -> Iterator[Result]:
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers,
        # A forked process would lack the threads of DuckDB and Arrow.
        mp_context=multiprocessing.get_context('spawn'),
        initializer=begin,
    )
    waiting: collections.deque[Callable[[], Result]] = collections.deque()
    try:
        for item in items:
            found = known(item)
            if found is None:  # the first item that is not known starts the workers
                waiting.append(pool.submit(function, item).result)
            else:
                waiting.append(functools.partial(_either, found, function, item))
            if len(waiting) == _AHEAD * num_workers:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise errors.InputError(
            f'a worker process was killed, most likely for want of memory with '
            f'--num_workers={num_workers}; use fewer.'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def begin() -> None:
    """In a worker: ignores Ctrl-C, which the parent handles, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
