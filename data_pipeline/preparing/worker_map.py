"""A function over items in processes of this machine, its results in the items' order.

A worker imports what the function's module imports and nothing else: no JAX and no
TensorFlow, unless that module does.
"""

import collections
import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hax_jax import errors

Item = TypeVar('Item')
Result = TypeVar('Result')
_AHEAD = 2  # items for each worker: one that it has and one that waits


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_workers: int,
) -> Iterator[Result]:
    """`function` of each item, in the order of the items.

    With one worker, here; with more, in as many processes, which are spawned: function,
    items and results are pickled, and a program that calls this needs the usual
    `if __name__ == '__main__'`. At most 2 * num_workers items are taken before a
    result is given, so neither items nor results are ever all in memory.

    An exception of `function` comes out as it is, at its item's place, and ends all
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
        return map(function, items)
    return _in_processes(function, items, num_workers)


def _in_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
) -> Iterator[Result]:
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers,
        # Not forked: threads of DuckDB or Arrow in this process would be lost.
        mp_context=multiprocessing.get_context('spawn'),
        initializer=_begin,
    )
    waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == _AHEAD * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise errors.InputError(
            f'a worker process was killed, most likely for want of memory with '
            f'--num_workers={num_workers}; use fewer.'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """What a worker does first.

    The terminal sends Ctrl-C to all; the parent alone answers, and ends its workers. Of
    a parent that was killed outright they learn by waiting for its end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
