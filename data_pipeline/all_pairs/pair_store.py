"""The pairs of one build: their texts in a file, the columns to compare in a database.

    with pair_store.beside(output) as store:
        store.add(rows)                # in any number of calls, in order
        exact_duplicates.drop(store)   # SQL over `store.sql`
        for pair in store.pairs('train'): ...

A pair is known by its ordinal, as two pairs may have one id. DuckDB keeps within its
memory limit and spills to `folder`; no other code here holds more than a batch. Texts
stay outside of DuckDB, which can't sort rows of many times its limit.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from data_pipeline.all_pairs import compared_row
from data_pipeline.pages import reddit
from hax_jax import errors, files
from hax_jax.data import records

_BATCH = 2_000  # pairs
# The best of several pairs first; no tie is left.
RANK = 'score DESC, answer_length DESC, id, file, line, ordinal'
# `start` and `size` are the bytes of the pair in the file of texts; `grp` is its group.
# Every pair is in `never` (dropped before it came here), in `gone`, or in the dataset.
_TABLES = """
CREATE TABLE pairs (
    ordinal BIGINT, start BIGINT, size BIGINT, id VARCHAR, grp VARCHAR, source VARCHAR,
    file VARCHAR, line BIGINT, score BIGINT, weight DOUBLE, answer_length BIGINT,
    body_removed BOOLEAN, links VARCHAR[], title VARCHAR, is_update BOOLEAN,
    text VARCHAR, question_signature BLOB, answer_signature BLOB, runs UBIGINT[],
    question_words INTEGER, answer_words INTEGER);
CREATE TABLE never (id VARCHAR, reason VARCHAR);
CREATE TABLE gone (ordinal BIGINT, reason VARCHAR, kept BIGINT);
CREATE VIEW kept AS SELECT * FROM pairs ANTI JOIN gone USING (ordinal);
CREATE TABLE near (one BIGINT, other BIGINT, question BOOLEAN, answer BOOLEAN);
CREATE TABLE home (grp VARCHAR, component VARCHAR, split VARCHAR, place BIGINT);
CREATE TABLE copies (ordinal BIGINT, copies BIGINT);
"""


@dataclasses.dataclass(frozen=True)
class Gone:
    """A pair that is not in the dataset; `kept_id` names the one kept in its place."""

    id: str
    reason: str
    kept_id: str = ''


class PairStore:
    """A context manager; its caller deletes `folder`, None for a store in memory."""

    def __init__(
        self, folder: pathlib.Path | None = None, *, memory_mb: int = 384
    ) -> None:
        self.folder = folder
        self.count = 0
        self._texts = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = self._flushed = 0
        settings: dict[str, Any] = {
            'memory_limit': f'{memory_mb}MB',
            'threads': 2,  # each more would take a share of that memory for itself
            'preserve_insertion_order': False,
            # The database is thrown away: its log need not be merged into its file.
            'checkpoint_threshold': '1TB',
            'autoinstall_known_extensions': False,
            'autoload_known_extensions': False,
        }
        if folder is not None:
            settings['temp_directory'] = str(folder / 'spilled')
        where = ':memory:' if folder is None else str(folder / 'pairs.duckdb')
        self.sql = duckdb.connect(where, config=settings)
        self.sql.execute(f'SET enable_progress_bar = false; {_TABLES}')
        self._schema = self.sql.sql('FROM pairs LIMIT 0').to_arrow_table().schema

    def __enter__(self) -> 'PairStore':
        return self

    def __exit__(self, *_: object) -> None:
        self.sql.close()
        self._texts.close()

    def add(self, rows: Sequence[compared_row.Row]) -> None:
        """Adds the next rows."""
        for start in range(0, len(rows), _BATCH):
            values = [self._columns(each) for each in rows[start : start + _BATCH]]
            self.insert('pairs', pa.Table.from_pylist(values, self._schema))

    def leave_out(self, gone: Sequence[Gone]) -> None:
        """Records pairs that a stage dropped."""
        if gone:
            rows = [{'id': each.id, 'reason': each.reason} for each in gone]
            self.insert('never', pa.Table.from_pylist(rows))

    def insert(self, table: str, values: pa.Table) -> None:
        """Appends an Arrow table to a table of the store."""
        self.sql.register('incoming', values)
        self.sql.execute(f'INSERT INTO {table} SELECT * FROM incoming')
        self.sql.unregister('incoming')

    def shrink(self, *, memory_mb: int = 192) -> None:
        """Gives memory back for TensorFlow, which takes 600 MB."""
        self.sql.execute(f"SET memory_limit = '{memory_mb}MB'")

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, a batch in memory at a time, beside other queries."""
        for batch in self.batches(query):
            yield from zip(*(column.to_pylist() for column in batch), strict=True)

    def batches(self, query: str, *, size: int = _BATCH) -> Iterator[pa.RecordBatch]:
        """The rows of a query in Arrow's batches."""
        with self.sql.cursor() as cursor:
            yield from cursor.sql(query).to_arrow_reader(size)

    def number(self, query: str) -> int:
        """The single number of a query's result."""
        (value,) = self.sql.execute(query).fetchone()
        return int(value or 0)

    def found(self, query: str) -> Iterator[tuple[Any, ...]]:
        """(pair, *other selected columns) of each row of a query.

        The query selects `{pair}` first, from a table named `pairs`.
        """
        columns = 'pairs.start, pairs.size'
        for start, size, *more in self.rows(query.replace('{pair}', columns)):
            if start + size > self._flushed:
                self._texts.flush()
                self._flushed = self._end
            values = json.loads(os.pread(self._texts.fileno(), size, start))
            values['flags'] = tuple(values['flags'])
            yield records.QaPair(**values), *more

    def pairs(self, split: str) -> Iterator[records.QaPair]:
        """The pairs of a split: groups by the hash of their names, each in file order.

        Copies of a pair follow it; the second's id ends in '#2'.
        """
        query = (
            'SELECT {pair}, coalesce(copies.copies, 1) FROM kept AS pairs '
            f"JOIN home ON home.grp = pairs.grp AND home.split = '{split}' "
            'LEFT JOIN copies ON copies.ordinal = pairs.ordinal '
            'ORDER BY home.place, pairs.file, pairs.line, pairs.id'
        )
        for pair, copies in self.found(query):
            yield pair
            for number in range(2, copies + 1):
                yield dataclasses.replace(pair, id=f'{pair.id}#{number}')

    def gone(self) -> Iterator[Gone]:
        """Every pair that was read and is not in the dataset, by reason and id.

        A duplicate of a duplicate names the pair that stayed or was dropped last.
        """
        self.sql.execute(
            'CREATE OR REPLACE TABLE resolved AS WITH RECURSIVE walk AS ('
            ' SELECT ordinal, kept FROM gone WHERE kept IS NOT NULL'
            ' UNION ALL SELECT walk.ordinal, gone.kept FROM walk '
            ' JOIN gone ON gone.ordinal = walk.kept WHERE gone.kept IS NOT NULL)'
            ' SELECT ordinal, kept FROM walk WHERE kept NOT IN '
            ' (SELECT ordinal FROM gone WHERE kept IS NOT NULL)'
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

    def _columns(self, row: compared_row.Row) -> dict[str, Any]:
        """The columns of a row (and more), whose text is appended to the file."""
        pair = row.pair
        text = records.canonical_json(vars(pair)).encode()
        self._texts.write(text)
        columns = {
            **vars(pair),
            **vars(row),
            'ordinal': self.count,
            'start': self._end,
            'size': len(text),
            'grp': pair.group,
            'answer_length': len(pair.answer),
            'body_removed': reddit.BODY_REMOVED in pair.flags,
        }
        self.count += 1
        self._end += len(text)
        return columns


@contextlib.contextmanager
def beside(output: pathlib.Path) -> Iterator[PairStore]:
    """A store in a hidden folder beside `output`, deleted at the end.

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
