"""The pairs of one build: their texts in a file, the columns to compare in a database.

    with pair_store.beside(output) as store:
        store.add(rows)                # in any number of calls, in order
        exact_duplicates.drop(store)   # SQL over `store.sql`
        for pair in store.pairs('train'): ...

A pair is known by its ordinal, as two pairs may have one id. DuckDB keeps within its
memory limit and spills to `folder`; no other code here holds more than a batch, or a
few numbers a pair. Texts, runs of words and signatures stay outside of DuckDB, which
can't sort rows of many times its limit.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from data_pipeline.all_pairs import appended_file
from data_pipeline.compared import described_pairs, packed_rows, tf_example
from hax_jax import errors, files
from hax_jax.data import records

MEMORY_MB = 384  # of DuckDB
_BATCH = 2_000  # pairs
_AT_ONCE = 8_000  # pairs, some 15 MB
# The best of several pairs first; no tie is left.
RANK = 'score DESC, answer_length DESC, id, file, line, ordinal'
TIDY_RANK = f'untidy, {RANK}'  # of copies of one text
# The answers of one thread have one; pairs of a chat have different questions.
STORY = 'grp, question_words'
# `start` and `size` are the bytes of the pair's line in the file of texts, behind which
# its record of `record_size` stands; `first_run` and `num_runs` its runs of words in
# theirs, `signed` its place in the file of signatures; `grp` is its group.
# Every pair is in `never` (dropped before it came here), in `gone`, or in the dataset.
_TABLES = """
CREATE TABLE pairs (
    ordinal BIGINT, start BIGINT, size BIGINT, record_size BIGINT, first_run BIGINT,
    num_runs BIGINT, signed BIGINT, id VARCHAR, grp VARCHAR, id_hash UBIGINT,
    grp_hash UBIGINT, source VARCHAR, file VARCHAR, line BIGINT, score BIGINT,
    weight DOUBLE, topic VARCHAR, answer_length BIGINT, body_removed BOOLEAN,
    is_conversation BOOLEAN, links VARCHAR[], title VARCHAR, is_update BOOLEAN,
    text VARCHAR, opening VARCHAR, question_words INTEGER,
    answer_words INTEGER, beginnings VARCHAR[], exchanges UBIGINT[], untidy INTEGER,
    plain_question_words INTEGER, plain_answer_words INTEGER, neither DOUBLE,
    repeated DOUBLE, title_words VARCHAR);
CREATE TABLE never (id VARCHAR, reason VARCHAR, start BIGINT, size BIGINT);
CREATE TABLE gone (ordinal BIGINT, reason VARCHAR, kept BIGINT);
CREATE VIEW kept AS SELECT * FROM pairs ANTI JOIN gone USING (ordinal);
CREATE TABLE near (one BIGINT, other BIGINT, question BOOLEAN, answer BOOLEAN);
CREATE TABLE home (grp VARCHAR, component VARCHAR, split VARCHAR, place BIGINT);
CREATE TABLE copies (ordinal BIGINT, copies BIGINT);
"""
_PAIR = msgspec.json.Decoder(records.QaPair)
_GONE = msgspec.json.Decoder(packed_rows.Gone)


class PairStore:
    """A context manager; its caller deletes `folder`, None for a store in memory."""

    def __init__(
        self, folder: pathlib.Path | None = None, *, memory_mb: int = MEMORY_MB
    ) -> None:
        self.folder = folder
        self.count = 0
        self._texts = appended_file.AppendedFile(folder)
        self._runs = appended_file.AppendedFile(folder)
        self._signatures = appended_file.AppendedFile(folder)
        self._num_signed = 0
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
        for file in (self._texts, self._runs, self._signatures):
            file.close()

    @property
    def sql(self) -> duckdb.DuckDBPyConnection:
        """The database, with all rows that were added."""
        if self._waiting:
            waiting, self._waiting = pa.concat_tables(self._waiting), []
            self.insert('pairs', waiting)
        return self._sql

    def replace(self, ordinals: Sequence[int], packed: packed_rows.Packed) -> None:
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

    def add(
        self, packed: packed_rows.Packed, *, ordinals: Sequence[int] | None = None
    ) -> None:
        """Adds the next rows; with `ordinals`, new forms of rows that were deleted."""
        made = pa.ipc.open_stream(packed.columns).read_all()
        columns = dict(zip(made.column_names, made.columns, strict=True))
        count = made.num_rows
        sizes = columns['size'].to_numpy() + columns['record_size'].to_numpy()
        columns['start'] = self._texts.append(packed.texts) + _starts(sizes)
        first = self._runs.append(packed.runs) // 8
        columns['first_run'] = first + _starts(columns['num_runs'].to_numpy())
        self._signatures.append(packed.signatures)
        columns['signed'] = np.arange(self._num_signed, self._num_signed + count)
        self._num_signed += count
        if ordinals is None:
            ordinals = np.arange(self.count, self.count + count)
            self.count += count
        columns['ordinal'] = np.asarray(ordinals)
        names = self._schema.names
        # A table at a time would take DuckDB ten times as long.
        self._waiting.append(pa.table([columns[name] for name in names], names))
        if sum(map(len, self._waiting)) >= _AT_ONCE:
            self.sql  # noqa: B018

    def leave_out(self, gone: Sequence[packed_rows.Gone]) -> None:
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
        size = np.array(list(map(len, texts)), np.int64)
        return {
            'start': self._texts.append(b''.join(texts)) + _starts(size),
            'size': size,
        }

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

    def arrays(self, query: str) -> list[np.ndarray]:
        """The columns of a query whose values are numbers, whole."""
        with self.sql.cursor() as cursor:
            table = cursor.sql(query).to_arrow_table()
        return [column.to_numpy() for column in table.columns]

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

    def runs(self, first: np.ndarray, count: np.ndarray) -> np.ndarray:
        """[sum of `count`] uint64: the runs of words of pairs, by `first_run`."""
        return self._runs.ranges(first, count)

    def signatures(self, signed: np.ndarray, num_perm: int) -> np.ndarray:
        """[N, 2, num_perm] uint32: signatures of questions and answers, by `signed`."""
        wanted, places = np.unique(signed, return_inverse=True)
        # As eight bytes, of which `num_perm` make the two of a pair.
        count = np.full(len(wanted), num_perm)
        words = self._signatures.ranges(wanted * num_perm, count)
        return words.view(np.uint32).reshape(-1, 2, num_perm)[places]

    def stored(self, start: int, size: int) -> bytes:
        """A part of the file of texts."""
        return self._texts.read(start, size)

    def reweigh(self, ordinals: Sequence[int], pairs: Sequence[records.QaPair]) -> None:
        """Puts pairs that differ in `weight` alone in the place of others."""
        weights = pa.array([pair.weight for pair in pairs], pa.float64())
        self._rewrite(ordinals, pairs, {'weight': weights})

    def rename(self, ordinals: Sequence[int], pairs: Sequence[records.QaPair]) -> None:
        """Puts pairs that differ in `id` and `group` alone in the place of others."""
        columns: dict[str, pa.Array] = {}
        for name, hashes, values in (
            ('id', 'id_hash', [pair.id for pair in pairs]),
            ('grp', 'grp_hash', [pair.group for pair in pairs]),
        ):
            columns[name] = pa.array(values, pa.string())
            made = list(map(packed_rows.name_hash, values))
            columns[hashes] = pa.array(made, pa.uint64())
        self._rewrite(ordinals, pairs, columns)

    def _rewrite(
        self,
        ordinals: Sequence[int],
        pairs: Sequence[records.QaPair],
        changed: dict[str, pa.Array],
    ) -> None:
        """Puts pairs in the place of others; `changed` are the columns that differ."""
        texts, sizes = packed_rows.as_written(pairs)
        made = {'start': self.append(texts)['start'], **sizes, **changed}
        columns = ', '.join(f'{name} = incoming.{name}' for name in made)
        made['ordinal'] = pa.array(ordinals, pa.int64())
        self.sql.register('incoming', pa.table(made))
        self.sql.execute(
            f'UPDATE pairs SET {columns} FROM incoming '
            'WHERE incoming.ordinal = pairs.ordinal'
        )
        self.sql.unregister('incoming')

    def pairs(self, split: str) -> Iterator[records.QaPair]:
        """The pairs of a split, as `described` gives them."""
        return (pair for some in self.described(split) for pair in some.pairs())

    def described(self, split: str) -> Iterator[described_pairs.Described]:
        """The pairs of a split: groups by the hash of their names, each in file order.

        Copies of a pair follow it; the second's id ends in '#2'.
        """
        query = (
            'SELECT start, size, record_size, id, id_hash, grp_hash, source, topic, '
            'plain_question_words, plain_answer_words, neither, repeated, title_words, '
            'is_conversation, coalesce(copies.copies, 1) AS copies FROM kept AS pairs '
            f"JOIN home ON home.grp = pairs.grp AND home.split = '{split}' "
            'LEFT JOIN copies ON copies.ordinal = pairs.ordinal '
            'ORDER BY home.place, pairs.file, pairs.line, pairs.id'
        )
        for batch in self.batches(query):
            yield self._described(batch)

    def _described(self, batch: pa.RecordBatch) -> described_pairs.Described:
        """The rows of the query above, and the copies of pairs."""
        copies = batch['copies'].to_numpy()
        copied = bool((copies > 1).any())
        if copied:
            batch = batch.take(np.repeat(np.arange(len(copies)), copies))
        found = batch.to_pydict()
        lines, made = [], []
        places = (found[name] for name in ('start', 'size', 'record_size'))
        for start, size, record_size in zip(*places, strict=True):
            stored = self._texts.read(start, size + record_size)
            lines.append(stored[:size])
            made.append(stored[size:])
        if copied:
            ends = np.cumsum(copies)
            numbers = np.arange(ends[-1]) - np.repeat(ends - copies, copies)
            for place in np.flatnonzero(numbers).tolist():
                pair = _PAIR.decode(lines[place])
                pair = dataclasses.replace(pair, id=f'{pair.id}#{numbers[place] + 1}')
                found['id'][place] = pair.id
                found['id_hash'][place] = packed_rows.name_hash(pair.id)
                lines[place] = packed_rows.line(pair)
                made[place] = tf_example.record(tf_example.serialized(pair))
        return described_pairs.Described(
            lines=lines,
            records=made,
            ids=found['id'],
            id_hashes=found['id_hash'],
            group_hashes=found['grp_hash'],
            sources=found['source'],
            topics=found['topic'],
            plain_words=(found['plain_question_words'], found['plain_answer_words']),
            neither=found['neither'],
            repeated=found['repeated'],
            title_words=found['title_words'],
            conversations=[i for i, it in enumerate(found['is_conversation']) if it],
        )

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

    def gone(self) -> Iterator[packed_rows.Gone]:
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
                yield packed_rows.dropped(_PAIR.decode(stored), reason, kept_id)
            else:
                yield _GONE.decode(stored)


def _starts(sizes: np.ndarray) -> np.ndarray:
    """Where each of things that follow one another begins."""
    return np.cumsum(sizes) - sizes


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
