"""Posts and comments of a dump, joined by DuckDB, which spills to the disk.

Rows enter in batches, numbered by `seq` in the files' order; posts leave in windows of
that order, each with its best comments. Memory holds one batch, one window, and
DuckDB's limit.
"""

import collections
import concurrent.futures
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
_WINDOW = 512  # posts that leave at a time
_SPILLED = 'duckdb_temp*'  # DuckDB's names of its files on the disk

# Posts have the fields of reddit_shapes.Post, in their order. `post` is the seq of a
# wanted post. Only an eligible comment, whose `reason` is '', has a text: the others
# are there as the parents of comments.
_TABLES = {
    'posts': 'seq BIGINT, wanted BOOLEAN, id VARCHAR, subreddit VARCHAR, '
    'title VARCHAR, body VARCHAR, flair VARCHAR, author VARCHAR, score BIGINT, '
    'num_comments BIGINT, created_utc BIGINT, url VARCHAR, stickied BOOLEAN, '
    'gone BOOLEAN',
    'comments': 'seq BIGINT, post BIGINT, reason VARCHAR, id VARCHAR, '
    'parent_id VARCHAR, author VARCHAR, body VARCHAR, score BIGINT, '
    'created_utc BIGINT',
}


class Store:
    """A database that spills to a folder, which `close` removes.

    Call `add_posts` and `end_posts`, then `askers`, `add_comments` and `end_comments`,
    then perhaps `choose`, then `threads`. Every method raises InputError if the disk is
    full.

    Raises:
      OSError: the folder can't be made.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        if clear(folder):
            LOG.info('removed %s, left by a call that was killed', folder)
        folder.mkdir(parents=True)
        # Not a file, to which DuckDB would write all rows twice, first to its log.
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
        # Statements run in a second thread, which no signal reaches: DuckDB would turn
        # the exception of a signal's handler into an error of its own.
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        self._schemas = {}
        for table, columns in _TABLES.items():
            self._run(f'CREATE TABLE {table} ({columns})')
            empty = self._connection.table(table).to_arrow_table()
            self._schemas[table] = empty.schema
        self._num_seqs = 0

    def close(self) -> None:
        """Closes the database and removes the folder; may be called twice."""
        self._worker.shutdown()
        self._connection.close()
        clear(self._folder)

    def add_posts(self, rows: list[tuple[Any, ...]]) -> None:
        """Adds rows (seq, wanted, *the fields of Post)."""
        self._add('posts', rows)
        self._num_seqs = max(self._num_seqs, rows[-1][0] + 1)

    def end_posts(self) -> int:
        """Keeps the first post of each id; returns the number of the others."""
        return self._drop_repeated('posts')

    def askers(self, ids: Iterable[str]) -> dict[str, tuple[int, str]]:
        """{id: (seq, author)} of the wanted posts among the ids."""
        wanted = pyarrow.table({'id': pyarrow.array(sorted(ids), pyarrow.string())})
        rows = self._run(
            'SELECT id, seq, author FROM posts WHERE wanted AND id IN '
            '(SELECT id FROM given)',
            given=wanted,
        )
        return {name: (seq, author) for name, seq, author in rows}

    def add_comments(self, rows: list[tuple[Any, ...]]) -> None:
        """Adds rows (seq, post, reason, id, parent_id, author, body, score, time)."""
        self._add('comments', rows)

    def end_comments(self, most: int) -> tuple[int, collections.Counter[str]]:
        """Ranks the comments and keeps the best `most` (0: all) of each post.

        Returns the number of comments listed again, of which the first counts, and the
        reasons of those that are not eligible.
        """
        repeated = self._drop_repeated('comments')
        reasons = self._run(
            "SELECT reason, count(*) FROM comments WHERE reason <> '' GROUP BY reason"
        )
        # In the order of collect_rules.rank. Ranks without texts, then fetches those of
        # the best and sorts them in the posts' order for the windows.
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
        # The depth of an answer below a comment needs all comments of its post.
        self._run(
            'CREATE TABLE parents AS SELECT post, id, parent_id FROM comments '
            'WHERE post IN (SELECT post FROM answers WHERE NOT '
            "starts_with(parent_id, 't3_')) ORDER BY post"
        )
        self._run('DROP TABLE ranked')
        self._run('DROP TABLE comments')
        return repeated, collections.Counter(dict(reasons))

    def choose(self, column: str, limit: int) -> None:
        """Keeps the `limit` posts highest in the column of those with answers."""
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
        columns = list(zip(*rows, strict=True))
        given = pyarrow.table(columns, schema=self._schemas[table])
        self._run(f'INSERT INTO {table} SELECT * FROM given', given=given)

    def _drop_repeated(self, table: str) -> int:
        """Deletes all rows of an id but the first; returns their number."""
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
        """The rows of a statement, which may read the table `given`."""
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
    """The depth below the post, -1 if a comment above is not in the files."""
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
    """Removes a folder and DuckDB's files in it; False if there is no folder.

    Raises:
      OSError: it holds other files.
    """
    if not folder.exists():
        return False
    for path in folder.glob(_SPILLED):
        path.unlink(missing_ok=True)
    folder.rmdir()
    return True
