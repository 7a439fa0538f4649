"""A file of JSON lines that is only appended to, and survives a kill at any moment.

At gs:// nothing can be appended to: the lines are in memory, and the object is written
whole by `publish`, when the log is closed, and at most each REMOTE_SECONDS between. A
run of L bytes of lines sends L at each, so a log of 4 MB costs 4 MB a minute.
"""

import collections
import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from hax_jax import errors, files, places

REMOTE_SECONDS = 60.0


class Line(NamedTuple):
    """A line: its number (from 1), the offset of its first byte, and its bytes."""

    number: int
    offset: int
    raw: bytes


class Log(contextlib.AbstractContextManager['Log']):
    """The log at `path`: each line is one JSON value, written whole.

    A kill can tear only the last line. `begins` is the start of every line of this
    log: a last line that starts differently is from another file and is never cut.
    Reading changes nothing, so check the lines before calling `mend` and `append`.
    """

    def __init__(self, path: files.AnyPath, *, begins: bytes = b'{"') -> None:
        self.path = places.path(path)
        self._remote: bytearray | None = None  # all lines, of an open log at gs://
        self._begins = begins
        self._synced = time.monotonic()
        self._sync_seconds = math.inf

    def lines(self) -> Iterator[Line]:
        """Each line except a torn last one; only the last can lack its newline."""
        if not self.path.exists():
            return
        with self.path.open('rb') as file:
            offset = 0
            for number, raw in enumerate(file, start=1):
                if not self._is_torn(raw):
                    yield Line(number, offset, raw)
                offset += len(raw)

    def objects(self) -> Iterator[dict[str, Any]]:
        """The object of each line; passes over lines that hold none, as a torn one."""
        for line in self.lines():
            try:
                value = json.loads(line.raw)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value

    def keep(self, wanted: Callable[[Line], bool]) -> None:
        """Rewrites the file, whole or not at all, with only its wanted whole lines."""
        files.write_lines(
            self.path,
            (
                line.raw.decode().removesuffix('\n')
                for line in self.lines()
                if line.raw.endswith(b'\n') and wanted(line)
            ),
        )

    def keep_through(
        self, step: int, *, also: Callable[[Any], bool] = lambda _: False
    ) -> None:
        """`keep` of the lines whose `step` is at most this; step 0 keeps none.

        Lines whose value is one of those that `also` is true of are kept as well. A
        line that can't be read goes, and a line on standard output counts them.
        """
        damaged = []

        def wanted(line: Line) -> bool:
            try:
                value = json.loads(line.raw)
                return (step > 0 and value['step'] <= step) or also(value)
            except (ValueError, KeyError, TypeError):
                damaged.append(line.number)
                return False

        self.keep(wanted)
        if damaged:
            print(
                f'WARNING: {self.path}: {len(damaged)} damaged lines were removed, the '
                f'first of them line {damaged[0]}',
                flush=True,
            )

    def mend(self) -> int:
        """Cuts off a torn last line, or adds the newline that a whole one lacks.

        Returns:
          The number of bytes that were cut off.
        """
        if places.is_remote(self.path):
            return 0  # an object is whole
        with open(self.path, 'rb+') as file:
            last = b''.join(collections.deque(file, maxlen=1))
            torn = len(last) if self._is_torn(last) else 0
            if torn:
                file.truncate(file.tell() - torn)
            elif last and not last.endswith(b'\n'):
                file.write(b'\n')
        return torn

    def open(self, *, lock: bool = False, sync_seconds: float = math.inf) -> 'Log':
        """Opens the file to append; a missing file and its folder are made.

        Args:
          lock: also take the lock, until the log is closed.
          sync_seconds: `append` calls `sync` at most this often.

        Raises:
          LockedError: another process holds the lock.
        """
        if places.is_remote(self.path):
            assert not lock, 'the lock of the run is enough'
            there = self.path.exists()
            self._remote = bytearray(self.path.read_bytes() if there else b'')
            self._published = len(self._remote)
            self._sync_seconds = REMOTE_SECONDS
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._sync_seconds = sync_seconds
        # Without a buffer: what a full disk refused is not written when it is closed.
        self._file = open(self.path, 'ab', buffering=0)  # noqa: SIM115 (kept open)
        if lock:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._file.close()
                raise files.LockedError(self.path) from error
        return self

    def append(self, rows: Iterable[Any]) -> None:
        """Appends a line for each row. Raises ValueError for NaN and infinity."""
        self.append_lines(map(files.json_line, rows))

    def append_lines(self, lines: Iterable[str]) -> None:
        """Appends lines of JSON text; only a crash of the machine can lose them.

        Where the disk takes only a part of them, it keeps none.
        """
        if self._remote is not None:
            self._remote += ''.join(line + '\n' for line in lines).encode()
            if time.monotonic() - self._synced >= self._sync_seconds:
                self._publish_if_it_can()
            return
        left = memoryview(''.join(line + '\n' for line in lines).encode())
        size = os.fstat(self._file.fileno()).st_size
        with files.named(self.path):
            try:
                while left:
                    left = left[self._file.write(left) or 0 :]
            except OSError:
                with contextlib.suppress(OSError):  # of a device
                    self._file.truncate(size)
                raise
        if time.monotonic() - self._synced >= self._sync_seconds:
            self.sync()

    def publish(self) -> None:
        """Writes the lines of a log at gs://; those of a file are there already."""
        if self._remote is None or len(self._remote) == self._published:
            return
        size = len(self._remote)
        self.path.write_bytes(bytes(self._remote))
        self._published, self._synced = size, time.monotonic()

    def _publish_if_it_can(self) -> None:
        try:
            self.publish()
        except errors.PlaceError as error:
            self._synced = time.monotonic()
            print(f'WARNING: kept for the next time: {error}', flush=True)

    def sync(self) -> None:
        """Waits until all lines are on the disk: a crash can no longer lose them."""
        if self._remote is not None:
            self.publish()
            return
        with files.named(self.path):
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        try:
            self.sync()
        finally:
            if self._remote is None:
                self._file.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_torn(self, raw: bytes) -> bool:
        """Whether a last line without its newline is one of this log, cut short."""
        if not raw or raw.endswith(b'\n'):
            return False
        start = raw.rstrip(b'\0')[: len(self._begins)]  # a crash can leave zero bytes
        if not self._begins.startswith(start):
            return False
        try:
            json.loads(raw)
        except ValueError:
            return True
        return False
