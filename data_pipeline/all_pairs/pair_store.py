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
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from data_pipeline.all_pairs import compared_row
from data_pipeline.pages import reddit
from hax_jax import errors, files
from hax_jax.data import records

MEMORY_MB = 384  # of DuckDB
_BATCH = 2_000  # pairs
_AT_ONCE = 8_000  # pairs, some 15 MB
# The best of several pairs first; no tie is left.
RANK = 'score DESC, answer_length DESC, id, file, line, ordinal'
# The answers of one thread have one; pairs of a chat have different questions.
STORY = 'grp, question_words'
# `start` and `size` are the bytes of the pair in the file of texts, behind which its
# `num_runs` runs of words stand; `grp` is its group.
# Every pair is in `never` (dropped before it came here), in `gone`, or in the dataset.
_TABLES = """
CREATE TABLE pairs (
    ordinal BIGINT, start BIGINT, size BIGINT, num_runs BIGINT, id VARCHAR,
    grp VARCHAR, source VARCHAR, file VARCHAR, line BIGINT, score BIGINT,
    weight DOUBLE, topic VARCHAR, answer_length BIGINT, body_removed BOOLEAN,
    links VARCHAR[], title VARCHAR, is_update BOOLEAN, text VARCHAR, opening VARCHAR,
    question_signature BLOB, answer_signature BLOB, sample UBIGINT[],
    question_words INTEGER, answer_words INTEGER, measures BLOB, beginnings VARCHAR[],
    exchanges UBIGINT[]);
CREATE TABLE never (id VARCHAR, reason VARCHAR, start BIGINT, size BIGINT);
CREATE TABLE gone (ordinal BIGINT, reason VARCHAR, kept BIGINT);
CREATE VIEW kept AS SELECT * FROM pairs ANTI JOIN gone USING (ordinal);
CREATE TABLE near (one BIGINT, other BIGINT, question BOOLEAN, answer BOOLEAN);
CREATE TABLE home (grp VARCHAR, component VARCHAR, split VARCHAR, place BIGINT);
CREATE TABLE copies (ordinal BIGINT, copies BIGINT);
"""
# The columns that are fields of the pair, and of the row, under their own names.
_OF_PAIR = {
    'id': pa.string(),
    'source': pa.string(),
    'file': pa.string(),
    'line': pa.int64(),
    'score': pa.int64(),
    'weight': pa.float64(),
    'topic': pa.string(),
}
_OF_ROW = {
    'links': pa.list_(pa.string()),
    'title': pa.string(),
    'is_update': pa.bool_(),
    'text': pa.string(),
    'opening': pa.string(),
    'question_signature': pa.binary(),
    'answer_signature': pa.binary(),
    'question_words': pa.int32(),
    'answer_words': pa.int32(),
    'beginnings': pa.list_(pa.string()),
    'exchanges': pa.list_(pa.uint64()),
    'measures': pa.binary(),
}
SHORTENED = 1_000  # characters of a dropped pair's texts that are kept


@dataclasses.dataclass(frozen=True)
class Gone:
    """A pair that is not in the dataset; `kept_id` names the one kept in its place.

    `question` and `answer` are the first `SHORTENED` characters of its texts.
    """

    id: str
    reason: str
    kept_id: str = ''
    source: str = ''
    question: str = ''
    answer: str = ''


def dropped(pair: records.QaPair, reason: str, kept_id: str = '') -> Gone:
    """The account of a dropped pair, whose texts hold no personal data."""
    whole = pair.as_one()
    texts = (_shortened(text) for text in (whole.question, whole.answer))
    return Gone(pair.id, reason, kept_id, pair.source, *texts)


def _shortened(text: str) -> str:
    return text if len(text) <= SHORTENED else f'{text[:SHORTENED]}…'


@dataclasses.dataclass(frozen=True)
class Packed:
    """Rows for a store, as a worker hands them over.

    `texts` are the bytes of each pair, with its runs behind it; `columns` a table in
    Arrow's stream format, with the columns of `pairs` but `ordinal` and `start`.
    """

    texts: bytes
    columns: bytes


def packed(rows: Sequence[compared_row.Row]) -> Packed:
    """The rows as `PairStore.add` takes them."""
    texts = [records.canonical_json(records.as_row(row.pair)).encode() for row in rows]
    pairs = [row.pair for row in rows]
    samples = [row.sample for row in rows]
    ends = np.cumsum([0, *map(len, samples)]).astype(np.int32)
    none = np.zeros(0, np.uint64)
    columns = {
        'size': pa.array([len(text) for text in texts], pa.int64()),
        'num_runs': pa.array([len(row.runs) // 8 for row in rows], pa.int64()),
        'grp': pa.array([pair.group for pair in pairs], pa.string()),
        'answer_length': pa.array(
            [sum(len(each.answer) for each in pair.exchanges) for pair in pairs],
            pa.int64(),
        ),
        'body_removed': pa.array(
            [reddit.BODY_REMOVED in pair.flags for pair in pairs], pa.bool_()
        ),
        'sample': pa.ListArray.from_arrays(ends, np.concatenate([none, *samples])),
    }
    for name, kind in _OF_PAIR.items():
        columns[name] = pa.array([getattr(pair, name) for pair in pairs], kind)
    for name, kind in _OF_ROW.items():
        columns[name] = pa.array([getattr(row, name) for row in rows], kind)
    made = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    parts = zip(texts, (row.runs for row in rows), strict=True)
    return Packed(
        b''.join(itertools.chain.from_iterable(parts)), sink.getvalue().to_pybytes()
    )


@dataclasses.dataclass(frozen=True)
class Described:
    """A pair as it goes into the dataset, with what was made of it before.

    `line` is its canonical JSON with a newline, `measures` are for the report.
    """

    pair: records.QaPair
    line: bytes
    measures: compared_row.Measures


def described(
    pair: records.QaPair, measures: compared_row.Measures | None = None
) -> Described:
    """The pair with its line, and its measures if they are not given."""
    return Described(pair, line(pair), measures or compared_row.measured(pair))


def line(pair: records.QaPair) -> bytes:
    """The bytes of a pair that the sha256 of its split covers."""
    return records.canonical_json(records.as_row(pair)).encode() + b'\n'


_PAIR = msgspec.json.Decoder(records.QaPair)
_MEASURES = msgspec.json.Decoder(compared_row.Measures)
_GONE = msgspec.json.Decoder(Gone)


class PairStore:
    """A context manager; its caller deletes `folder`, None for a store in memory."""

    def __init__(
        self, folder: pathlib.Path | None = None, *, memory_mb: int = MEMORY_MB
    ) -> None:
        self.folder = folder
        self.count = 0
        self._texts = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = self._flushed = 0
        settings: dict[str, Any] = {
            'memory_limit': f'{memory_mb}MB',
            'threads': 2,  # each more would take a share of that memory for itself
            'preserve_insertion_order': False,
            'autoinstall_known_extensions': False,
            'autoload_known_extensions': False,
        }
        if folder is not None:
            settings['temp_directory'] = str(folder / 'spilled')
        # Tables over the limit go to the folder; a file would be a log of all too.
        self._sql = duckdb.connect(':memory:', config=settings)
        self._waiting: list[pa.Table] = []  # rows of `pairs`
        self._sql.execute(f'SET enable_progress_bar = false; {_TABLES}')
        self._schema = self.sql.sql('FROM pairs LIMIT 0').to_arrow_table().schema

    def __enter__(self) -> 'PairStore':
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()
        self._texts.close()

    @property
    def sql(self) -> duckdb.DuckDBPyConnection:
        """The database, with all rows that were added."""
        if self._waiting:
            waiting, self._waiting = pa.concat_tables(self._waiting), []
            self.insert('pairs', waiting)
        return self._sql

    def replace(self, ordinals: Sequence[int], packed: Packed) -> None:
        """Puts rows in the place of others; they keep what only raw texts show."""
        raw = 'links, title, is_update'
        self.sql.execute('CREATE OR REPLACE TEMP TABLE replaced (ordinal BIGINT)')
        self.insert('replaced', pa.table({'ordinal': pa.array(ordinals, pa.int64())}))
        self.sql.execute(
            f'CREATE OR REPLACE TEMP TABLE old AS SELECT ordinal, {raw} FROM pairs '
            'SEMI JOIN replaced USING (ordinal)'
        )
        self.sql.execute('DELETE FROM pairs WHERE ordinal IN (FROM replaced)')
        self.add(packed, ordinals=ordinals)
        columns = ', '.join(f'{name} = old.{name}' for name in raw.split(', '))
        self.sql.execute(
            f'UPDATE pairs SET {columns} FROM old WHERE old.ordinal = pairs.ordinal'
        )

    def add(self, packed: Packed, *, ordinals: Sequence[int] | None = None) -> None:
        """Adds the next rows; with `ordinals`, new forms of rows that were deleted."""
        made = pa.ipc.open_stream(packed.columns).read_all()
        columns = dict(zip(made.column_names, made.columns, strict=True))
        sizes = columns['size'].to_numpy() + 8 * columns['num_runs'].to_numpy()
        columns['start'] = self._end + np.cumsum(sizes) - sizes
        if ordinals is None:
            ordinals = np.arange(self.count, self.count + len(sizes))
            self.count += len(sizes)
        columns['ordinal'] = np.asarray(ordinals)
        self._texts.write(packed.texts)
        self._end += len(packed.texts)
        names = self._schema.names
        # A table at a time would take DuckDB ten times as long.
        self._waiting.append(pa.table([columns[name] for name in names], names))
        if sum(map(len, self._waiting)) >= _AT_ONCE:
            self.sql  # noqa: B018

    def leave_out(self, gone: Sequence[Gone]) -> None:
        """Records pairs that a stage dropped."""
        if not gone:
            return
        texts = [records.canonical_json(vars(each)).encode() for each in gone]
        self.insert(
            'never',
            pa.table(
                {
                    'id': [each.id for each in gone],
                    'reason': [each.reason for each in gone],
                    **self.append(texts),
                }
            ),
        )

    def append(self, texts: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Adds texts to the file of texts; returns their `start` and `size`."""
        size = np.array([len(text) for text in texts], np.int64)
        start = self._end + np.cumsum(size) - size
        self._texts.writelines(texts)
        self._end += int(size.sum())
        return {'start': start, 'size': size}

    def insert(self, table: str, values: pa.Table) -> None:
        """Appends an Arrow table to a table of the store."""
        self.sql.register('incoming', values)
        self.sql.execute(f'INSERT INTO {table} SELECT * FROM incoming')
        self.sql.unregister('incoming')

    def limit_memory(self, memory_mb: int) -> None:
        """Sets how much DuckDB may hold; it gives back what is more."""
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
        # All rows: an open result would keep others from the connection.
        ((value,),) = self.sql.execute(query).fetchall()
        return int(value or 0)

    def found(self, query: str) -> Iterator[tuple[Any, ...]]:
        """(pair, *other selected columns) of each row of a query.

        The query selects `{pair}` first, from a table named `pairs`.
        """
        columns = 'pairs.start, pairs.size'
        for start, size, *more in self.rows(query.replace('{pair}', columns)):
            yield _PAIR.decode(self.stored(start, size)), *more

    def runs(self, query: str) -> Iterator[tuple[np.ndarray, tuple[Any, ...]]]:
        """(its runs of words, other selected columns) of each row of a query.

        The query selects `{runs}` first, from a table named `pairs`.
        """
        columns = 'pairs.start + pairs.size, pairs.num_runs'
        for start, count, *more in self.rows(query.replace('{runs}', columns)):
            yield np.frombuffer(self.stored(start, 8 * count), np.uint64), tuple(more)

    def stored(self, start: int, size: int) -> bytes:
        """A part of the file of texts."""
        if start + size > self._flushed:
            self._texts.flush()
            self._flushed = self._end
        return os.pread(self._texts.fileno(), size, start)

    def pairs(self, split: str) -> Iterator[records.QaPair]:
        """The pairs of a split, as `described` gives them."""
        return (each.pair for each in self.described(split))

    def described(self, split: str) -> Iterator[Described]:
        """The pairs of a split: groups by the hash of their names, each in file order.

        Copies of a pair follow it; the second's id ends in '#2'.
        """
        query = (
            'SELECT start, size, measures, weight, coalesce(copies.copies, 1) '
            'FROM kept AS pairs '
            f"JOIN home ON home.grp = pairs.grp AND home.split = '{split}' "
            'LEFT JOIN copies ON copies.ordinal = pairs.ordinal '
            'ORDER BY home.place, pairs.file, pairs.line, pairs.id'
        )
        for start, size, made, weight, copies in self.rows(query):
            line, measures = self.stored(start, size), _MEASURES.decode(made)
            pair = _PAIR.decode(line)
            if pair.weight != weight:  # of a duplicate that was dropped
                pair = dataclasses.replace(pair, weight=weight)
                yield described(pair, measures)
            else:
                yield Described(pair, line + b'\n', measures)
            for number in range(2, copies + 1):
                copy = dataclasses.replace(pair, id=f'{pair.id}#{number}')
                yield described(copy, measures)

    def resolve(self) -> None:
        """Fills `resolved`: for each duplicate, the pair that was kept in the end."""
        self.sql.execute(
            'CREATE OR REPLACE TABLE resolved AS WITH RECURSIVE walk AS ('
            ' SELECT ordinal, kept FROM gone WHERE kept IS NOT NULL'
            ' UNION ALL SELECT walk.ordinal, gone.kept FROM walk '
            ' JOIN gone ON gone.ordinal = walk.kept WHERE gone.kept IS NOT NULL)'
            ' SELECT ordinal, kept FROM walk WHERE kept NOT IN '
            ' (SELECT ordinal FROM gone WHERE kept IS NOT NULL)'
        )

    def gone(self) -> Iterator[Gone]:
        """Every pair that was read and is not in the dataset, by reason and id.

        A duplicate of a duplicate names the pair that stayed or was dropped last.
        """
        self.resolve()
        query = (
            "SELECT id, reason, '', start, size, false FROM never UNION ALL "
            "SELECT one.id, gone.reason, coalesce(other.id, ''), one.start, one.size, "
            'true FROM gone '
            'JOIN pairs AS one USING (ordinal) '
            'LEFT JOIN resolved ON resolved.ordinal = gone.ordinal '
            'LEFT JOIN pairs AS other ON other.ordinal = resolved.kept '
            'ORDER BY 2, 1, 3'
        )
        for _, reason, kept_id, start, size, is_pair in self.rows(query):
            stored = self.stored(start, size)
            if is_pair:
                yield dropped(_PAIR.decode(stored), reason, kept_id)
            else:
                yield _GONE.decode(stored)


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
            f'({error}); about five times the size of the inputs is needed beside it.'
        ) from error
    except files.LockedError as error:
        raise errors.InputError(
            f'another program is making --output={output}; wait for it or give '
            'another --output.'
        ) from error
