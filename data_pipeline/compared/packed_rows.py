"""Rows of prepared pairs as bytes: a worker's result, and what the cache keeps of it.

Everything that the build writes of a pair is made here once, so a later build copies
bytes.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from data_pipeline.compared import compared_row, tf_example
from data_pipeline.pages import reddit
from hax_jax.data import records

SHORTENED = 1_000  # characters of a dropped pair's texts that are kept
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
    'question_words': pa.int32(),
    'answer_words': pa.int32(),
    'beginnings': pa.list_(pa.string()),
    'exchanges': pa.list_(pa.uint64()),
    'untidy': pa.int32(),
}
_SORTED = msgspec.json.Encoder(order='sorted')


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
    """N rows for a store, as a worker hands them over, or memoryviews of a mapped file.

    `runs` are all runs of words, uint64. `signatures` are [N, 2, num_perm] uint32, of
    question and answer, empty where near duplicates are off. `texts` are the pairs
    `as_written`. `columns` is a table in Arrow's stream format, with the columns of
    `pairs` but the places.
    """

    runs: bytes
    signatures: bytes
    texts: bytes
    columns: bytes


def line(pair: records.QaPair) -> bytes:
    """The bytes of a pair that the sha256 of its split covers."""
    row = records.as_row(pair)
    if {pair.weight, *pair.answer_weights} <= {0.0, 1.0}:  # others have several texts
        return _SORTED.encode(row) + b'\n'  # the same bytes, ten times as fast
    return records.canonical_json(row).encode() + b'\n'


def as_written(
    pairs: Sequence[records.QaPair],
) -> tuple[list[bytes], dict[str, pa.Array]]:
    """Each pair's line and behind it its record in a TFRecord file; their sizes."""
    lines = list(map(line, pairs))
    made = [tf_example.record(tf_example.serialized(pair)) for pair in pairs]
    sizes = {
        'size': pa.array(map(len, lines), pa.int64()),
        'record_size': pa.array(map(len, made), pa.int64()),
    }
    return list(map(bytes.__add__, lines, made)), sizes


def name_hash(name: str) -> int:
    """64 bits of a name's hash, by which pairs and groups are told apart and drawn."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def packed(rows: Sequence[compared_row.Row]) -> Packed:
    """The rows as `PairStore.add` takes them."""
    pairs = [row.pair for row in rows]
    texts, columns = as_written(pairs)
    measures = [row.measures for row in rows]
    lengths = [sum(len(each.answer) for each in pair.exchanges) for pair in pairs]
    columns |= {
        'num_runs': pa.array([len(row.runs) // 8 for row in rows], pa.int64()),
        'grp': pa.array([pair.group for pair in pairs], pa.string()),
        'id_hash': pa.array([name_hash(pair.id) for pair in pairs], pa.uint64()),
        'grp_hash': pa.array([name_hash(pair.group) for pair in pairs], pa.uint64()),
        'answer_length': pa.array(lengths, pa.int64()),
        'body_removed': pa.array(
            [reddit.BODY_REMOVED in pair.flags for pair in pairs], pa.bool_()
        ),
        'is_conversation': pa.array(
            [bool(pair.more or pair.answer_weights) for pair in pairs], pa.bool_()
        ),
        'plain_question_words': pa.array(
            [each.question_words for each in measures], pa.int32()
        ),
        'plain_answer_words': pa.array(
            [each.answer_words for each in measures], pa.int32()
        ),
        'neither': pa.array([each.neither for each in measures], pa.float64()),
        'repeated': pa.array([each.repeated for each in measures], pa.float64()),
        'title_words': pa.array(
            ['\n'.join(each.title_words) for each in measures], pa.string()
        ),
    }
    for given, kinds in ((pairs, _OF_PAIR), (rows, _OF_ROW)):
        for name, kind in kinds.items():
            columns[name] = pa.array([getattr(each, name) for each in given], kind)
    made = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    of_both = ((row.question_signature, row.answer_signature) for row in rows)
    return Packed(
        b''.join(row.runs for row in rows),
        b''.join(itertools.chain.from_iterable(of_both)),
        b''.join(texts),
        sink.getvalue().to_pybytes(),
    )
