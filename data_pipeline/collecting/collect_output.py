"""The files of a collection, which hold its whole state.

    OUTPUT            one thread a line, only ever appended to
    OUTPUT.skipped    a line for each post that was not kept: {"id":…,"reason":…}
    OUTPUT.cursor     the collection's settings, and the position in its listing
    OUTPUT.lock       held by the one program that writes

A post is done if its id is in one of the first two. The cursor, written whole after
both are on the disk, only saves listing earlier posts again: a kill at any moment loses
no post and repeats none. The suffixes let `*.jsonl` find the threads alone.
"""

import collections
import json
import os
import pathlib
from typing import Any

from data_pipeline.rows import raw_thread
from hax_jax import digests, errors, files, json_lines

SCHEMA = 1


class Output:
    """An open collection; `collecting` are its settings, which must not change.

    With `repeat`, posts that an earlier, finished call kept may be kept again.

    Attributes:
      kept: number of threads of this collection (with `repeat`: of the current call).
      skipped: posts that were not kept, by reason, counted in the same way.
      position: where the listing continues, None at its beginning.
      notes: problems that were found and repaired on opening.

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
        self._threads = json_lines.Log(self.path, begins=b'{"answers":[')
        self._skips = json_lines.Log(beside(self.path, 'skipped'), begins=b'{"id":"')
        self._cursor_path = beside(self.path, 'cursor')
        self._collecting = collecting
        self._save_interval = save_interval
        self._since_saved = 0
        self.kept = 0
        self.skipped: collections.Counter[str] = collections.Counter()
        self.notes: list[str] = []
        self._done: set[str] = set()
        cursor = self._read_cursor()
        self.facts: dict[str, Any] = cursor.get('facts', {})
        sizes = self._sizes()
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
                'listing is read again from its beginning; posts that the files still '
                'have are not collected twice.'
            )
        for log in (self._threads, self._skips):
            log.open().mend()

    def knows(self, post_id: str) -> bool:
        """Whether the post was kept or skipped before."""
        return post_id in self._done

    def keep(self, thread: raw_thread.RawThread) -> None:
        """Appends a thread."""
        self._threads.append_lines([raw_thread.to_line(thread)])
        self._done.add(thread.id)
        self.kept += 1
        self._since_saved += 1

    def skip(self, post_id: str, reason: str) -> None:
        """Appends a post that is not kept, and why."""
        line = json.dumps({'id': post_id, 'reason': reason}, separators=(',', ':'))
        self._skips.append_lines([line])
        self._done.add(post_id)
        self.skipped[reason] += 1

    def at(self, position: Any) -> None:
        """Notes that all posts before `position` are done; saves when it is due."""
        self.position = position
        if self._since_saved >= self._save_interval:
            self.save()

    def save(self, *, finished: bool = False) -> None:
        """Brings all files to the disk, the cursor last."""
        for log in (self._threads, self._skips):
            log.sync()
        files.write_json(
            self._cursor_path,
            digests.sealed(
                {
                    'schema': SCHEMA,
                    'collecting': self._collecting,
                    'facts': self.facts,
                    'position': self.position,
                    'begin': self._begin,
                    'sizes': self._sizes(),
                    'finished': finished,
                    'kept': self.kept,
                    'skipped': dict(self.skipped.most_common()),
                }
            ),
        )
        self._since_saved = 0

    def close(self) -> None:
        """Closes the files, and removes them if nothing was collected."""
        for log in (self._threads, self._skips):
            log.close()
        if not any(self._sizes()):
            for path in (self.path, self._skips.path, self._cursor_path):
                path.unlink(missing_ok=True)

    def _sizes(self) -> list[int]:
        paths = (self.path, self._skips.path)
        return [path.stat().st_size if path.exists() else 0 for path in paths]

    def _read_cursor(self) -> dict[str, Any]:
        """The saved cursor, {} if there is none.

        Raises:
          InputError: the file is not a cursor, or belongs to another collection.
        """
        if not self._cursor_path.exists():
            return {}
        remedy = 'give another --output'
        try:
            cursor = files.read_json_object(self._cursor_path)
            if digests.SEAL in cursor and not digests.is_sealed(cursor):
                raise ValueError('it has other contents than were written')
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
        if differences and not any(self._sizes()):
            return {}  # nothing was collected: the settings may change
        if differences:
            raise errors.InputError(
                f'{self.path} is another collection:\n'
                + '\n'.join(differences)
                + f'\nGive the same values to go on with it, or {remedy}.'
            )
        return cursor

    def _read_kept(self) -> None:
        for _, offset, line in self._threads.lines():
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
        for _, offset, line in self._skips.lines():
            try:
                row = json.loads(line)
                post_id, reason = row['id'], row['reason']
            except (ValueError, TypeError, KeyError):
                raise errors.InputError(
                    f'{self._skips.path} at byte {offset:,} is no skipped post; '
                    'delete the file: its posts are then looked at again.'
                ) from None
            # After a crash of the machine a post can be in both files: it was kept.
            if offset >= self._begin[1] and post_id not in self._done:
                self._done.add(post_id)
                self.skipped[reason] += 1


def beside(path: pathlib.Path, what: str) -> pathlib.Path:
    """raw/a.jsonl, 'lock' -> raw/a.jsonl.lock"""
    return path.with_name(f'{path.name}.{what}')


def _is_shorter(sizes: list[int], expected: list[int]) -> bool:
    return any(size < then for size, then in zip(sizes, expected, strict=True))
