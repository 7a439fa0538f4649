"""A prepared pair with all that comparing it to other pairs needs, computed once."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np

from data_pipeline import settings
from data_pipeline.compared import signatures, untidy
from data_pipeline.pair_stages import folding, word_runs
from hax_jax.data import records

_LEAST_WORDS = 8  # of an exchange that makes two conversations one story
_OPENING = 100  # characters that hold its words
_MEASURED = 1000  # characters
_NEITHER = re.compile(r'[^\w\s]|[\d_]')
_QUOTES = '‘’“”–—…'  # the commonest beyond ASCII
_ASCII_NEITHER = {code: None for code in range(128) if _NEITHER.match(chr(code))}
_TITLE = 300  # characters of a first line that may be a title
_TITLE_WORD = re.compile(r"[^\W\d_][\w']{3,}")
# Frequent in any English title, so of no interest; shorter words never count.
_COMMON_WORDS = (
    'about after again also always another because been before being between both '
    "could doing don't down during each even ever feel feeling find from gets "
    "getting give going have having hers into it's just keep know like made make "
    'makes making more most much need never once only other over really said same '
    "should since some still such take tell than that that's their them then "
    'there these they thing things think this those through time told under until '
    'very want wanted wants week were what when where which while will with '
    "without won't would wouldn't your can't doesn't didn't isn't years year update"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_POST_LINK = re.compile(r'(?:reddit\.com/(?:r/\w+/)?comments/|redd\.it/)(\w+)')
_UPDATE_MARK = re.compile(
    r'[\W_]*\b(?:final |small |quick )?(?:up ?date)s?\b[\W\d_]*', re.I
)


@dataclasses.dataclass(frozen=True)
class Measures:
    """Measures of a pair for the report, which adds up those of the pairs that stay.

    Words by blanks; of the first 1,000 characters of both texts, the share that is
    neither letter nor space and the share of words that repeat an earlier one; the
    longer words of the title, each once.
    """

    question_words: int
    answer_words: int
    neither: float
    repeated: float
    title_words: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """A prepared pair; all other fields are what the build compares and counts.

    For pairs of Reddit, `title` is the first line, folded and without the word update,
    and `links` are the groups ('reddit:abc123') of posts that an update links. `text`
    is a hash (16 hex digits) of both folded texts, `opening` the answer's first words,
    folded. The signatures are '' where near duplicates are off. `runs` are the runs of
    eight words of both texts (word_runs.py), [N] uint64 as bytes.

    `untidy` counts the faults of the texts, and one more if a stage changed them: of
    equal texts the one with fewer stays.

    Of a conversation, a text is that of all its turns. `beginnings` are the hashes that
    `text` would be of its first exchange, of its first two, and so on, short of all.
    `exchanges` are 64-bit hashes of each exchange, and of the first question, of eight
    words or more.
    """

    pair: records.QaPair
    links: tuple[str, ...]
    title: str
    is_update: bool
    text: str
    opening: str
    question_signature: bytes
    answer_signature: bytes
    runs: bytes
    question_words: int
    answer_words: int
    beginnings: tuple[str, ...]
    exchanges: tuple[int, ...]
    untidy: int
    measures: Measures


def make(
    raw: records.QaPair, pair: records.QaPair, chosen: settings.DuplicateSettings
) -> Row:
    """The row of a pair; `raw` is the same pair before the stages.

    Reads links and titles from `raw`, since cleaning removes the targets of links.
    """
    is_update = 'update' in raw.flags
    title = ''
    links: tuple[str, ...] = ()
    if records.kind(raw.source) == 'reddit':
        first = raw.question.split('\n', 1)[0]
        title = folding.folded(_UPDATE_MARK.sub(' ', first) if is_update else first)
        if is_update:
            whole = raw.as_one()
            named = _POST_LINK.findall(f'{whole.question}\n{whole.answer}')
            links = tuple(sorted({f'reddit:{post}' for post in named} - {raw.group}))
    whole = pair.as_one()
    texts = folding.folded(whole.question), folding.folded(whole.answer)
    turns = pair.exchanges
    of_question, of_answer = (
        signatures.signature(text, chosen.num_perm) if chosen.near else b''
        for text in texts
    )
    runs = np.concatenate([word_runs.of(text) for text in texts])
    return Row(
        pair,
        links,
        title,
        is_update,
        text=_text(turns),
        opening=' '.join(texts[1][:_OPENING].split()[:3]),
        question_signature=of_question,
        answer_signature=of_answer,
        runs=runs.tobytes(),
        question_words=word_runs.num_words(texts[0]),
        answer_words=word_runs.num_words(texts[1]),
        beginnings=tuple(_text(turns[:i]) for i in range(1, len(turns))),
        exchanges=tuple(sorted(_shared(turns))),
        untidy=untidy.of(pair) + (raw.exchanges != turns),
        measures=measured(pair),
    )


def measured(pair: records.QaPair) -> Measures:
    """The measures of a pair; words are those of all its turns."""
    whole = pair.as_one()
    start = f'{pair.question[:_MEASURED]} {pair.answer[:_MEASURED]}'
    first = start.lower().split()
    title, _, rest = pair.question.partition('\n')
    words: set[str] = set()
    if rest and len(title) <= _TITLE:
        words = set(_TITLE_WORD.findall(title.lower().replace('’', "'"))) - _COMMON
    return Measures(
        len(whole.question.split()),
        len(whole.answer.split()),
        num_neither(start) / len(start),
        1 - len(set(first)) / max(len(first), 1),
        tuple(sorted(words)),
    )


def num_neither(text: str) -> int:
    """The number of characters that are neither letter nor space."""
    count = 0
    if not text.isascii():
        for sign in _QUOTES:
            count += text.count(sign)
            text = text.replace(sign, '')
    if text.isascii():  # the same as below, many times as fast
        return count + len(text) - len(text.translate(_ASCII_NEITHER))
    return count + len(_NEITHER.findall(text))


def _text(turns: Sequence[records.Exchange]) -> str:
    """Equal for turns whose folded texts and weights are equal."""
    parts = [folding.folded(text) for each in turns for text in _texts(each)]
    weights = [each.weight for each in turns]
    if set(weights) != {1.0}:
        parts.append(repr(weights))
    joined = '\n'.join(parts).encode('utf-8', 'surrogatepass')
    return hashlib.blake2b(joined, digest_size=8).hexdigest()


def _shared(turns: Sequence[records.Exchange]) -> set[int]:
    """Hashes of what two conversations of one story share, but short texts, as thanks.

    A question may be asked again and go on in another way.
    """
    shared = set()
    for texts in [(turns[0].question,), *map(_texts, turns)]:
        folded = [folding.folded(text) for text in texts]
        if sum(map(word_runs.num_words, folded)) >= _LEAST_WORDS:
            shared.add(word_runs.hash64('\n'.join(folded)))
    return shared


def _texts(turn: records.Exchange) -> tuple[str, str]:
    return turn.question, turn.answer
