"""The pairs of one build, on disk, in an embedded database.

    with pair_store.PairStore(folder) as store:
        store.add(rows)                # in any number of calls, in order
        store.drop(near, reason=...)   # a table of (ordinal, kept)
        for pair in store.pairs('train'): ...

A pair is known by its ordinal, as ids may come twice. DuckDB keeps within its memory
limit and spills to `folder`; nothing else here holds more than a batch.
"""

import collections.abc
import contextlib
import dataclasses
import json
import pathlib
from typing import Any

import duckdb
import pyarrow as pa

from data_pipeline import facts
from hax_jax import config, files, records

_BATCH = 2_000  # pairs
# The best of several first, down to the last tie.
RANK = 'score DESC, length(answer) DESC, id, file, line, ordinal'
_SCHEMA = pa.schema(
    [
        ('ordinal', pa.int64()),
        ('id', pa.string()),
        ('grp', pa.string()),
        ('source', pa.string()),
        ('file', pa.string()),
        ('line', pa.int64()),
        ('topic', pa.string()),
        ('time', pa.string()),
        ('question', pa.string()),
        ('answer', pa.string()),
        ('score', pa.int64()),
        ('flags', pa.string()),
        ('weight', pa.float64()),
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
_PAIR = (
    'id, grp, source, file, line, topic, time, question, answer, score, flags, weight'
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
        self, folder: pathlib.Path | None = None, *, memory_mb: int = 512
    ) -> None:
        """`folder` None keeps all in memory, for tests."""
        self.folder = folder
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

    def add(self, rows: collections.abc.Sequence[facts.Row]) -> None:
        """Takes the next rows."""
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            values = [
                self._values(self.count + i, each) for i, each in enumerate(batch)
            ]
            self.insert('pairs', pa.Table.from_pylist(values, _SCHEMA))
            self.count += len(batch)

    def leave_out(self, gone: collections.abc.Sequence[Gone]) -> None:
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

    def rows(self, query: str) -> collections.abc.Iterator[tuple[Any, ...]]:
        """The rows of a query, a batch in memory at a time, beside other queries."""
        for batch in self.batches(query):
            yield from zip(*(column.to_pylist() for column in batch), strict=True)

    def batches(
        self, query: str, *, size: int = _BATCH
    ) -> collections.abc.Iterator[pa.RecordBatch]:
        """The same as Arrow's batches."""
        with self.sql.cursor() as cursor:
            yield from cursor.sql(query).to_arrow_reader(size)

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        (value,) = self.sql.execute(query).fetchone()
        return int(value or 0)

    def found(self, query: str) -> collections.abc.Iterator[tuple[Any, ...]]:
        """(ordinal, pair, ...) of a query that joins `pairs`, by what it adds.

        `{pair}` in the query stands for a pair's columns.
        """
        width = len(_PAIR.split(','))
        columns = ', '.join(f'pairs.{name.strip()}' for name in _PAIR.split(','))
        for values in self.rows(query.replace('{pair}', columns)):
            yield _pair(values[:width]), *values[width:]

    def pairs(self, split: str) -> collections.abc.Iterator[records.QaPair]:
        """The pairs of a split: groups by the hash of their names, in each by place.

        Copies of a pair follow it; the second's id ends in '#2'.
        """
        # Joined first, then sorted: at once, the joins' memory is missing to the sort.
        self.sql.execute(
            'CREATE OR REPLACE TABLE chosen AS SELECT pairs.* EXCLUDE'
            ' (question_signature, answer_signature, links, runs), home.place,'
            ' coalesce(copies.copies, 1) AS copies FROM kept AS pairs JOIN home USING'
            ' (grp) LEFT JOIN copies USING (ordinal) WHERE home.split = ?',
            [split],
        )
        query = (
            'SELECT {pair}, copies FROM chosen AS pairs '
            'ORDER BY pairs.place, pairs.file, pairs.line, pairs.id'
        )
        for pair, copies in self.found(query):
            for number in range(1, copies + 1):
                if number == 1:
                    yield pair
                else:
                    yield dataclasses.replace(pair, id=f'{pair.id}#{number}')

    def gone(self) -> collections.abc.Iterator[Gone]:
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
        values = {**vars(each.pair), **vars(each), 'ordinal': ordinal}
        values['grp'] = values.pop('group')
        values['flags'] = json.dumps(each.pair.flags)
        values['question_words'], values['answer_words'] = values.pop('words')
        del values['pair']
        return values


@contextlib.contextmanager
def beside(output: pathlib.Path) -> collections.abc.Iterator[PairStore]:
    """A store in a hidden folder beside what is being made, which goes with it.

    Raises:
      InputError: another process makes the same output, or the disk is full.
    """
    try:
        with files.work_folder(output) as folder, PairStore(folder) as store:
            yield store
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise config.InputError(
            f'the pairs could not be compared on the disk of --output={output} '
            f'({error}); about four times the size of the inputs is needed beside it.'
        ) from error
    except files.LockedError as error:
        raise config.InputError(
            f'another program is making --output={output}; wait for it or give '
            'another --output.'
        ) from error


def _pair(values: tuple[Any, ...]) -> records.QaPair:
    *rest, flags, weight = values
    names = [field.name for field in dataclasses.fields(records.QaPair)]
    pair = dict(zip(names, rest, strict=False))
    return records.QaPair(**pair, flags=tuple(json.loads(flags)), weight=weight)
