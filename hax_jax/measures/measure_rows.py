"""Numbers of packed rows as a step gets them, derived anew from their ids.

Nothing here calls what packed the rows: pairs are found by the template's own tokens
and by EOS, so a fault in packing cannot hide itself.
"""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hax_jax import errors
from hax_jax.data import records, text
from hax_jax.reference import row_texts
from hax_jax.sampling import prompt_fitting, prompts

Rows = dict[str, np.ndarray]  # records.FEATURES, each [R, T]
SHIFTS = (-1, 0, 1, 2, 3)
_MOST_QUESTIONS = 8


def measure(
    rows: Rows, tokenizer: text.Tokenizer | None, *, eos_id: int
) -> dict[str, Any]:
    """Shares of targets, weights, positions and segments that are as they should be.

    Without a tokenizer the pairs are those that the rows' own segment ids say.
    """
    rows = {name: np.asarray(rows[name]) for name in records.FEATURES}
    own = own_spans(rows['segment_ids'])
    if tokenizer is None:
        numbers = _of_labels(rows, own, eos_id) | {'pairs_in_rows': len(own)}
        numbers.pop('ended_share', None)  # whether they have an EOS is not known
        return numbers
    head, tail = tokenizer.encode([text.HEAD, text.TAIL])
    spans = template_spans(rows, head, eos_id)
    begun = sum(_begins(rows['inputs'][r, a:b], head) for r, a, b in own)
    twice = [_twice(rows['inputs'][r, a:b], head, tail, eos_id) for r, a, b in own]
    numbers = {
        'pairs_in_rows': len(spans) or len(own),
        'segments_in_rows': len(own),
        'template_share': begun / max(len(own), 1),
        'doubled_template_share': sum(twice) / max(len(own), 1),
        'decoded_template_share': _decoded_share(rows, own, tokenizer),
        'largest_id': int(rows['inputs'].max(initial=0)),
        'tokenizer_size': tokenizer.vocab_size,
    }
    if len(spans) < len(own) / 2:
        return numbers | _of_labels(rows, own, eos_id)
    return (
        numbers
        | _of_labels(rows, spans, eos_id)
        | {'early_eos_share': _early_ends(rows, spans, head, eos_id)}
        | _of_places(rows, spans)
        | _of_weights(rows, spans, tail, eos_id)
    )


def own_spans(segment_ids: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, start, end) of each run of one segment id over 0."""
    spans = []
    for row, ids in enumerate(segment_ids):
        edges = np.flatnonzero(np.diff(ids)) + 1
        for start, end in zip([0, *edges], [*edges, len(ids)], strict=True):
            if ids[start] > 0:
                spans.append((row, int(start), int(end)))
    return spans


def template_spans(
    rows: Rows, head: Sequence[int], eos_id: int
) -> list[tuple[int, int, int]]:
    """(row, start, end) of each pair: from its template's first token to its EOS."""
    spans = []
    for row, inputs in enumerate(rows['inputs']):
        found = matches(inputs, head)
        used = np.flatnonzero(rows['segment_ids'][row] > 0)
        last = int(used[-1]) + 1 if used.size else 0
        # A conversation goes on behind its EOS, which no pair's own inputs hold.
        starts = [
            i
            for i in found
            if i < last
            and not (i and inputs[i - 1] == eos_id)
            and not any(0 < i - j <= len(head) + 2 for j in found)  # the template twice
        ]
        if not starts:
            continue
        ends = np.flatnonzero(rows['targets'][row, starts[-1] : last] == eos_id)
        end = starts[-1] + int(ends[-1]) + 1 if ends.size else last
        if not inputs[end:last].any():  # padding, whatever its segment id
            last = end
        spans += [(row, a, b) for a, b in itertools.pairwise([*starts, last])]
    return spans


def matches(ids: np.ndarray, pattern: Sequence[int]) -> list[int]:
    """Places where `pattern` begins in `ids`. [7, 8, 7, 8] and [7, 8] -> [0, 2]."""
    size = len(pattern)
    if not size or len(ids) < size:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(ids, size)
    return [int(i) for i in np.flatnonzero((windows == np.asarray(pattern)).all(1))]


def _begins(ids: np.ndarray, pattern: Sequence[int]) -> bool:
    return list(ids[: len(pattern)]) == list(pattern)


def _twice(
    ids: np.ndarray, head: Sequence[int], tail: Sequence[int], eos_id: int
) -> bool:
    """Whether a pair's template stands around the template itself."""
    heads, tails = matches(ids, head), matches(ids, tail)
    near = any(0 < b - a <= len(head) + 2 for a, b in itertools.pairwise(heads))
    # A conversation has the tail once behind each EOS.
    ends = np.flatnonzero(ids == eos_id)
    early = [i for i in tails if not ends.size or i < ends[0]]
    return near or any(0 < b - a <= len(tail) + 2 for a, b in itertools.pairwise(early))


def _decoded_share(
    rows: Rows, spans: list[tuple[int, int, int]], tokenizer: text.Tokenizer
) -> float:
    """The share of pairs whose ids, as text, begin as the template does."""
    said = [
        row_texts.decoded(tokenizer, rows['inputs'][r, a : min(b, a + 16)])
        for r, a, b in spans[:64]
    ]
    return sum(text.HEAD.strip() in each for each in said) / max(len(said), 1)


def _of_labels(
    rows: Rows, spans: list[tuple[int, int, int]], eos_id: int
) -> dict[str, Any]:
    equal, count = collections.Counter(), collections.Counter()
    shuffled = long = ended = whole = 0
    for row, start, end in spans:
        inputs, targets = (
            rows['inputs'][row, start:end],
            rows['targets'][row, start:end],
        )
        size = end - start
        for shift in SHIFTS:
            low, high = max(0, -shift), min(size, size - shift)
            if high > low:
                same = targets[low:high] == inputs[low + shift : high + shift]
                equal[shift] += int(same.sum())
                count[shift] += high - low
        if size < rows['inputs'].shape[1]:  # else an answer may go on in another row
            whole += 1
            ended += bool(size) and targets[-1] == eos_id
        if size > 8:
            long += 1
            aligned = (targets[:-1] == inputs[1:]).mean()
            left = collections.Counter(targets[:-1].tolist())
            left -= collections.Counter(inputs[1:].tolist())
            shuffled += aligned < 0.9 and left.total() <= 0.05 * size
    numbers = {
        'label_shift': {
            str(shift): equal[shift] / max(count[shift], 1) for shift in SHIFTS
        },
        'shuffled_share': shuffled / max(long, 1),
    }
    return numbers | ({'ended_share': ended / whole} if whole else {})


def _early_ends(
    rows: Rows, spans: list[tuple[int, int, int]], head: Sequence[int], eos_id: int
) -> float:
    """The share of pairs that have an EOS before their end and no question after it."""
    early = 0
    for row, start, end in spans:
        ids = rows['inputs'][row, start:end]
        places = [i for i in np.flatnonzero(ids == eos_id) if i + 1 < len(ids)]
        early += any(not _begins(ids[i + 1 :], head) for i in places)
    return early / max(len(spans), 1)


def _of_places(rows: Rows, spans: list[tuple[int, int, int]]) -> dict[str, Any]:
    zero = steps = rising = mixed = 0
    firsts: collections.Counter[int] = collections.Counter()
    per_row = collections.Counter(row for row, _, _ in spans)
    for row, start, end in spans:
        positions = rows['positions'][row, start:end].astype(np.int64)
        zero += positions[0] == 0
        firsts[int(positions[0])] += 1
        steps += len(positions) - 1
        rising += int((np.diff(positions) == 1).sum())
        ids = rows['segment_ids'][row]
        inside = len(set(ids[start:end].tolist()))
        before = start > 0 and ids[start - 1] == ids[start]
        mixed += inside > 1 or bool(before)
    ((usual, often),) = firsts.most_common(1) or ((0, 0),)
    return {
        'position_zero_share': zero / max(len(spans), 1),
        'usual_first_position': usual,
        'usual_first_share': often / max(len(spans), 1),
        'position_rising_share': rising / max(steps, 1),
        'mixed_segment_share': mixed / max(len(spans), 1),
        'pairs_a_row': len(spans) / max(len(per_row), 1),
    }


def _of_weights(
    rows: Rows, spans: list[tuple[int, int, int]], tail: list[int], eos_id: int
) -> dict[str, Any]:
    """Mean loss weights of last answers, their questions, EOS and padding.

    The earlier answers of a conversation may be context, of weight 0.
    """
    weights = rows['loss_weights'].astype(np.float64)
    sums: dict[str, list[float]] = {'answer': [], 'question': [], 'eos': []}
    for row, start, end in spans:
        found = matches(rows['inputs'][row, start:end], tail)
        if not found:
            continue
        before = np.flatnonzero(rows['inputs'][row, start:end] == eos_id)
        last = start + int(before[-1]) if before.size else start  # the last exchange's
        first = start + found[-1 if before.size else 0] + len(tail) - 1
        is_eos = rows['targets'][row, first:end] == eos_id
        sums['question'] += weights[row, last:first].tolist()
        sums['answer'] += weights[row, first:end][~is_eos].tolist()
        sums['eos'] += weights[row, first:end][is_eos].tolist()
    empty = rows['segment_ids'] == 0
    out = {
        f'{name}_weight': float(np.mean(values))
        for name, values in sums.items()
        if values
    }
    if empty.any():
        out['padding_weight'] = float(weights[empty].mean())
    return out


def of_order(order: np.ndarray, num_rows: int) -> dict[str, float]:
    """How the stream's first rows lie in the cache: `order` has two epochs, if short.

    Shares of an epoch's rows that come twice and that follow their neighbour, the rank
    correlation of place and row, and the share of places with the same row in both
    epochs.
    """
    first, second = order[:num_rows], order[num_rows : 2 * num_rows]
    steps = np.diff(first.astype(np.int64))
    ranks = np.argsort(np.argsort(first, kind='stable'), kind='stable')
    numbers = {
        'repeated_rows': 1 - len(np.unique(first)) / len(first),
        'neighbouring_rows': float((np.abs(steps) == 1).mean()),
        'order_correlation': float(np.corrcoef(ranks, np.arange(len(first)))[0, 1]),
        'ordered_rows': len(first),
    }
    if len(second) == len(first) >= 8:
        numbers['same_order'] = float((first == second).mean())
    return numbers


def as_packed(batch: Rows, packed: Rows) -> dict[str, float]:
    """The share of a batch's rows that are those of the cache, feature by feature.

    A row of the cache stands for one of the batch, so one that comes twice counts once.
    """

    def counted(rows: np.ndarray) -> collections.Counter[bytes]:
        return collections.Counter(np.asarray(r, np.float32).tobytes() for r in rows)

    return {
        name: (counted(rows) & counted(packed[name])).total() / max(len(rows), 1)
        for name, rows in batch.items()
    }


def of_prompts(
    cache: records.PackedCache,
    tokenizer: text.Tokenizer,
    sampled: Mapping[str, list[int]],
    *,
    n_positions: int,
) -> dict[str, Any]:
    """How many prompts of sampling have the ids of the rows, and where one differs.

    `sampled` are the prompts that the run will ask, by the pair's id; the first letters
    of the validation split are made into prompts as `hax sample` makes them.
    """
    inputs = cache.features('validation')['inputs']
    trained: dict[str, list[list[int]]] = {}
    for each in cache.segments('validation'):
        ids = np.asarray(inputs[each.row, each.start : each.learned[-1][0] + 1])
        trained.setdefault(each.id, []).append([int(i) for i in ids])
    pairs = [
        (trained[name], list(ids)) for name, ids in sampled.items() if name in trained
    ]
    for name, (ids, *more) in list(trained.items()):
        letter = (
            row_texts.decoded(tokenizer, ids)
            .removeprefix(text.HEAD)
            .removesuffix(text.TAIL)
        )
        if (
            more
            or tokenizer.eos_id in ids
            or text.CUT in letter
            or len(pairs) >= _MOST_QUESTIONS + len(sampled)
        ):
            continue
        question = prompts.Question(name, letter, f'pair {name}')
        try:
            fitted = prompt_fitting.fit(
                [question], tokenizer, n_positions=n_positions, max_new_tokens=1
            )
        except errors.InputError:
            continue  # a question of all positions
        if not fitted.prompts[0].num_cut:
            pairs.append(([ids], fitted.prompts[0].ids))
    if not pairs:
        return {}
    wrong = [(rows[0], ids) for rows, ids in pairs if ids not in rows]
    numbers: dict[str, Any] = {'sampled_prompt_share': 1 - len(wrong) / len(pairs)}
    if wrong:
        numbers['sampled_prompt_said'] = _difference(
            *(row_texts.decoded(tokenizer, ids) for ids in wrong[0])
        )
    return numbers


def _difference(trained: str, sampled: str) -> str:
    same = (a == b for a, b in zip(trained, sampled, strict=False))
    at = next((i for i, equal in enumerate(same) if not equal), 0)
    part = slice(max(0, at - 8), at + 16)
    return f'{trained[part]!r} in training, {sampled[part]!r} in sampling'
