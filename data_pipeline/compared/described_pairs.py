"""Pairs as they go into the dataset, some thousands at a time, with what is known."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import msgspec

from data_pipeline.compared import compared_row, packed_rows, tf_example
from hax_jax.data import records

_AT_ONCE = 1_000  # pairs
_PAIR = msgspec.json.Decoder(records.QaPair)


@dataclasses.dataclass(frozen=True)
class Described:
    """N pairs in the dataset's order; every field but `conversations` has N values.

    `lines` are their canonical JSON with newlines, `records` their records in a file of
    TFRecords. The hashes are `packed_rows.name_hash` of id and group. `plain_words` are
    the words of the questions, and of the answers; they, `neither`, `repeated` and
    `title_words` (joined by newlines) are those of `compared_row.Measures`.
    `conversations` are the places of pairs with features of conversations.
    """

    lines: list[bytes]
    records: list[bytes]
    ids: list[str]
    id_hashes: list[int]
    group_hashes: list[int]
    sources: list[str]
    topics: list[str]
    plain_words: tuple[list[int], list[int]]
    neither: list[float]
    repeated: list[float]
    title_words: list[str]
    conversations: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def pair(self, place: int) -> records.QaPair:
        """One of the pairs, read from its line."""
        return _PAIR.decode(self.lines[place])

    def pairs(self) -> Iterator[records.QaPair]:
        return map(_PAIR.decode, self.lines)


def of(pairs: Iterable[records.QaPair]) -> Iterator[Described]:
    """Pairs of any source, described."""
    pairs = iter(pairs)
    while some := list(itertools.islice(pairs, _AT_ONCE)):
        measured = list(map(compared_row.measured, some))
        yield Described(
            lines=list(map(packed_rows.line, some)),
            records=[tf_example.record(tf_example.serialized(pair)) for pair in some],
            ids=[pair.id for pair in some],
            id_hashes=[packed_rows.name_hash(pair.id) for pair in some],
            group_hashes=[packed_rows.name_hash(pair.group) for pair in some],
            sources=[pair.source for pair in some],
            topics=[pair.topic for pair in some],
            plain_words=(
                [each.question_words for each in measured],
                [each.answer_words for each in measured],
            ),
            neither=[each.neither for each in measured],
            repeated=[each.repeated for each in measured],
            title_words=['\n'.join(each.title_words) for each in measured],
            conversations=[
                place
                for place, pair in enumerate(some)
                if pair.more or pair.answer_weights
            ],
        )
