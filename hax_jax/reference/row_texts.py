"""Packed rows, decoded, against the texts of the pairs that they were made from.

The texts are put together here from the template's words, and never encoded, so a fault
of tokenizing or packing cannot stand on both sides.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hax_jax.data import records, text

_MARK = '\x00'  # stands for EOS
# What rows may do with a pair beside keeping it: all of them are in the ledger.
_CHANGED = tuple(
    f'{name}_ids' for name in ('shortened', 'split', 'forgotten', 'cut_off', 'dropped')
)
_SPACE_MARK = '\u2581'  # some tokenizers read it as '_', and say so


def compare(
    cache: records.PackedCache,
    tokenizer: text.Tokenizer,
    pairs: Iterable[records.QaPair],
    split: str,
) -> dict[str, Any]:
    """How many of some pairs lie in the rows as they are, and how the others differ.

    `rows_as_pairs` is the share, `rows_compared` the number, `row_differences` the
    kinds of differences with their counts, and `row_difference` an example of texts.
    """
    ledger = cache.meta.get('ledger', {}).get(split, {})
    changed = {each for name in _CHANGED for each in ledger.get(name, ())}
    inputs, targets = (cache.features(split)[n] for n in ('inputs', 'targets'))
    found: dict[str, list[records.Segment]] = collections.defaultdict(list)
    for each in cache.segments(split):
        found[each.id].append(each)
    kinds: collections.Counter[str] = collections.Counter()
    example = ''
    answers: set[str] = set()
    chosen = [pair for pair in pairs if pair.id not in changed]
    for pair in chosen:
        answers.update(each.answer for each in pair.exchanges)
    count = 0
    for pair in chosen:
        if pair.id not in found:
            count += 1
            kinds['not in the rows'] += 1
            continue
        for each in found[pair.id]:
            ids = inputs[each.row, each.start : each.end]
            wanted = targets[each.row, each.start : each.end]
            said = _decoded(tokenizer, ids.tolist())
            learned = _decoded(tokenizer, [*ids[:1].tolist(), *wanted.tolist()])
            kind = _kind(pair, said, learned, answers)
            count += 1
            if kind:
                kinds[kind] += 1
                example = example or _example(_whole(pair), learned)
    return {
        'rows_compared': count,
        'rows_as_pairs': 1 - kinds.total() / max(count, 1),
        'row_differences': dict(kinds.most_common()),
        'row_difference': example,
    }


def decoded(tokenizer: text.Tokenizer, ids: np.ndarray | Sequence[int]) -> str:
    """The text of ids; one that the tokenizer does not have is the sign U+FFFD."""
    parts: list[list[int]] = [[]]
    for i in map(int, ids):
        if 0 <= i < tokenizer.vocab_size:
            parts[-1].append(i)
        else:
            parts.append([])
    return '\ufffd'.join(tokenizer.decode(part) if part else '' for part in parts)


def _whole(pair: records.QaPair) -> str:
    return ''.join(
        f'{text.HEAD}{each.question}{text.TAIL}{each.answer}{_MARK}'
        for each in pair.exchanges
    ).replace(_SPACE_MARK, '_')


def _decoded(tokenizer: text.Tokenizer, ids: list[int]) -> str:
    """The text of ids with a mark for each EOS."""
    parts: list[list[int]] = [[]]
    for i in ids:
        if i == tokenizer.eos_id:
            parts.append([])
        else:
            parts[-1].append(i)
    whole = _MARK.join(decoded(tokenizer, part) for part in parts)
    return whole.replace(_SPACE_MARK, '_')


def _kind(pair: records.QaPair, said: str, learned: str, answers: set[str]) -> str:
    """'' if the row has the pair, else how it differs; `learned` is by its targets."""
    whole = _whole(pair)
    if learned == whole and said == whole.removesuffix(_MARK):
        return ''
    if said == whole.removesuffix(_MARK):
        if learned == said:
            return 'no EOS is learned'
        return 'targets are not the tokens after their inputs'
    if said.count(_MARK) != whole.count(_MARK) - 1:
        return 'EOS stands elsewhere'
    if said.lower() == whole.removesuffix(_MARK).lower():
        return 'letters lost their case'
    _, _, answer = said.rpartition(text.TAIL)
    own = pair.exchanges[-1].answer
    if answer == own or answer in own:
        return 'the question differs' if answer == own else 'the answer is cut'
    return 'the answer is that of another pair' if answer in answers else 'texts differ'


def _example(wanted: str, found: str) -> str:
    same = (a == b for a, b in zip(wanted, found, strict=False))
    at = next((i for i, equal in enumerate(same) if not equal), len(wanted))
    part = slice(max(0, at - 8), at + 16)
    return f'{wanted[part]!r} in the dataset, {found[part]!r} in the rows'
