"""Which answers are preferred to which, by the votes for them or by their row's word.

The rule is SHP's: the better answer came later, though it was seen less, and has at
least twice the votes of the worse one, whose votes count as 1 if they are fewer.

    votes 9 at noon, 4 at ten    preferred: 9 >= 2 * 4
    votes 7 at noon, 4 at ten    not: 7 < 8
    votes 9 at ten, 4 at noon    not: the better one came first
    votes 2 at noon, -5 at ten   preferred: 2 >= 2 * 1

Where a row names the better answer, or ranks or rates its answers, its word counts.

Source: Ethayarajh et al., Understanding Dataset Difficulty with V-Usable Information
(ICML 2022), and the card of the dataset stanfordnlp/SHP.
"""

import dataclasses
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from data_pipeline import settings
from data_pipeline.all_pairs import pair_store, standing
from data_pipeline.pair_stages import word_runs
from data_pipeline.preferences import sides
from data_pipeline.rows import batches
from hax_jax.config import convert
from hax_jax.data import records

_LEAST_WORDS = 8  # of a later question of a conversation that a split keeps to itself
_BATCH = 10_000
# `part` is the row of an input or a prompt's hash, `asked` the hashes of the prompt's
# questions; the bytes at `start` of the store's file of texts are the JSON of prompt
# and answer.
_TABLES = """
CREATE TABLE sides (
    ordinal BIGINT, part BIGINT, id VARCHAR, grp VARCHAR, source VARCHAR,
    prompt UBIGINT, answer UBIGINT, score DOUBLE, time DOUBLE, is_chosen BOOLEAN,
    is_chat BOOLEAN, reason VARCHAR, asked UBIGINT[], start BIGINT, size BIGINT);
CREATE TABLE asked_in (question UBIGINT, split VARCHAR);
"""
_KINDS = {
    'id': pa.string(),
    'group': pa.string(),
    'source': pa.string(),
    'prompt_hash': pa.uint64(),
    'answer_hash': pa.uint64(),
    'score': pa.float64(),
    'time': pa.float64(),
    'is_chosen': pa.bool_(),
    'is_chat': pa.bool_(),
    'reason': pa.string(),
}
# The groups of pairs that are in no split share that of the copies that stayed.
_PLACED = (
    'CREATE TABLE placed AS SELECT grp, split, place FROM home UNION ALL '
    'SELECT joined.grp, split, place FROM joined JOIN (SELECT DISTINCT component, '
    'split, place FROM home) USING (component) '
    'WHERE joined.grp NOT IN (SELECT grp FROM home)'
)


@dataclasses.dataclass(frozen=True)
class Preference:
    """A prompt (question, or question, answer, …, question), and its two answers."""

    prompt: tuple[str, ...]
    chosen: str
    rejected: str
    score_chosen: float | None
    score_rejected: float | None
    source: str
    group: str
    id_chosen: str
    id_rejected: str


class Preferences:
    """The sides of one build, in its store, and the preferences among them."""

    def __init__(self, store: pair_store.PairStore) -> None:
        self._store = store
        self._count = self._parts = 0
        store.sql.execute(_TABLES)

    def add(self, found: Sequence[sides.Side]) -> None:
        """Adds the sides of the next batch."""
        if not found:
            return
        columns: dict[str, Any] = {
            name: pa.array([getattr(each, name) for each in found], kind)
            for name, kind in _KINDS.items()
        }
        number = range(self._count, self._count + len(found))
        parts = [self._part(each) for each in found]
        asked = [_questions(each.prompt) for each in found]
        texts = [
            records.canonical_json([*each.prompt, each.answer]).encode()
            for each in found
        ]
        table = {
            'ordinal': pa.array(number, pa.int64()),
            'part': pa.array(parts, pa.int64()),
            **columns,
            'asked': pa.array(asked, pa.list_(pa.uint64())),
            **self._store.append(texts),
        }
        self._store.insert('sides', pa.table(table))
        self._count += len(found)
        self._parts = max(self._parts, max(parts) + 1)

    def _part(self, side: sides.Side) -> int:
        """The number of the answers that a side is compared with; below 0 by prompt."""
        if side.row == batches.ALONE:
            return -1 - (side.prompt_hash >> 1)
        return self._parts + side.row

    def choose(
        self, chosen: settings.PreferenceSettings, *, standing_lines: Collection[int]
    ) -> dict[str, Any]:
        """Finds the preferences, after the pairs were split; returns their account.

        `standing_lines` are those that were cut from the pairs' answers. A preference
        is in the split of its question's pairs, which have the questions of a split for
        themselves: one that stands in another split too has no preference.
        """
        self._cut(standing_lines)
        self._ask()
        store = self._store
        store.sql.execute(_PLACED)
        store.sql.execute(f'CREATE TABLE preferred AS {_rule(chosen)}')
        live = "(FROM preferred WHERE reason = '')"
        self._drop(
            'its question has no pair in the dataset',
            'SELECT number FROM preferred ANTI JOIN placed USING (grp)',
        )
        self._drop(
            'its question stands in another split too',
            'WITH mine AS (SELECT number, split, unnest(sides.asked) AS question FROM '
            f'{live} AS p JOIN placed USING (grp) JOIN sides ON ordinal = better), '
            'shared AS (SELECT question FROM (FROM asked_in UNION ALL SELECT question, '
            'split FROM mine) GROUP BY question HAVING count(DISTINCT split) > 1) '
            'SELECT number FROM mine SEMI JOIN shared USING (question)',
        )
        self._drop(
            'preferred one way and the other',
            f'SELECT a.number FROM {live} AS a JOIN {live} AS b ON a.prompt = b.prompt '
            'AND a.chosen = b.rejected AND a.rejected = b.chosen',
        )
        self._drop(
            'same preference',
            f'SELECT number FROM {live} AS p WHERE number NOT IN (SELECT min(number) '
            f'FROM {live} AS q GROUP BY prompt, chosen, rejected)',
        )
        if most := chosen.most_per_question:
            self._drop(
                f'over {most:,} of one question',
                f'SELECT number FROM {live} AS p QUALIFY row_number() OVER (PARTITION '
                f'BY prompt ORDER BY ratio DESC NULLS FIRST, number) > {most}',
            )
        return self._account(chosen)

    def of(self, split: str) -> Iterator[Preference]:
        """The preferences of a split, in the order of its pairs' groups."""
        query = (
            'SELECT a.start, a.size, b.start, b.size, a.score, b.score, a.source, '
            'a.grp, a.id, b.id FROM preferred JOIN sides AS a ON a.ordinal = better '
            'JOIN sides AS b ON b.ordinal = worse JOIN placed ON placed.grp = a.grp '
            f"WHERE preferred.reason = '' AND split = '{split}' "
            'ORDER BY place, better, worse'
        )
        for start, size, other_start, other_size, *facts in self._store.rows(query):
            *prompt, better = json.loads(self._store.stored(start, size))
            *_, worse = json.loads(self._store.stored(other_start, other_size))
            yield Preference(tuple(prompt), better, worse, *facts)

    def _drop(self, reason: str, numbers: str) -> None:
        """Gives the reason to the preferences of a query that have none yet."""
        self._store.sql.execute(
            f"UPDATE preferred SET reason = '{reason}' WHERE reason = '' "
            f'AND number IN ({numbers})'
        )

    def _cut(self, lines: Collection[int]) -> None:
        """Cuts standing lines from the sides as from the pairs."""
        store = self._store
        query = "SELECT ordinal, start, size FROM sides WHERE reason = ''"
        for ordinal, start, size in list(store.rows(query)) if lines else ():
            *prompt, answer = json.loads(store.stored(start, size))
            left = standing.without(answer, lines)
            if left == answer:
                continue
            made = sides.hashes(prompt, left)
            where = store.append([records.canonical_json([*prompt, left]).encode()])
            store.sql.execute(
                'UPDATE sides SET answer = ?, start = ?, size = ? WHERE ordinal = ?',
                [made['answer_hash'], int(where['start'][0]), int(where['size'][0]),
                 ordinal],
            )  # fmt: skip

    def _ask(self) -> None:
        """Notes in which split each question of the dataset stands."""
        held: list[tuple[int, str]] = []
        query = 'SELECT {pair}, split FROM kept AS pairs JOIN home USING (grp)'
        for pair, split in self._store.found(query):
            turns = (pair.question, pair.answer, *pair.more)
            held += [(question, split) for question in _questions(turns[:-1])]
            if len(held) > _BATCH:
                self._insert_asked(held)
        self._insert_asked(held)

    def _insert_asked(self, held: list[tuple[int, str]]) -> None:
        questions = pa.array([question for question, _ in held], pa.uint64())
        splits = pa.array([split for _, split in held], pa.string())
        table = pa.table({'question': questions, 'split': splits})
        self._store.insert('asked_in', table)
        held.clear()

    def _account(self, chosen: settings.PreferenceSettings) -> dict[str, Any]:
        """The counts, in JSON's types.

        Raises:
          ValueError: they do not add up, which is a defect of this program.
        """
        store = self._store
        kept: dict[str, dict[str, Any]] = {
            name: {'pairs': 0, 'questions': 0, 'by_source': {}}
            for name in records.SPLITS
        }
        query = (
            'SELECT split, source, count(*), count(DISTINCT preferred.prompt) FROM '
            'preferred JOIN sides ON ordinal = better JOIN placed ON placed.grp = '
            "sides.grp WHERE preferred.reason = '' GROUP BY ALL ORDER BY ALL"
        )
        for split, source, pairs, questions in store.rows(query):
            kept[split]['pairs'] += pairs
            kept[split]['questions'] += questions
            kept[split]['by_source'][source] = pairs
        dropped = dict(
            store.rows(
                "SELECT reason, count(*) FROM preferred WHERE reason != '' "
                'GROUP BY reason ORDER BY reason'
            )
        )
        found = store.number('SELECT count(*) FROM preferred')
        if found != sum(dropped.values()) + sum(row['pairs'] for row in kept.values()):
            raise ValueError(f'{found} preferences are not {dropped} and {kept}.')
        by_votes = "FROM sides WHERE is_chosen IS NULL AND reason = ''"
        return {
            'answers': self._count,
            # Of answers that were dropped, each row is a question.
            'questions': store.number(
                "SELECT count(DISTINCT prompt) FROM sides WHERE reason = ''"
            )
            + store.number(
                'SELECT count(*) FROM (SELECT part FROM sides GROUP BY part HAVING '
                "bool_and(reason != ''))"
            ),
            'judged': store.number(
                'SELECT count(*) FROM sides WHERE is_chosen IS NOT NULL'
            ),
            'without_votes': store.number(
                f'SELECT count(*) {by_votes} AND score IS NULL'
            ),
            'without_time': store.number(
                f'SELECT count(*) {by_votes} AND score IS NOT NULL AND time IS NULL '
                'AND part IN (SELECT part FROM sides GROUP BY part HAVING count(*) > 1)'
            ),
            'found': found,
            # Two answers to one question each, of which none is preferred.
            'undecided': {} if found else dict(store.rows(_undecided(chosen))),
            'dropped': dropped,
            'kept': kept,
            'conversations': store.number(
                'SELECT count(*) FROM preferred JOIN sides ON ordinal = better WHERE '
                "is_chat AND preferred.reason = ''"
            ),
            'settings': convert.to_dict(chosen),
        }


def _rule(chosen: settings.PreferenceSettings) -> str:
    """The query for all preferences, each with the reason that one of its sides has."""
    votes = (
        'a.is_chosen IS NULL AND b.is_chosen IS NULL AND a.score > b.score AND '
        f'a.score >= {chosen.ratio!r} * greatest(b.score, 1)'
    )
    if chosen.later:
        votes += ' AND a.time > b.time'
    return (
        'SELECT row_number() OVER (ORDER BY a.ordinal, b.ordinal) AS number, '
        'a.ordinal AS better, b.ordinal AS worse, a.grp, a.prompt, a.answer AS chosen, '
        'b.answer AS rejected, '
        'CASE WHEN a.is_chosen IS NULL THEN a.score / greatest(b.score, 1) END AS '
        "ratio, CASE WHEN a.reason != '' THEN 'better answer: ' || a.reason "
        "WHEN b.reason != '' THEN 'worse answer: ' || b.reason "
        "WHEN a.prompt != b.prompt THEN 'its answers are of different questions' "
        "WHEN a.answer = b.answer THEN 'both answers are equal' ELSE '' END AS reason "
        'FROM sides AS a JOIN sides AS b USING (part) '
        f'WHERE (a.is_chosen AND NOT b.is_chosen) OR ({votes})'
    )


def _undecided(chosen: settings.PreferenceSettings) -> str:
    """The query for (the part of the rule that decides nothing, pairs of answers)."""
    return (
        "SELECT CASE WHEN a.answer = b.answer THEN 'equal' "
        "WHEN a.is_chosen IS NOT NULL THEN 'judged' "
        "WHEN a.score IS NULL OR b.score IS NULL THEN 'votes' "
        'WHEN a.score = b.score OR greatest(a.score, b.score) < '
        f"{chosen.ratio!r} * greatest(least(a.score, b.score), 1) THEN 'ratio' "
        "WHEN a.time IS NULL OR b.time IS NULL THEN 'time' ELSE 'later' END AS why, "
        'count(*) FROM sides AS a JOIN sides AS b USING (part, prompt) '
        "WHERE a.ordinal < b.ordinal AND a.reason = '' AND b.reason = '' "
        'GROUP BY why ORDER BY why'
    )


def _questions(prompt: Sequence[str]) -> list[int]:
    """The hashes of a prompt's first question and of each later one of eight words."""
    return [
        word_runs.hash64(text)
        for i, text in enumerate(prompt[::2])
        if not i or len(text.split()) >= _LEAST_WORDS
    ]
