"""Answers as JSON lines, appended as they come and continued after a kill.

A line is whole or, after a kill, the last one is torn: it is removed. Each row holds
the settings that made it, so a file is only ever continued by the command that it is
of; once all is there, the rows are put in the order asked for, in one piece.
"""

import collections
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hax_jax import errors, files

Key = tuple[str, int, str, int]  # workdir, step, question id, sample
_SYNC_EVERY_SECONDS = 5.0
_MAX_PROBLEMS = 20


def key(row: dict[str, Any]) -> Key:
    return row['workdir'], row['step'], row['id'], row['sample']


class AnswerFile:
    """The file, open to append; locked, so that no other process writes it.

    `rows` are those that an earlier command left, `torn` the bytes after the last line.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Changes nothing of a file that is there.

        Raises:
          InputError: another process has the file, or a line is no row of answers.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = open(path, 'ab')  # noqa: SIM115 (kept open)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.rows, self.torn = _read(path)
        except BlockingIOError as error:
            self._file.close()
            raise errors.InputError(
                f'{path} is being written by another process; wait for it, or give '
                'another --output.'
            ) from error
        except errors.InputError:
            self._file.close()
            raise
        self._synced = time.monotonic()

    def check(self, expected: Mapping[Key, dict[str, Any]]) -> None:
        """Raises InputError if a row is not one that this command would make.

        `expected` has, for each answer to be made, the fields that are known before.
        """
        problems: collections.Counter[str] = collections.Counter()
        for row in self.rows:
            wanted = expected.get(key(row))
            if wanted is None:
                workdir, step, name, sample = key(row)
                problems[
                    f'sample {sample} of {name!r} by {workdir} at step {step} is not '
                    'asked for'
                ] += 1
                continue
            for field, value in wanted.items():
                if row.get(field) != value:
                    was = _short(row.get(field))
                    problems[f'{field} was {was}, is now {_short(value)}'] += 1
        if problems:
            shown = [f'  {what} (answers: {n})' for what, n in problems.items()]
            more = len(shown) - _MAX_PROBLEMS
            shown = shown[:_MAX_PROBLEMS] + [f'  and {more} more.'] * (more > 0)
            raise errors.InputError(
                f'{self.path} holds answers of another command, which would be mixed '
                'with those of this one; give another --output, or move it away:\n'
                + '\n'.join(shown)
            )

    def remove_torn(self) -> None:
        if self.torn:
            self._file.truncate(self._file.tell() - self.torn)

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Adds whole lines, on the disk within some seconds of writing."""
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
        self._file.write(''.join(line + '\n' for line in lines).encode())
        self._file.flush()
        if time.monotonic() - self._synced >= _SYNC_EVERY_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """A file that has no answer yet is removed."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if not self._file.tell():
            self.path.unlink(missing_ok=True)
        self._file.close()


def put_in_order(path: pathlib.Path, order: Iterable[Key]) -> list[dict[str, Any]]:
    """Writes the complete file anew, its rows as `order` has their keys."""
    rows, _ = _read(path)
    by_key = {key(row): row for row in rows}
    ordered = [by_key[k] for k in order]
    files.write_json_lines(path, ordered)
    return ordered


def _read(path: pathlib.Path) -> tuple[list[dict[str, Any]], int]:
    whole, _, rest = path.read_bytes().rpartition(b'\n')
    rows = []
    for number, line in enumerate(whole.split(b'\n') if whole else [], start=1):
        try:
            row = json.loads(line)
            hash(key(row))
        except (ValueError, KeyError, TypeError) as error:
            raise errors.InputError(
                f'{path}:{number} is no answer of launch.sample, so the file is left '
                'as it is; give another --output, or move it away.'
            ) from error
        rows.append(row)
    return rows, len(rest)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + '...'
