"""Standard output whose failures are its own: no other file is blamed for them."""

import io
import select
import sys
from typing import Any

from hax_jax import errors


def tell_apart() -> None:
    """Replaces sys.stdout by a stream that raises OutputError where it can't write.

    A full disk's OSError has no name, so whoever writes another file beside takes it
    for that file's. A pipe that nobody reads still raises BrokenPipeError; one whose
    other end made it non-blocking (`| ssh`, `| node`) is waited for.
    """
    old = sys.stdout
    if old is not sys.__stdout__ or not isinstance(old, io.TextIOWrapper):
        return
    raw: Any = _Output(old.fileno(), 'wb', closefd=False)
    has_buffer = isinstance(old.buffer, io.BufferedIOBase)  # not under python -u
    old.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw) if has_buffer else raw,
        encoding=old.encoding,
        errors=old.errors,
        line_buffering=old.line_buffering,
        write_through=old.write_through,
    )


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            while (count := super().write(data)) is None:
                select.select([], [self], [])
        except BrokenPipeError:
            raise
        except OSError as error:
            raise errors.OutputError(error) from error
        return count
