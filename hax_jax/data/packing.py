"""Pairs to packed rows, in numpy: deterministic, and every token accounted for."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hax_jax import errors
from hax_jax.data import records, text

PACKING_VERSION = 1
_BATCH = 1024  # pairs encoded at a time
_LEDGER = (
    *('pairs_read', 'read', 'dropped', 'exchanges_forgotten'),
    *('forgotten', 'exchanges_cut_off', 'cut_off', 'shortened', 'added'),
)
LOST = ('dropped', 'forgotten', 'cut_off', 'shortened')  # of the tokens that were read


class NothingFits(errors.InputError):
    """No pair of a split fits in rows of a length."""


@dataclasses.dataclass(frozen=True)
class Tokenized:
    """A split's sequences and the ledger of its tokens.

    `counts` has `pairs_read` and numbers of tokens: `read`, `dropped` with their pair,
    `forgotten` (of the oldest exchanges of long conversations), `cut_off` (of their
    last exchanges, whose answers leave no room), `shortened` (cut from questions) and
    `added` (cut marks, and the context that later parts of a split answer repeat). The
    numbers add up:
    read - dropped - forgotten - cut_off - shortened + added = the tokens in `pairs`.
    `dropped_ids`, `forgotten_ids`, `cut_off_ids`, `shortened_ids` and `split_ids` name
    the pairs; `exchanges_forgotten` and `exchanges_cut_off` are numbers of exchanges.
    """

    pairs: list[records.TokenizedPair]
    counts: dict[str, int]
    dropped_ids: list[str]
    shortened_ids: list[str]
    split_ids: list[str]
    forgotten_ids: list[str]
    cut_off_ids: list[str]


def tokenize(
    pairs: Iterable[records.QaPair],
    tokenizer: text.Tokenizer,
    *,
    seq_len: int,
    long_answers: str,
) -> Tokenized:
    """Each pair as prompt, answer and EOS, in at most `seq_len` + 1 tokens.

    A conversation that is too long loses its oldest exchanges, as launch.chat forgets
    them. A pair, or a last exchange, that is too long loses text from the middle of its
    question, never from its answer. If it still does not fit, `long_answers` decides:
    'drop' drops it, 'split' splits its answer into parts that fit. A conversation whose
    last exchange is dropped ends with an earlier one that is learned.
    """
    pieces = text.template(tokenizer)
    replaced = tokenizer.num_replaced
    counts = collections.Counter(dict.fromkeys(_LEDGER, 0))
    out: list[records.TokenizedPair] = []
    dropped, shortened, split, forgotten, cut_off = [], [], [], [], []
    for ordinal, (pair, turns) in enumerate(_encode(pairs, tokenizer)):
        whole = [(text.asked(pieces, q), a, w) for q, a, w in turns]
        lengths = [len(prompt) + len(a) for prompt, a, _ in whole]
        counts['pairs_read'] += 1
        counts['read'] += sum(lengths)
        end, parts = _last_that_fits(
            pieces, turns, seq_len=seq_len, long_answers=long_answers
        )
        if not parts:
            counts['dropped'] += sum(lengths)
            dropped.append(pair.id)
            continue
        before, weight = whole[: end - 1], whole[end - 1][2]
        left = len(before)  # exchanges that have no room
        if len(parts) > 1:
            split.append(pair.id)
        else:
            ((prompt, _, answer),) = parts
            room = seq_len + 1 - len(answer) - len(prompt.ids)
            left -= text.num_latest(lengths[: end - 1], room)
        if end < len(turns):
            cut_off.append(pair.id)
        if left:
            forgotten.append(pair.id)
        if parts[0][0].num_cut:
            shortened.append(pair.id)
        kept = before[left:]
        sequences = [
            _sequence(
                tokenizer, ordinal, pair, [*kept, (prompt.ids + context, part, weight)]
            )
            for prompt, context, part in parts
        ]
        out += sequences
        counts['exchanges_forgotten'] += left
        counts['forgotten'] += sum(lengths[:left])
        counts['exchanges_cut_off'] += len(turns) - end
        counts['cut_off'] += sum(lengths[end:])
        counts['shortened'] += parts[0][0].num_cut
        counts['added'] += len(pieces.cut) if parts[0][0].num_cut else 0
        counts['added'] += sum(sequence.prompt_length for sequence in sequences[1:])
    counts['replaced_characters'] = tokenizer.num_replaced - replaced
    total = sum(len(sequence.ids) for sequence in out)
    lost = sum(counts[name] for name in LOST)
    assert counts['read'] - lost + counts['added'] == total, counts
    return Tokenized(out, dict(counts), dropped, shortened, split, forgotten, cut_off)


def _last_that_fits(
    pieces: text.Template,
    turns: Sequence[tuple[list[int], list[int], float]],
    *,
    seq_len: int,
    long_answers: str,
) -> tuple[int, list[tuple[text.Prompt, list[int], list[int]]]]:
    """(number of exchanges up to the last learned one that fits, the parts of that).

    There is one part, (prompt, [], answer), unless the answer is split; (0, []) if no
    exchange fits.
    """
    for end in range(len(turns), 0, -1):
        question, answer, weight = turns[end - 1]
        if not weight:
            continue
        room = seq_len + 1 - len(answer)
        prompt = text.prompt(pieces, question, max_length=room)
        if prompt is not None:
            return end, [(prompt, [], answer)]
        parts = []
        if long_answers == 'split':
            parts = _split(pieces, question, answer, seq_len=seq_len)
        if parts:
            return end, parts
    return 0, []


def _encode(
    pairs: Iterable[records.QaPair], tokenizer: text.Tokenizer
) -> Iterator[tuple[records.QaPair, list[tuple[list[int], list[int], float]]]]:
    """Each pair with (question ids, answer ids with EOS, weight) of each exchange."""
    remaining = iter(pairs)
    while batch := list(itertools.islice(remaining, _BATCH)):
        turns = [each for pair in batch for each in pair.exchanges]
        questions = iter(tokenizer.encode([each.question for each in turns]))
        answers = iter(tokenizer.encode([each.answer for each in turns]))
        for pair in batch:
            yield (
                pair,
                [
                    (next(questions), [*next(answers), tokenizer.eos_id], each.weight)
                    for each in pair.exchanges
                ],
            )


def _split(
    pieces: text.Template, question: list[int], answer: list[int], *, seq_len: int
) -> list[tuple[text.Prompt, list[int], list[int]]]:
    """(prompt, context, part) for each part of an answer; [] if no part would fit.

    A question over `text.MIN_QUESTION_TOKENS` is cut to it. Each later part repeats the
    end of the part before it, a quarter of the room, as context without loss.
    """
    least = text.MIN_QUESTION_TOKENS + sum(
        len(piece) for piece in (pieces.head, pieces.cut, pieces.tail)
    )
    prompt = text.prompt(pieces, question, max_length=least)
    assert prompt is not None
    room = seq_len + 1 - len(prompt.ids)
    overlap = room // 4
    if room < 8:
        return []
    parts = [(prompt, [], answer[:room])]
    start = room
    while start < len(answer):
        context = answer[start - overlap : start]
        end = start + room - overlap
        parts.append((prompt, context, answer[start:end]))
        start = end
    return parts


def _sequence(
    tokenizer: text.Tokenizer,
    ordinal: int,
    pair: records.QaPair,
    turns: Sequence[tuple[list[int], list[int], float]],
) -> records.TokenizedPair:
    """One sequence of (ids of the context, ids of the answer, weight) of each turn."""
    ids: list[int] = []
    answers: list[tuple[int, int, float]] = []
    question_bytes = answer_bytes = 0
    for context, answer, weight in turns:
        spelled = context if ids else context[1:]  # the first id is no target
        question_bytes += len(tokenizer.decode(spelled).encode())
        size = len(tokenizer.decode(answer).encode())
        answer_bytes += size if weight else 0
        question_bytes += 0 if weight else size
        start = len(ids) + len(context)
        ids += context + answer
        answers.append((start, len(ids), weight))
    is_pair = len(answers) == 1 and answers[0][2] == 1.0
    return records.TokenizedPair(
        ordinal=ordinal,
        id=pair.id,
        source=pair.source,
        ids=np.array(ids, np.int32),
        prompt_length=answers[0][0],
        question_bytes=question_bytes,
        answer_bytes=answer_bytes,
        answers=() if is_pair else tuple(answers),
    )


def shifted(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets) of one sequence: the only place where labels are shifted.

    [8, 7, 1] -> [8, 7], [7, 1]: the target at a place is the token after its input.
    """
    return ids[:-1], ids[1:]


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of indices whose lengths fit in `capacity`: longest first, tightest row.

    Ties go to the lower index and the older row, so the result is a function of the
    lengths alone. [2, 1, 3] in 4 -> [[2, 1], [0]].
    """
    rows: list[list[int]] = []
    by_room: list[collections.deque[int]] = [
        collections.deque() for _ in range(capacity + 1)
    ]
    open_rooms = 0  # bit r is set when a row with r free places exists
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if not 0 < length <= capacity:
            raise ValueError(f'lengths[{index}]={length} is not in 1 to {capacity}.')
        fitting = open_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1  # lowest set bit
            row = by_room[room].popleft()
            if not by_room[room]:
                open_rooms &= ~(1 << room)
            rows[row].append(index)
        else:
            room, row = capacity, len(rows)
            rows.append([index])
        if room > length:
            by_room[room - length].append(row)
            open_rooms |= 1 << (room - length)
    return rows


def pack(
    pairs: Sequence[records.TokenizedPair], *, seq_len: int, question_weight: float
) -> records.PackedSplit:
    """Packs best-fit, longest first, each pair shifted once before it is placed.

    [8, 7, 1] + [2, 3] at seq_len 4 -> inputs [8, 7, 2, 0], targets [7, 1, 3, 0],
    segment_ids [1, 1, 2, 0], positions [0, 1, 0, 0].
    """
    rows = best_fit([len(pair.ids) - 1 for pair in pairs], seq_len)
    shape = (len(rows), seq_len)
    features = {name: np.zeros(shape, np.int32) for name in records.FEATURES}
    features['loss_weights'] = np.zeros(shape, np.float32)
    segments = []
    for row, indices in enumerate(rows):
        start = 0
        for segment_id, index in enumerate(indices, start=1):
            pair = pairs[index]
            end = start + len(pair.ids) - 1
            # The first answer token is the target of the prompt's last token.
            prompt_end = start + pair.prompt_length - 1
            place = (row, slice(start, end))
            features['inputs'][place], features['targets'][place] = shifted(pair.ids)
            features['loss_weights'][row, start:end] = question_weight
            whole = ((pair.prompt_length, len(pair.ids), 1.0),)
            for first, last, weight in pair.answers or whole:
                answer = slice(start + first - 1, start + last - 1)
                features['loss_weights'][row, answer] = weight
            features['segment_ids'][place] = segment_id
            features['positions'][place] = np.arange(end - start)
            segments.append(
                records.Segment(
                    ordinal=pair.ordinal,
                    id=pair.id,
                    source=pair.source,
                    row=row,
                    start=start,
                    prompt_end=prompt_end,
                    end=end,
                    question_bytes=pair.question_bytes,
                    answer_bytes=pair.answer_bytes,
                    answers=tuple(
                        (start + first - 1, start + last - 1)
                        for first, last, weight in pair.answers
                        if weight
                    ),
                )
            )
            start = end
    return records.PackedSplit(features, segments)


def count_positions(split: records.PackedSplit) -> dict[str, int]:
    """Positions by use: prompt, answer and padding add up to all positions.

    An answer of weight 0.0 is prompt, as it is not learned.
    """
    whole = sum(s.end - s.start for s in split.segments)
    answer = sum(end - start for s in split.segments for start, end in s.learned)
    prompt = whole - answer
    positions = split.num_rows * split.length
    return {
        'rows': split.num_rows,
        'segments': len(split.segments),
        'positions': positions,
        'prompt': prompt,
        'answer': answer,
        'padding': positions - prompt - answer,
    }
