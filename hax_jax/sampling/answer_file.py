"""Answers as JSON lines, appended as they are made; a killed command is continued.

Each row holds the settings that made it, so only the same command continues a file.
Once all answers are there, the file is rewritten with its rows in the order asked.
"""

import collections
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from hax_jax import errors, files, json_lines

Key = tuple[str, int, str, int]  # workdir, step, question id, sample
_SYNC_SECONDS = 5.0
_MAX_PROBLEMS = 20


def key(row: dict[str, Any]) -> Key:
    return row['workdir'], row['step'], row['id'], row['sample']


class AnswerFile(json_lines.Log):
    """The file, open to append and locked against other processes.

    `rows` are the answers of earlier commands. Opening changes nothing of them: `check`
    them, then `mend` the last line.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Raises InputError if the file is locked, or a line is not an answer."""
        super().__init__(path, begins=b'{"id": "')  # Sample's first field
        try:
            self.open(lock=True, sync_seconds=_SYNC_SECONDS)
        except files.LockedError as error:
            raise errors.InputError(
                f'{path} is being written by another process; wait for it, or give '
                'another --output.'
            ) from error
        try:
            self.rows = [_row(path, line) for line in self.lines()]
        except errors.InputError:
            self.close()
            raise

    def check(self, expected: Mapping[Key, dict[str, Any]]) -> None:
        """Raises InputError if this command would not make one of the rows.

        `expected` maps each answer to make to the fields known before it is made.
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
                f'{self.path} holds answers of another command; give another --output, '
                'or move the file away:\n' + '\n'.join(shown)
            )

    def close(self) -> None:
        """Closes the file; an empty one is removed."""
        if not os.fstat(self._file.fileno()).st_size:
            self.path.unlink(missing_ok=True)
        super().close()


def put_in_order(path: pathlib.Path, order: Iterable[Key]) -> list[dict[str, Any]]:
    """Rewrites the complete file, its rows in the `order` of their keys."""
    rows = [_row(path, line) for line in json_lines.Log(path).lines()]
    by_key = {key(row): row for row in rows}
    ordered = [by_key[k] for k in order]
    files.write_json_lines(path, ordered)
    return ordered


def _row(path: pathlib.Path, line: json_lines.Line) -> dict[str, Any]:
    try:
        row = json.loads(line.raw)
        hash(key(row))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.InputError(
            f'{path}:{line.number} is no answer of launch.sample, so the file is left '
            'as it is; give another --output, or move it away.'
        ) from error
    return row


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + '...'
