"""Pairs of one id that are not one pair: a file's own numbers may begin again.

    {"id": 7, "question": "Why?", "answer": "So."}      'pairs:a:7'
    {"id": 7, "question": "When?", "answer": "Now."}    'pairs:a:7~2'

A post that was saved again has most words of its question, or of a longer answer, in
common with the first.
"""

import dataclasses

from data_pipeline.all_pairs import pair_store
from data_pipeline.pair_stages import folding, stage_ledger, stages
from hax_jax.data import records

_STAGE = 'equal ids'
_ALIKE = 0.5  # of the words of two texts
_TELLING = 8  # words of an answer: 'Yes.' may answer any question
_Words = tuple[set[str], set[str]]  # of a pair's question and answer
_MANY = 100  # different texts of one id
_BATCH = 1_000  # pairs
_SHARED = (
    'SELECT {pair}, ordinal, body_removed FROM kept AS pairs WHERE id IN '
    '(SELECT id FROM kept GROUP BY id HAVING count(DISTINCT text) > 1) '
    'ORDER BY id, file, line, ordinal'
)


def tell_apart(store: pair_store.PairStore, ledger: stage_ledger.Ledger) -> None:
    """Numbers the ids of pairs whose question and answer are both others'."""
    taken = {name for (name,) in store.rows("SELECT id FROM pairs WHERE id LIKE '%~%'")}
    forms: list[tuple[_Words, str]] = []  # of the id at hand, each with its own name
    count = store.number('SELECT count(*) FROM kept')
    last, number, ordinals, pairs = '', 1, [], []
    for pair, ordinal, is_part in store.found(_SHARED):
        if pair.id != last:
            forms, last, number = [], pair.id, 1
        if is_part:
            continue
        words = _words(pair)
        # An id of very many texts is a class, not a pair's.
        known = forms if len(forms) < _MANY else []
        name = next((name for each, name in known if _are_alike(words, each)), '')
        if not name and not forms:
            name = pair.id
        while not name:
            number += 1
            made = f'{pair.id}~{number}'
            name = '' if made in taken else made
        forms.append((words, name))
        if name == pair.id:
            continue
        change = stages.Change('an id of other texts too', 'id', pair.id, name)
        ledger.record(_STAGE, pair, stages.Kept(pair, (change,)))
        ordinals.append(ordinal)
        group = name if pair.group == pair.id else pair.group
        pairs.append(dataclasses.replace(pair, id=name, group=group))
    if pairs:
        ledger.passed(_STAGE, count - len(pairs))
        for start in range(0, len(pairs), _BATCH):
            part = slice(start, start + _BATCH)
            store.rename(ordinals[part], pairs[part])


def _words(pair: records.QaPair) -> _Words:
    whole = pair.as_one()
    texts = (whole.question, whole.answer)
    question, answer = (set(folding.folded(text).split()) for text in texts)
    return question, answer


def _are_alike(one: _Words, other: _Words) -> bool:
    """Whether a pair is a later form of another."""
    shares = [len(a & b) / max(1, len(a | b)) for a, b in zip(one, other, strict=True)]
    if min(len(one[1]), len(other[1])) < _TELLING:
        shares.pop()
    return max(shares) >= _ALIKE
