"""Standing passages: a signature or a helpline that many answers share.

They say nothing about a pair, so they neither join two stories nor count as text that a
split shares with train. A passage is standing if enough different questions' pairs hold
it: the answers of one thread share their question, and count once.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Iterator

import pyarrow as pa

from data_pipeline import settings
from data_pipeline.all_pairs import overlap, pair_store
from data_pipeline.compared import compared_row, packed_rows
from data_pipeline.pair_stages import folding, stage_ledger, stages, word_runs
from hax_jax.data import records

STAGE = 'standing lines'
_LEAST_WORDS = 4  # of a line that is cut; 'Dear reader:' stays
_BATCH = 1_000  # pairs


def least(store: pair_store.PairStore, chosen: settings.SplitSettings) -> int:
    """The fewest pairs that make a passage standing; more than there are where off."""
    total = store.number('SELECT count(*) FROM kept')
    if chosen.standing_share == 1:
        return total + 1
    return max(overlap.FEWEST_STANDING, math.ceil(chosen.standing_share * total))


def cut(
    store: pair_store.PairStore, chosen: settings.Settings, ledger: stage_ledger.Ledger
) -> set[int]:
    """Cuts the standing lines off the answers, and counts the pairs that change.

    An answer of nothing else stays, with a note. Returns the hashes of the lines.
    """
    lines = _standing_lines(store, least(store, chosen.split))
    query = 'SELECT {pair}, ordinal FROM kept AS pairs ORDER BY ordinal'
    ordinals: list[int] = []
    rows: list[compared_row.Row] = []
    known = store.number('SELECT count(*) FROM kept')
    for pair, ordinal in store.found(query) if lines else ():
        outcome = _without(pair, lines)
        if outcome is None:
            continue
        known -= 1
        ledger.record(STAGE, pair, outcome)
        if outcome.changes:
            ordinals.append(ordinal)
            rows.append(compared_row.make(pair, outcome.pair, chosen.duplicates))
        if len(rows) == _BATCH:
            store.replace(ordinals, packed_rows.packed(rows))
            ordinals, rows = [], []
    if rows:
        store.replace(ordinals, packed_rows.packed(rows))
    ledger.passed(STAGE, known)
    return lines


def _standing_lines(store: pair_store.PairStore, fewest: int) -> set[int]:
    """The hashes of the lines that `fewest` pairs of different questions hold."""
    store.sql.execute('CREATE TABLE lines (line UBIGINT, story UBIGINT)')
    held: list[tuple[int, int]] = []

    def insert() -> None:
        line, story = (pa.array(each, pa.uint64()) for each in zip(*held, strict=True))
        store.insert('lines', pa.table({'line': line, 'story': story}))
        held.clear()

    for (pair,) in store.found('SELECT {pair} FROM kept AS pairs'):
        story = word_runs.hash64(f'{pair.group}\n{pair.question}')
        answers = pair.as_one().answer
        found = {number for _, number in _lines(answers) if number}
        held += [(number, story) for number in sorted(found)]
        if len(held) > 100 * _BATCH:
            insert()
    if held:
        insert()
    standing = store.rows(
        'SELECT line FROM lines GROUP BY line HAVING count(*) >= '
        f'{fewest} AND count(DISTINCT story) >= {fewest}'
    )
    found = {line for (line,) in standing}
    store.sql.execute('DROP TABLE lines')
    return found


def _lines(answer: str) -> Iterator[tuple[str, int]]:
    """Each line with the hash of its folded text; 0 for a line of too few words."""
    for line in answer.split('\n'):
        folded = folding.folded(line)
        is_long = folded.count(' ') >= _LEAST_WORDS - 1
        yield line, word_runs.hash64(folded) if is_long else 0


def without(answer: str, lines: Collection[int]) -> str:
    """The answer without the lines of these hashes; whole if it has no others."""
    left = [line for line, number in _lines(answer) if number not in lines]
    return re.sub(r'\n{3,}', '\n\n', '\n'.join(left)).strip() or answer


def _without(pair: records.QaPair, lines: set[int]) -> stages.Kept | None:
    """The pair without the lines in its answers; None if it has none of them."""
    changes, notes, turns = [], [], []
    for turn in pair.exchanges:
        all_lines = list(_lines(turn.answer))
        times = sum(number in lines for _, number in all_lines)
        answer = without(turn.answer, lines) if times else turn.answer
        if times and answer == turn.answer:
            note = 'answer of standing lines alone, kept'
            notes.append(stages.Note(note, turn.answer))
        elif times:
            change = 'standing line cut', 'answer', turn.answer, answer, times
            changes.append(stages.Change(*change))
            turn = dataclasses.replace(turn, answer=answer)
        turns.append(turn)
    if not changes and not notes:
        return None
    return stages.Kept(pair.with_exchanges(turns), tuple(changes), tuple(notes))
