"""Posts and comments of a dump, joined by DuckDB, which lays on the disk what is much.

Rows go in by batches, numbered by `seq` in the files' order; posts come out by windows
of that order, each with its best comments. However many there are, memory holds a
batch, a window, and what DuckDB is allowed.
"""

import collections
import concurrent.futures
import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import pyarrow

from data_pipeline.collecting import reddit_shapes
from hax_jax import errors

LOG = logging.getLogger('collect')
_MEMORY = '500MB'
_THREADS = 2  # each more would take a share of that memory for itself
_WINDOW = 512  # posts that are taken out at a time
_SPILLED = 'duckdb_temp*'  # DuckDB's own names for what is on the disk

_ARROW = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_()}
_SQL = {str: 'VARCHAR', int: 'BIGINT', bool: 'BOOLEAN'}
_FIELDS: dict[str, dict[str, type]] = {
    'posts': {
        'seq': int,
        'wanted': bool,
        **{field.name: field.type for field in dataclasses.fields(reddit_shapes.Post)},
    },
    # `post` is the seq of a wanted post. Only an eligible comment, whose `reason` is
    # '', has a text: of others it is enough to know whose parents they are.
    'comments': {
        'seq': int,
        'post': int,
        'reason': str,
        'id': str,
        'parent_id': str,
        'author': str,
        'body': str,
        'score': int,
        'created_utc': int,
    },
}


class Store:
    """A database whose overflow is in a folder, which `close` removes.

    Call `add_posts` and `end_posts`, then `askers`, `add_comments` and `end_comments`,
    then perhaps `choose`, then `threads`. Every method may find that the disk is full,
    which is an InputError.

    Raises:
      OSError: the folder can't be made.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        if clear(folder):
            LOG.info('%s was left by a call that was killed: it is removed', folder)
        folder.mkdir(parents=True)
        # Not a file: such a database writes all to its log first, then again in place.
        self._connection = duckdb.connect(
            ':memory:',
            config={
                'memory_limit': _MEMORY,
                'threads': _THREADS,
                'temp_directory': str(folder),
                'autoinstall_known_extensions': False,
                'autoload_known_extensions': False,
            },
        )
        # Statements run in a thread beside ours, where a signal is not heard: DuckDB
        # turns what its handler raises into errors of its own.
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        for table, fields in _FIELDS.items():
            columns = ', '.join(f'{name} {_SQL[kind]}' for name, kind in fields.items())
            self._run(f'CREATE TABLE {table} ({columns})')
        self._num_seqs = 0

    def close(self) -> None:
        """Gives up what it holds and removes the folder; again does nothing."""
        self._worker.shutdown()
        self._connection.close()
        clear(self._folder)

    def add_posts(self, rows: list[tuple[Any, ...]]) -> None:
        """(seq, wanted, *the fields of Post) of each."""
        self._add('posts', rows)
        self._num_seqs = max(self._num_seqs, rows[-1][0] + 1)

    def end_posts(self) -> int:
        """Leaves of each id the first post; returns how many are left out."""
        return self._drop_repeated('posts')

    def askers(self, ids: Iterable[str]) -> dict[str, tuple[int, str]]:
        """{id: (seq, author)} of those ids that are wanted posts'."""
        wanted = pyarrow.table({'id': pyarrow.array(sorted(ids), pyarrow.string())})
        rows = self._run(
            'SELECT id, seq, author FROM posts WHERE wanted AND id IN '
            '(SELECT id FROM given)',
            given=wanted,
        )
        return {name: (seq, author) for name, seq, author in rows}

    def add_comments(self, rows: list[tuple[Any, ...]]) -> None:
        """(seq, post, reason, id, parent_id, author, body, score, created_utc)."""
        self._add('comments', rows)

    def end_comments(self, most: int) -> tuple[int, collections.Counter[str]]:
        """Ranks the comments and keeps the best `most` (0: all) of each post.

        Returns how many are listed twice, the first of which counts, and why those
        that are not eligible are not.
        """
        repeated = self._drop_repeated('comments')
        reasons = self._run(
            "SELECT reason, count(*) FROM comments WHERE reason <> '' GROUP BY reason"
        )
        # The order is collect_rules.rank's. What is ranked has no texts: they are
        # fetched for the best alone, then laid in the posts' order for the windows.
        self._run(
            'CREATE TABLE ranked AS SELECT seq, row_number() OVER '
            '(PARTITION BY post ORDER BY score DESC, created_utc, id) AS place '
            "FROM comments WHERE reason = '' "
            + (f'QUALIFY place <= {int(most)}' if most else '')
        )
        self._run(
            'CREATE TABLE answers AS SELECT comments.*, place '
            'FROM comments JOIN ranked USING (seq) ORDER BY post, place'
        )
        # Whom an answer below another answers is found in all comments of its post.
        self._run(
            'CREATE TABLE parents AS SELECT post, id, parent_id FROM comments '
            'WHERE post IN (SELECT post FROM answers WHERE NOT '
            "starts_with(parent_id, 't3_')) ORDER BY post"
        )
        self._run('DROP TABLE ranked')
        self._run('DROP TABLE comments')
        return repeated, collections.Counter(dict(reasons))

    def choose(self, column: str, limit: int) -> None:
        """Of the posts with answers, leaves the `limit` with most in the column."""
        self._run(
            'DELETE FROM posts WHERE seq IN (SELECT DISTINCT post FROM answers) AND '
            'seq NOT IN (SELECT seq FROM posts WHERE seq IN (SELECT post FROM answers) '
            f'ORDER BY {column} DESC, id LIMIT {int(limit)})'
        )

    def threads(
        self,
    ) -> Iterator[tuple[reddit_shapes.Post, list[reddit_shapes.Comment]]]:
        """Each post, in the files' order, with its best comments, the best first."""
        for begin in range(0, self._num_seqs, _WINDOW):
            between = f'BETWEEN {begin} AND {begin + _WINDOW - 1}'
            posts = self._run(
                f'SELECT * EXCLUDE (wanted) FROM posts WHERE seq {between} ORDER BY seq'
            )
            answers = self._run(
                'SELECT post, id, parent_id, author, body, score, created_utc '
                f'FROM answers WHERE post {between} ORDER BY post, place'
            )
            parents = collections.defaultdict(dict)
            for post, name, parent in self._run(
                f'SELECT post, id, parent_id FROM parents WHERE post {between}'
            ):
                parents[post][name] = parent
            best = collections.defaultdict(list)
            for post, name, parent, author, body, score, created in answers:
                best[post].append(
                    reddit_shapes.Comment(
                        id=name,
                        parent_id=parent,
                        author=author,
                        body=body,
                        score=score,
                        depth=_depth(name, parent, parents[post]),
                        created_utc=created,
                        stickied=False,
                        gone=False,
                    )
                )
            for seq, *fields in posts:
                yield reddit_shapes.Post(*fields), best[seq]

    def _add(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        fields = _FIELDS[table]
        columns = {
            name: pyarrow.array(values, _ARROW[kind])
            for (name, kind), values in zip(
                fields.items(), zip(*rows, strict=True), strict=True
            )
        }
        self._run(
            f'INSERT INTO {table} SELECT * FROM given', given=pyarrow.table(columns)
        )

    def _drop_repeated(self, table: str) -> int:
        """Deletes all rows of an id but the first; returns how many."""
        self._run(
            f'CREATE TABLE repeated AS SELECT seq FROM {table} JOIN (SELECT id, '
            f'min(seq) AS first FROM {table} GROUP BY id HAVING count(*) > 1) '
            'USING (id) WHERE seq > first'
        )
        ((count,),) = self._run('SELECT count(*) FROM repeated')
        if count:
            self._run(f'DELETE FROM {table} WHERE seq IN (SELECT seq FROM repeated)')
        self._run('DROP TABLE repeated')
        return count

    def _run(self, sql: str, *, given: pyarrow.Table | None = None) -> list[tuple]:
        """The rows of a statement, which may name a table that it is given."""
        running = self._worker.submit(self._execute, sql, given)
        try:
            return running.result()
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise errors.InputError(
                f'{self._folder}, where the dump is joined, is full: {error}; '
                'give an --output on a disk with room for the texts of the subreddit.'
            ) from None
        finally:
            if not running.done():  # Ctrl-C or SIGTERM
                self._connection.interrupt()
                concurrent.futures.wait([running])

    def _execute(self, sql: str, given: pyarrow.Table | None) -> list[tuple]:
        if given is None:
            return self._connection.execute(sql).fetchall()
        self._connection.register('given', given)
        try:
            return self._connection.execute(sql).fetchall()
        finally:
            self._connection.unregister('given')


def _depth(name: str, parent: str, parents: dict[str, str]) -> int:
    """How far below the post, -1 where a comment above is not in the files."""
    depth, climbed = 0, {name}
    while not parent.startswith('t3_'):
        above = reddit_shapes.bare_id(parent)
        if above not in parents or above in climbed:
            return -1
        climbed.add(above)
        depth += 1
        parent = parents[above]
    return depth


def clear(folder: pathlib.Path) -> bool:
    """Removes what DuckDB left in a folder, and the folder; False where none is.

    Raises:
      OSError: it has something else in it.
    """
    if not folder.exists():
        return False
    for path in folder.glob(_SPILLED):
        path.unlink(missing_ok=True)
    folder.rmdir()
    return True
