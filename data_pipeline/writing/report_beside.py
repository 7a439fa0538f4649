"""The report's facts gathered in a process of their own, beside the one that writes."""

import contextlib
import multiprocessing
from collections.abc import Callable, Collection
from typing import Any

from data_pipeline.preparing import worker_map
from data_pipeline.writing import report_facts
from hax_jax import errors
from hax_jax.data import records

_BATCH = 256  # pairs


class Collector:
    """As `report_facts.Collector`, without a tokenizer; a context manager.

    Its process starts at once and takes a second to import its modules. The calling
    program needs `if __name__ == '__main__'`.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context('spawn')
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen here
        self._held: list[tuple[str, records.QaPair]] = []

    def __enter__(self) -> 'Collector':
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def begin(self, wanted: Collection[str]) -> None:
        """Names the pairs that the report shows; call it before the first pair."""
        self._send(tuple(wanted))

    def of(self, split: str) -> Callable[[records.QaPair], None]:
        """The function that takes the pairs of `split`."""

        def add(pair: records.QaPair) -> None:
            self._held.append((split, pair))
            if len(self._held) == _BATCH:
                self._send(self._held)
                self._held = []

        return add

    def facts(self) -> dict[str, Any]:
        """All facts.

        Raises:
          InputError: the process was killed.
        """
        self._send(self._held)
        self._send(None)
        try:
            return self._pipe.recv()
        except EOFError as error:
            raise _killed() from error

    def _send(self, value: Any) -> None:
        try:
            self._pipe.send(value)
        except OSError as error:
            raise _killed() from error


def _killed() -> errors.InputError:
    return errors.InputError(
        'the process that gathers the report was killed, most likely for want of '
        'memory; use --num_workers=1.'
    )


def _serve(pipe: Any) -> None:
    worker_map.begin()
    # The parent's end is no failure of this process.
    with contextlib.suppress(EOFError, BrokenPipeError):
        _gather(pipe)


def _gather(pipe: Any) -> None:
    collector = report_facts.Collector(wanted=pipe.recv())
    takers = {split: collector.of(split) for split in records.SPLITS}
    while (batch := pipe.recv()) is not None:
        for split, pair in batch:
            takers[split](pair)
    pipe.send(collector.facts())
