"""The files of a collection, which hold all that is known of how far it came.

    OUTPUT            a thread a line, only ever appended to
    OUTPUT.skipped    a line for each post that was not kept: {"id":…,"reason":…}
    OUTPUT.cursor     what is collected, and where in its listing it goes on
    OUTPUT.lock       one program at a time

The state is what the first two hold: a post whose id is in either is done. The cursor,
written whole after both are on the disk, only saves listing again what lies before it,
so a kill at any moment loses no post and repeats none. A last line that was torn is
cut off. The names end so that `*.jsonl` finds the threads alone.
"""

import collections
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipeline.rows import raw_thread
from hax_jax import errors, files

SCHEMA = 1


class Output:
    """An open collection. `collecting` is what it is about: it must not change.

    With `repeat`, posts that an earlier, finished call kept may be kept again.

    Attributes:
      kept: threads of this collection (with `repeat`: of the call that is under way).
      skipped: posts not kept, by reason, counted in the same way.
      position: where its listing goes on, None at its beginning.
      notes: what was found and mended on opening.

    Raises:
      InputError: the file holds something else, or another collection.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        collecting: dict[str, Any],
        repeat: bool = False,
        save_interval: int = 20,
    ) -> None:
        self.path = pathlib.Path(path)
        self._skipped_path = beside(self.path, 'skipped')
        self._cursor_path = beside(self.path, 'cursor')
        self._collecting = collecting
        self._save_interval = save_interval
        self._since_saved = 0
        self.kept = 0
        self.skipped: collections.Counter[str] = collections.Counter()
        self.notes: list[str] = []
        self._done: set[str] = set()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cursor = self._read_cursor()
        self.facts: dict[str, Any] = cursor.get('facts', {})
        sizes = [_size(self.path), _size(self._skipped_path)]
        self._begin = cursor.get('begin', [0, 0]) if repeat else [0, 0]
        if repeat and cursor.get('finished'):
            self._begin = sizes
        if _is_shorter(sizes, self._begin):
            self._begin = [0, 0]
        self._read_kept()
        self._read_skipped()
        self.position = cursor.get('position')
        if _is_shorter(sizes, cursor.get('sizes', [0, 0])):
            self.position = None
            self.notes.append(
                f'{self.path} or its .skipped is shorter than when it was saved: the '
                'listing is read again from its beginning; what the files still have '
                'is not collected twice.'
            )
        self._kept_file = open(self.path, 'ab')  # noqa: SIM115 (kept open)
        self._skipped_file = open(self._skipped_path, 'ab')  # noqa: SIM115 (kept open)

    def knows(self, post_id: str) -> bool:
        """Whether the post was kept or skipped before."""
        return post_id in self._done

    def keep(self, thread: raw_thread.RawThread) -> None:
        """Appends a thread."""
        self._append(self._kept_file, raw_thread.to_line(thread))
        self._done.add(thread.id)
        self.kept += 1
        self._since_saved += 1

    def skip(self, post_id: str, reason: str) -> None:
        """Appends a post that is not kept, and why."""
        line = json.dumps({'id': post_id, 'reason': reason}, separators=(',', ':'))
        self._append(self._skipped_file, line)
        self._done.add(post_id)
        self.skipped[reason] += 1

    def at(self, position: Any) -> None:
        """Notes that all before `position` is done; saves when it is time to."""
        self.position = position
        if self._since_saved >= self._save_interval:
            self.save()

    def save(self, *, finished: bool = False) -> None:
        """Brings all to the disk, the cursor last."""
        for file in (self._kept_file, self._skipped_file):
            os.fsync(file.fileno())
        files.write_json(
            self._cursor_path,
            {
                'schema': SCHEMA,
                'collecting': self._collecting,
                'facts': self.facts,
                'position': self.position,
                'begin': self._begin,
                'sizes': [_size(self.path), _size(self._skipped_path)],
                'finished': finished,
                'kept': self.kept,
                'skipped': dict(self.skipped.most_common()),
            },
        )
        self._since_saved = 0

    def close(self) -> None:
        """Closes the files, which is safe at any moment; none stays of nothing."""
        self._kept_file.close()
        self._skipped_file.close()
        if not _size(self.path) and not _size(self._skipped_path):
            for path in (self.path, self._skipped_path, self._cursor_path):
                path.unlink(missing_ok=True)

    @staticmethod
    def _append(file: Any, line: str) -> None:
        file.write(line.encode() + b'\n')
        file.flush()  # the system has it: only a crash of the machine could lose it

    def _read_cursor(self) -> dict[str, Any]:
        """What was saved, {} where nothing was.

        Raises:
          InputError: it is no cursor, or of a collection of something else.
        """
        if not self._cursor_path.exists():
            return {}
        remedy = 'give another --output'
        try:
            cursor = files.read_json_object(self._cursor_path)
        except ValueError as error:
            raise errors.InputError(
                f'{self._cursor_path} is no cursor ({error}); delete it (nothing is '
                f'collected twice without it), or {remedy}.'
            ) from None
        if cursor.get('schema') != SCHEMA:
            raise errors.InputError(
                f'{self._cursor_path} has schema {cursor.get("schema")!r}, not '
                f'{SCHEMA}; {remedy}.'
            )
        there, now = cursor['collecting'], self._collecting
        differences = [
            f'  {name}: {there.get(name)!r} there, {now.get(name)!r} now'
            for name in {**there, **now}
            if there.get(name) != now.get(name)
        ]
        if differences and not (_size(self.path) or _size(self._skipped_path)):
            return {}  # nothing was collected: it may become another
        if differences:
            raise errors.InputError(
                f'{self.path} is another collection:\n'
                + '\n'.join(differences)
                + f'\nGive the same values to go on with it, or {remedy}.'
            )
        return cursor

    def _read_kept(self) -> None:
        for offset, line in _whole_lines(self.path, begins=b'{"answers":['):
            try:
                thread = raw_thread.from_line(line)
            except ValueError as error:
                raise errors.InputError(
                    f'{self.path} at byte {offset:,}: {error}; it is not the output of '
                    'a collection: give another --output.'
                ) from None
            if offset >= self._begin[0]:
                self._done.add(thread.id)
                self.kept += 1

    def _read_skipped(self) -> None:
        for offset, line in _whole_lines(self._skipped_path, begins=b'{"id":"'):
            try:
                row = json.loads(line)
                post_id, reason = row['id'], row['reason']
            except (ValueError, TypeError, KeyError):
                raise errors.InputError(
                    f'{self._skipped_path} at byte {offset:,} is no skipped post; '
                    'delete it: its posts are then looked at again.'
                ) from None
            # A post can be in both if the machine crashed; what was kept, is.
            if offset >= self._begin[1] and post_id not in self._done:
                self._done.add(post_id)
                self.skipped[reason] += 1


def beside(path: pathlib.Path, what: str) -> pathlib.Path:
    """raw/a.jsonl, 'lock' -> raw/a.jsonl.lock"""
    return path.with_name(f'{path.name}.{what}')


def work(path: pathlib.Path) -> pathlib.Path:
    """raw/a.jsonl -> raw/.a.jsonl.work, for what is removed when a call ends."""
    return path.with_name(f'.{path.name}.work')


def _is_shorter(sizes: list[int], expected: list[int]) -> bool:
    return any(size < then for size, then in zip(sizes, expected, strict=True))


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _whole_lines(path: pathlib.Path, *, begins: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of each line, once a last one without its newline is mended.

    Such a line is cut off, or, where only the newline is missing, given it. It is left
    as it is where it does not begin as ours do: then it is not ours, and yielded.
    """
    if not path.exists():
        return
    with open(path, 'rb+') as file:
        offset = 0
        for line in file:
            if not line.endswith(b'\n'):
                shown = line[: len(begins)]
                if begins.startswith(shown) and not _is_json(line):
                    file.truncate(offset)
                    return
                if line.startswith(begins):
                    file.seek(0, os.SEEK_END)
                    file.write(b'\n')
            yield offset, line
            offset += len(line)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
