"""Numbers of a dataset's packed rows: copies, sources, what was lost, texts.

At most `MOST` pairs of a split are read, evenly spread; texts are decoded from ids.
"""

import collections
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from hax_jax.data import records, text, token_runs
from hax_jax.reference import row_texts
from hax_jax.watch import verdicts

MOST = 20_000  # pairs whose ids are compared
_MOST_ECHOES = 1000  # answers that are compared with their question
_TEXTS = 256  # pairs whose text is looked at
_LEAST_WORDS = 8  # rare words of an answer that may show what it is about
_LEAST_PAIRS = 200  # of words, so that chance moves their count by a tenth at most
_ASKS = re.compile('[?？؟]')
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ENGLISH = (
    'the to and i a you of it in that is was my for with he she her his him not but '
    'be have do on they so at as we me this are if what your has had would just about '
    "or when it's don't i'm because there no out up get from all can"
)
_COMMON = frozenset(_ENGLISH.split())
_FIRST = frozenset({'i', 'me', 'my', 'mine', 'myself'})
_SECOND = frozenset({'you', 'your', 'yours', 'yourself'})
# UTF-8 read as Windows-1252 or Latin-1: two signs of a byte's upper half in a row.
_MOJIBAKE = re.compile('[ÂÃâ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|\ufffd|Ã[ -~]')
_MARKUP = re.compile(r'&(?:amp|lt|gt|quot|nbsp|#\d+);|</?[a-z]+[^<>]*>', re.IGNORECASE)


def measure(
    cache: records.PackedCache, tokenizer: text.Tokenizer | None
) -> dict[str, Any]:
    """Shares over the cache's splits; those of texts need the tokenizer."""
    train, validation = (_answers(cache, name) for name in ('train', 'validation'))
    run = max(token_runs.LEAST_TOKENS, tokens_of(cache, token_runs.LEAST_BYTES))
    numbers = _of_copies(train, validation, run) | _of_sources(train)
    dropped = cache.meta.get('ledger', {}).get('train')
    if dropped and dropped['tokens']['pairs_read']:
        read = dropped['tokens']['pairs_read']
        numbers['dropped_share'] = len(dropped['dropped_ids']) / read
        numbers['shortened_share'] = len(dropped['shortened_ids']) / read
    if tokenizer is not None:
        numbers |= _of_texts(cache, tokenizer)
    return numbers


def tokens_of(cache: records.PackedCache, num_bytes: int) -> int:
    """How many tokens of training answers spell `num_bytes` of UTF-8, rounded up."""
    segments = _chosen(cache, 'train', MOST)
    tokens = sum(end - start for each in segments for start, end in each.learned)
    size = sum(each.answer_bytes for each in segments)
    return math.ceil(num_bytes * tokens / max(size, 1))


def entropies(cache: records.PackedCache) -> dict[str, float]:
    """Nats a token by token frequencies, and by those of pairs; and weighted tokens.

    Of the train split; tokens count by their loss weight. Pairs that few tokens make
    are known by heart, so theirs is lower than unseen text would have.
    """
    rows = cache.features('train')
    most = max(1, 2_000_000 // cache.seq_len)
    inputs, targets, weights = (
        np.asarray(rows[name][:most]).ravel()
        for name in ('inputs', 'targets', 'loss_weights')
    )
    pairs = inputs.astype(np.int64) * 2**32 + targets
    kinds, places = np.unique(pairs, return_inverse=True)
    joint = np.bincount(places, weights.astype(np.float64))
    total = max(joint.sum(), 1e-9)
    before = np.bincount((kinds >> 32).astype(np.int64), joint)[kinds >> 32]
    seen = joint > 0
    counts, weight = cache.meta['splits']['train'], cache.meta.get('question_weight', 0)
    return {
        'unigram_entropy': verdicts.unigram_entropy(cache),
        'bigram_entropy': float(
            -(joint[seen] / total * np.log(joint[seen] / before[seen])).sum()
        ),
        'answer_tokens': float(counts['answer'] + weight * counts['prompt']),
    }


def _chosen(cache: records.PackedCache, split: str, most: int) -> list[records.Segment]:
    segments = cache.segments(split)
    step = max(1, len(segments) / most)
    return [segments[int(i * step)] for i in range(min(len(segments), most))]


def _answers(
    cache: records.PackedCache, split: str
) -> list[tuple[records.Segment, np.ndarray, np.ndarray]]:
    """(segment, prompt ids, answer ids) of the split's pairs."""
    rows = cache.features(split)
    inputs, targets = np.asarray(rows['inputs']), np.asarray(rows['targets'])
    return [
        (
            each,
            inputs[each.row, each.start : each.prompt_end + 1],
            targets[each.row, each.prompt_end : each.end],
        )
        for each in _chosen(cache, split, MOST)
    ]


def _of_copies(train: list[Any], validation: list[Any], run: int) -> dict[str, Any]:
    """What is shared, in runs of `run` tokens."""
    least = run * 2 // 3  # tokens: shorter answers are equal by chance
    known = {answer.tobytes() for _, _, answer in train if len(answer) >= least}
    long = [answer for _, _, answer in validation if len(answer) >= least]
    pairs = collections.Counter(p.tobytes() + a.tobytes() for _, p, a in train)
    asked = {p.tobytes(): a for _, p, a in train}
    answers = collections.Counter(a.tobytes() for a in asked.values())
    lengths = collections.Counter(len(a) for a in asked.values() if len(a) >= least)
    ((_, same),) = answers.most_common(1) or [(0, 0)]
    ((size, often),) = lengths.most_common(1) or [(0, 0)]
    of_train, in_train = token_runs.of_texts(list(asked.values()), run)
    of_validation, in_validation = token_runs.of_texts(long, run)
    here, places = np.unique(in_train, return_inverse=True)
    holders = np.unique(np.stack([places, of_train]), axis=1)[0]
    elsewhere = np.bincount(holders, minlength=len(here))[places] > 1
    shared = token_runs.shares(of_validation, np.isin(in_validation, here), len(long))
    own = token_runs.shares(of_train, elsewhere, len(asked))
    copied = np.array([answer.tobytes() in known for answer in long], bool)
    again = np.array([answers[each.tobytes()] > 1 for each in asked.values()], bool)
    return {
        'same_answer_share': same / max(len(asked), 1),
        'echo_share': _echoes(train, run),
        'run_tokens': run,
        'usual_answer_length': size,
        'usual_length_share': often / max(lengths.total(), 1),
        'different_questions': len(asked),
        'validation_copied_share': _mean(copied | (shared > token_runs.COPIED)),
        'validation_shared_text': _mean(shared[np.isfinite(shared)]),
        'train_copied_share': _mean(again | (own > token_runs.COPIED)),
        'train_shared_text': _mean(own[np.isfinite(own)]),
        'repeated_share': 1 - len(pairs) / max(len(train), 1),
        'validation_pairs': len(validation),
        'train_pairs': len(train),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _echoes(train: list[Any], run: int) -> float:
    """The share of answers most of whose runs of tokens stand in their question."""
    echoed = count = 0
    for _, prompt, answer in train[:_MOST_ECHOES]:
        said = _ngrams(answer, run)
        if said:
            asked = set(_ngrams(prompt, run))
            count += 1
            echoed += sum(gram in asked for gram in said) > len(said) / 2
    return echoed / max(count, 1)


def _ngrams(ids: np.ndarray, run: int) -> list[int]:
    if len(ids) < run:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(ids, run)
    return [hash(window.tobytes()) for window in windows]


def _of_sources(train: list[Any]) -> dict[str, Any]:
    """The most repeated source: how often its pairs are shown, and its share."""
    shown, different = collections.Counter(), collections.defaultdict(set)
    tokens = collections.Counter()
    for segment, prompt, answer in train:
        shown[segment.source] += 1
        different[segment.source].add(prompt.tobytes() + answer.tobytes())
        tokens[segment.source] += len(answer)
    total = max(sum(tokens.values()), 1)
    times = {name: shown[name] / len(different[name]) for name in shown}
    if not times:
        return {}
    most = max(times, key=lambda name: times[name])
    others = sum(len(each) for name, each in different.items() if name != most)
    distinct = len(different[most]) / max(others + len(different[most]), 1)
    return {
        'repeated_source': most,
        'repeated_source_times': times[most],
        'repeated_source_share': tokens[most] / total,
        'repeated_source_distinct_share': distinct,
        'least_repeated_times': min(times.values()),
        'other_sources': len(shown) - 1,
    }


def _of_texts(cache: records.PackedCache, tokenizer: text.Tokenizer) -> dict[str, Any]:
    rows = cache.features('train')
    questions, answers, sources = [], [], []
    in_order: dict[str, list[str]] = {}
    asking: collections.Counter[str] = collections.Counter()
    of_writer: list[tuple[float | None, float | None]] = []
    marked = empty = broken = words = common = tokens = size = capital = letters = (
        opened
    ) = 0
    pieces: collections.Counter[int] = collections.Counter()
    for each in _chosen(cache, 'train', _TEXTS):
        inputs = rows['inputs'][each.row, each.start : each.prompt_end + 1]
        targets = rows['targets'][each.row, each.prompt_end : each.end]
        question, answer = (
            row_texts.decoded(tokenizer, ids) for ids in (inputs, targets)
        )
        question = question.removeprefix(text.HEAD).removesuffix(text.TAIL)
        broken += bool(_MOJIBAKE.search(question) or _MOJIBAKE.search(answer))
        marked += bool(_MARKUP.search(question) or _MARKUP.search(answer))
        empty += len(_WORD.findall(answer)) < 3
        opened += answer.rstrip()[-1:].isalnum() or answer.rstrip()[-1:] in ',;-'
        asking['question'] += bool(_ASKS.search(question))
        asking['answer'] += bool(_ASKS.search(answer))
        in_order[answer] = _WORD.findall(answer.lower())
        of_writer.append((_of_writer(question), _of_writer(answer)))
        said = [word.lower() for word in _WORD.findall(f'{question} {answer}')]
        words += len(said)
        common += sum(word in _COMMON for word in said)
        capital += sum(map(str.isupper, question + answer))
        letters += sum(map(str.isalpha, question + answer))
        questions.append(_content(question))
        answers.append(_content(answer))
        sources.append(each.source)
        pieces.update(int(i) for i in targets)
        tokens += len(targets)
        size += len(answer.encode())
    lost = sum(
        count
        for i, count in pieces.items()
        if '\ufffd' in row_texts.decoded(tokenizer, [i])
    )
    probe = 'A plain letter, with  two spaces\nand a line: "naïve" – 12 €.'
    return {
        'mojibake_share': broken / max(len(answers), 1),
        'markup_share': marked / max(len(answers), 1),
        'empty_share': empty / max(len(answers), 1),
        'common_word_share': common / max(words, 1),
        'open_end_share': opened / max(len(answers), 1),
        'capital_share': capital / max(letters, 1),
        'bytes_per_token': size / max(tokens, 1),
        'byte_piece_share': lost / max(tokens, 1),
        'asking_questions': asking['question'] / max(len(answers), 1),
        'asking_answers': asking['answer'] / max(len(answers), 1),
        **_of_writers(of_writer),
        **_word_order(list(in_order.values())),
        'round_trip': tokenizer.decode(tokenizer.encode([probe])[0]) == probe,
        **_relation(questions, answers, sources),
    }


def _word_order(texts: list[list[str]]) -> dict[str, int]:
    """How many pairs of neighbouring words stand once, and how many by chance would.

    By chance means with the words of each text in any order. Nothing where too few
    come again to tell.
    """
    rng = np.random.default_rng(0)
    kinds: dict[str, int] = {}
    numbered = [[kinds.setdefault(w, len(kinds)) for w in words] for words in texts]

    def pairs(order: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """How often each pair stands, with the words of each text in an order."""
        ordered = [order(np.array(each, np.int64)) for each in numbered]
        joined = [each[:-1] * 2**32 + each[1:] for each in ordered if len(each)]
        return np.unique(np.concatenate([*joined, []]), return_counts=True)[1]

    own, chance = pairs(lambda words: words), pairs(rng.permutation)
    if int(chance[chance > 1].sum()) < _LEAST_PAIRS:
        return {}
    return {
        'word_pairs': int(own.sum()),
        'word_pairs_once': int((own == 1).sum()),
        'word_pairs_by_chance': int((chance == 1).sum()),
    }


def _of_writer(said: str) -> float | None:
    """The share of I, me, my among these and you, your; None of a text without any."""
    words = [re.split("['’]", word)[0] for word in _WORD.findall(said.lower())]
    own = sum(word in _FIRST for word in words)
    both = own + sum(word in _SECOND for word in words)
    return own / both if both else None


def _of_writers(shares: list[tuple[float | None, float | None]]) -> dict[str, float]:
    told = np.array([each for each in shares if None not in each], float)
    if not len(told):
        return {}
    asked, said = told.mean(0)
    return {
        'writer_in_questions': float(asked),
        'writer_in_answers': float(said),
        'writer_pairs': len(told),
    }


def _content(said: str) -> frozenset[str]:
    """The rarer words of a text, cut to their first five letters."""
    return frozenset(
        word.lower()[:5]
        for word in _WORD.findall(said)
        if len(word) > 3 and word.lower() not in _COMMON
    )


def _relation(
    questions: list[frozenset[str]], answers: list[frozenset[str]], sources: list[str]
) -> dict[str, float]:
    """How many standard errors answers are nearer to their question than to others'.

    Words count by log(pairs / pairs that have them). The others are up to 8 questions
    of the same source, whose writer has the same words. `templated_share` are answers
    that share over half of their words with an answer to another question.
    """
    count = len(answers)
    if count < 24:
        return {}
    templated = [
        any(
            3 * len(a & other) > len(a) + len(other)  # over half of `a | other`
            for q, other in zip(questions, answers, strict=True)
            if q != questions[i]
        )
        for i, a in enumerate(answers)
        if a
    ]
    frequency = collections.Counter(
        word for q, a in zip(questions, answers, strict=True) for word in q | a
    )
    worth = {word: np.log(count / n) for word, n in frequency.items()}
    same: dict[str, list[int]] = collections.defaultdict(list)
    for i, source in enumerate(sources):
        if len(answers[i]) >= _LEAST_WORDS:
            same[source].append(i)

    def near(q: frozenset[str], a: frozenset[str]) -> float:
        shared = sum(worth[word] for word in q & a)
        return shared / (1 + len(q)) ** 0.5 / (1 + len(a)) ** 0.5

    gains = []
    for places in same.values():
        for at, i in enumerate(places):
            others = [places[(at + k) % len(places)] for k in range(1, 9)]
            others = [j for j in others if answers[j] != answers[i]]
            if others:
                distance = np.mean([near(questions[j], answers[i]) for j in others])
                gains.append(near(questions[i], answers[i]) - distance)
    if len(gains) < 24:
        return {}
    error = np.std(gains) / len(gains) ** 0.5
    return {
        'answer_relation': float(np.mean(gains) / error) if error else 0.0,
        'related_share': float(np.mean(np.array(gains) > 0)),
        'related_pairs': len(gains),
        'templated_share': float(np.mean(templated)),
    }
