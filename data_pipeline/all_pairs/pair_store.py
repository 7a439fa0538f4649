"""The pairs of one build: their texts in a file, what compares them in a database.

    with pair_store.beside(output) as store:
        store.add(rows)                # in any number of calls, in order
        exact_duplicates.drop(store)   # SQL over `store.sql`
        for pair in store.pairs('train'): ...

A pair is known by its ordinal, as ids may come twice. DuckDB keeps within its memory
limit and spills to `folder`; nothing else here holds more than a batch. Texts are no
part of it: it does not sort rows of many times its limit.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from data_pipeline.all_pairs import facts, pair_file
from data_pipeline.pages import reddit
from hax_jax import errors, files
from hax_jax.data import records

_BATCH = 2_000  # pairs
# The best of several first, down to the last tie.
RANK = 'score DESC, answer_length DESC, id, file, line, ordinal'
_SCHEMA = pa.schema(
    [
        ('ordinal', pa.int64()),
        ('id', pa.string()),
        ('grp', pa.string()),
        ('source', pa.string()),
        ('file', pa.string()),
        ('line', pa.int64()),
        ('start', pa.int64()),
        ('size', pa.int64()),
        ('score', pa.int64()),
        ('weight', pa.float64()),
        ('answer_length', pa.int64()),
        ('body_removed', pa.bool_()),
        ('links', pa.list_(pa.string())),
        ('title', pa.string()),
        ('is_update', pa.bool_()),
        ('text', pa.string()),
        ('question_signature', pa.binary()),
        ('answer_signature', pa.binary()),
        ('runs', pa.list_(pa.uint64())),
        ('question_words', pa.int32()),
        ('answer_words', pa.int32()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Gone:
    """A pair that is not in the dataset; `kept_id` names the one kept in its place."""

    id: str
    reason: str
    kept_id: str = ''


class PairStore:
    """A context manager; what is in `folder` is the caller's to delete."""

    def __init__(
        self, folder: pathlib.Path | None = None, *, memory_mb: int = 384
    ) -> None:
        """`folder` None keeps all in memory, for tests."""
        self.folder = folder
        self._texts = pair_file.PairFile(folder)
        settings: dict[str, Any] = {
            'memory_limit': f'{memory_mb}MB',
            'threads': 2,  # each more would take a share of that memory for itself
            'preserve_insertion_order': False,
            # The database is thrown away: nothing has to be on the disk in order.
            'checkpoint_threshold': '1TB',
            'autoinstall_known_extensions': False,
            'autoload_known_extensions': False,
        }
        where = ':memory:'
        if folder is not None:
            settings['temp_directory'] = str(folder / 'spilled')
            where = str(folder / 'pairs.duckdb')
        self.sql = duckdb.connect(where, config=settings)
        self.count = 0
        self.sql.execute('SET enable_progress_bar = false')
        self.sql.register('schema', _SCHEMA.empty_table())
        self.sql.execute(
            'CREATE TABLE pairs AS SELECT * FROM schema;'
            # Where a pair goes: a split with a number of copies, or out.
            'CREATE TABLE gone (ordinal BIGINT, reason VARCHAR, kept BIGINT);'
            'CREATE TABLE never (id VARCHAR, reason VARCHAR);'
            'CREATE TABLE near (one BIGINT, other BIGINT, question BOOLEAN,'
            ' answer BOOLEAN);'
            'CREATE TABLE home (grp VARCHAR, component VARCHAR, split VARCHAR,'
            ' place BIGINT);'
            'CREATE TABLE copies (ordinal BIGINT, copies BIGINT);'
            'CREATE VIEW kept AS SELECT * FROM pairs ANTI JOIN gone USING (ordinal);'
        )

    def __enter__(self) -> 'PairStore':
        return self

    def __exit__(self, *_: object) -> None:
        self.sql.close()
        self._texts.close()

    def add(self, rows: Sequence[facts.Row]) -> None:
        """Takes the next rows."""
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            values = [
                self._values(self.count + i, each) for i, each in enumerate(batch)
            ]
            self.insert('pairs', pa.Table.from_pylist(values, _SCHEMA))
            self.count += len(batch)

    def leave_out(self, gone: Sequence[Gone]) -> None:
        """Takes account of pairs that were dropped before they came here."""
        if gone:
            self.insert(
                'never',
                pa.table(
                    {
                        'id': [each.id for each in gone],
                        'reason': [each.reason for each in gone],
                    }
                ),
            )

    def insert(self, table: str, values: pa.Table) -> None:
        """Appends an Arrow table to a table of the store."""
        self.sql.register('incoming', values)
        self.sql.execute(f'INSERT INTO {table} SELECT * FROM incoming')
        self.sql.unregister('incoming')

    def shrink(self, *, memory_mb: int = 192) -> None:
        """Gives memory back, for what comes beside: TensorFlow takes 600 MB."""
        self.sql.execute(f"SET memory_limit = '{memory_mb}MB'")

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, a batch in memory at a time, beside other queries."""
        for batch in self.batches(query):
            yield from zip(*(column.to_pylist() for column in batch), strict=True)

    def batches(self, query: str, *, size: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """The same as Arrow's batches."""
        with self.sql.cursor() as cursor:
            yield from cursor.sql(query).to_arrow_reader(size)

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        (value,) = self.sql.execute(query).fetchone()
        return int(value or 0)

    def found(self, query: str) -> Iterator[tuple[Any, ...]]:
        """(pair, *what else is selected) of each row of a query that has `pairs`.

        `{pair}` opens what the query selects.
        """
        columns = 'pairs.start, pairs.size'
        for start, size, *more in self.rows(query.replace('{pair}', columns)):
            yield self._texts.read(start, size), *more

    def pairs(self, split: str) -> Iterator[records.QaPair]:
        """The pairs of a split: groups by the hash of their names, in each by place.

        Copies of a pair follow it; the second's id ends in '#2'.
        """
        query = (
            'SELECT {pair}, coalesce(copies.copies, 1) FROM kept AS pairs '
            f"JOIN home ON home.grp = pairs.grp AND home.split = '{split}' "
            'LEFT JOIN copies ON copies.ordinal = pairs.ordinal '
            'ORDER BY home.place, pairs.file, pairs.line, pairs.id'
        )
        for pair, copies in self.found(query):
            for number in range(1, copies + 1):
                if number == 1:
                    yield pair
                else:
                    yield dataclasses.replace(pair, id=f'{pair.id}#{number}')

    def gone(self) -> Iterator[Gone]:
        """Every pair that was read and is not in the dataset, by reason and id.

        A duplicate of a duplicate names the one that stayed, or that was dropped last.
        """
        self.sql.execute(
            'CREATE OR REPLACE TABLE resolved AS WITH RECURSIVE walk AS ('
            ' SELECT ordinal, kept FROM gone WHERE kept IS NOT NULL'
            ' UNION ALL SELECT walk.ordinal, gone.kept FROM walk '
            ' JOIN gone ON gone.ordinal = walk.kept WHERE gone.kept IS NOT NULL),'
            ' deep AS (SELECT ordinal, kept FROM walk WHERE kept NOT IN '
            ' (SELECT ordinal FROM gone WHERE kept IS NOT NULL))'
            ' SELECT * FROM deep'
        )
        query = (
            "SELECT id, reason, '' FROM never UNION ALL "
            "SELECT one.id, gone.reason, coalesce(other.id, '') FROM gone "
            'JOIN pairs AS one USING (ordinal) '
            'LEFT JOIN resolved ON resolved.ordinal = gone.ordinal '
            'LEFT JOIN pairs AS other ON other.ordinal = resolved.kept '
            'ORDER BY 2, 1, 3'
        )
        for values in self.rows(query):
            yield Gone(*values)

    def _values(self, ordinal: int, each: facts.Row) -> dict[str, Any]:
        pair = each.pair
        start, size = self._texts.add(pair)
        return {
            **vars(each),
            'ordinal': ordinal,
            'id': pair.id,
            'grp': pair.group,
            'source': pair.source,
            'file': pair.file,
            'line': pair.line,
            'start': start,
            'size': size,
            'score': pair.score,
            'weight': pair.weight,
            'answer_length': len(pair.answer),
            'body_removed': reddit.BODY_REMOVED in pair.flags,
            'question_words': each.words[0],
            'answer_words': each.words[1],
        }


@contextlib.contextmanager
def beside(output: pathlib.Path) -> Iterator[PairStore]:
    """A store in a hidden folder beside what is being made, which goes with it.

    Raises:
      InputError: another process makes the same output, or the disk is full.
    """
    try:
        with files.work_folder(output) as folder, PairStore(folder) as store:
            yield store
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise errors.InputError(
            f'the pairs could not be compared on the disk of --output={output} '
            f'({error}); about four times the size of the inputs is needed beside it.'
        ) from error
    except files.LockedError as error:
        raise errors.InputError(
            f'another program is making --output={output}; wait for it or give '
            'another --output.'
        ) from error
