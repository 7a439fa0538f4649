"""Stage `quality`: drops pairs that teach nothing, by rules with a setting each.

Most rules are off or drop only texts that no person wrote, or that answer nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from data_pipeline import settings
from data_pipeline.pages import reddit
from data_pipeline.pair_stages import (
    folding,
    language,
    personal_data,
    stages,
    word_runs,
)
from hax_jax import errors
from hax_jax.data import records, text

_FEWEST_WORDS = 50  # of a text whose repetition is judged
_NGRAM = 5  # words
_SHORT_TEXT = 'with a text too short to tell its language'
# The signatures of bots; reddit.is_bot knows those of moderators.
_BOT_SIGNATURE = re.compile(
    r'[\W_]*(?:b(?:l?ee|li)p\W+b(?:l?oo|lo)p\b'
    r"|i(?: am|['’]m) (?:just )?a (?:ro)?bot\b,?.{0,20}\bthis"
    r' (?:action|comment|message|reply) (?:was|is)\b)',
    re.IGNORECASE,
)
# Whole answers that stand where one is missing.
_MISSING = re.compile(
    r'\W*(?:(?:there (?:is|are) )?(?:no|not) (?:answers?|answered|repl(?:y|ies)'
    r'|responses?) (?:yet|so far|available|given|provided|found)'
    r'|(?:not yet |un)answered|t\.?b\.?[acd]'
    r'|to be (?:answered|determined|announced|confirmed|added)'
    r'|(?:the )?(?:answer|reply|response)?(?: is)? ?(?:coming soon|pending))\W*',
    re.IGNORECASE,
)
_MEDIA = re.compile(
    r'\s*[^\s:]+\.(?:png|jpe?g|gif|webp|svg|bmp|heic|mp[34]|m4a|wav|ogg|webm|mov)\s*',
    re.IGNORECASE,
)
_LETTER = re.compile(r'[^\W_]')
_YES_NO = re.compile(
    r'\W*(?:[$£€]?\d[\d.,:/%]*\W*(?:\w+\W*)?|(?:yes|yeah|yep|yup|no|nope|nah|never|maybe'
    r'|definitely|absolutely|sure|true|false)\b.*)',
    re.IGNORECASE | re.DOTALL,
)


def stage(chosen: settings.QualitySettings) -> stages.Stage:
    """The stage that drops a pair for the first rule that it breaks.

    Raises:
      InputError: the tokenizer can't be loaded, or a language is unknown.
    """
    others = set(chosen.languages) - {'en'}
    # The model that knows them takes half a second to read.
    if unknown := sorted(others.difference(language.known()) if others else ()):
        raise errors.InputError(
            f'quality.languages has {", ".join(unknown)}, which is not known; give '
            f'{", ".join(language.known())}, or none to take all.'
        )
    count, unit = _counter(chosen.tokenizer)

    def apply_all(pairs: Sequence[records.QaPair]) -> list[stages.Outcome]:
        turns = [turn for pair in pairs for turn in pair.exchanges]
        texts = {text for turn in turns for text in _judged_texts(turn)}
        codes = language.foreign(
            texts, chosen.languages, confidence=chosen.language_confidence
        )
        return [judged(pair, codes) for pair in pairs]

    def judged(pair: records.QaPair, codes: Mapping[str, str]) -> stages.Outcome:
        for i, turn in enumerate(pair.exchanges):
            reason = next(_broken(pair, turn, chosen, count, unit, codes), None)
            if reason is not None:
                return stages.cut(pair, pair.exchanges[:i], reason)
        return stages.Kept(pair, notes=_too_short(pair) if chosen.languages else ())

    return stages.Stage('quality', lambda pair: apply_all([pair])[0], apply_all)


def _counter(tokenizer: str) -> tuple[Callable[[str], int], str]:
    """The function that counts a length, and its unit."""
    if not tokenizer:
        return num_words, 'words'
    loaded = text.load_tokenizer(tokenizer)
    return lambda words: len(loaded.encode([words])[0]), 'tokens'


def _broken(
    pair: records.QaPair,
    turn: records.Exchange,
    chosen: settings.QualitySettings,
    count: Callable[[str], int],
    unit: str,
    codes: Mapping[str, str],
) -> Iterator[stages.Dropped]:
    """A reason for each rule that an exchange of the pair breaks, cheap rules first.

    An answer that is not learned may break them. `codes` has the language of each
    foreign text.
    """
    accepted = ', '.join(chosen.languages)
    if chosen.drop_title_only and 'title only' in pair.flags:
        yield stages.Dropped('title only')
    of_reddit = records.kind(pair.source) == 'reddit'
    if chosen.min_score and of_reddit and pair.score < chosen.min_score:
        yield stages.Dropped(f'score under {chosen.min_score}', str(pair.score))
    if chosen.drop_bots and turn.weight and is_bot(turn.answer):
        yield stages.Dropped('answer by a bot')
    for field in ('question', 'answer') if turn.weight else ('question',):
        value = getattr(turn, field)
        if chosen.drop_link_only and is_link_only(value):
            yield stages.Dropped(f'{field} of links alone', value)
        if field == 'answer' and not _LETTER.search(value):
            yield stages.Dropped('answer without a word', value)
        if field == 'answer' and _MISSING.fullmatch(value):
            yield stages.Dropped('answer that says it is missing', value)
        least = getattr(chosen, f'min_{field}_tokens')
        most = getattr(chosen, f'max_{field}_tokens')
        length = count(value) if least or most else 0
        is_brief = field == 'answer' and chosen.keep_yes_no and is_yes_no(value)
        if least and length < least and not is_brief:
            yield stages.Dropped(f'{field} under {least} {unit}', f'{length} {unit}')
        if most and length > most:
            yield stages.Dropped(f'{field} over {most} {unit}', f'{length} {unit}')
        share = repetition(value) if chosen.max_repetition < 1 else 0.0
        if share > chosen.max_repetition:
            reason = f'{field} repeats itself'
            yield stages.Dropped(reason, f'{share:.0%} of its {_NGRAM}-grams')
        if code := codes.get(value, ''):
            yield stages.Dropped(f'{field} in another language than {accepted}', code)
    if codes and turn.weight and (code := codes.get(_as_one(turn), '')):
        yield stages.Dropped(f'texts in another language than {accepted}', code)


def _too_short(pair: records.QaPair) -> tuple[stages.Note, ...]:
    """The note of a pair of which a text is too short to tell its language."""
    for turn in pair.exchanges:
        texts = (turn.question, turn.answer) if turn.weight else (turn.question,)
        short = [text for text in texts if not language.is_judged(text)]
        if len(short) == 2 and language.is_judged(_as_one(turn)):
            continue
        if short:
            return (stages.Note(_SHORT_TEXT, short[0]),)
    return ()


def _judged_texts(turn: records.Exchange) -> tuple[str, ...]:
    """The texts of which the language is asked: two short ones are one."""
    texts = turn.question, turn.answer
    return texts if any(map(language.is_judged, texts)) else (*texts, _as_one(turn))


def _as_one(turn: records.Exchange) -> str:
    return f'{turn.question}\n{turn.answer}'


def num_words(value: str) -> int:
    """The number of runs without blanks; of Chinese, Japanese, Thai … the signs too.

    A short text's runs count only if they hold a letter or a digit: 'No - .' is one.
    """
    words = value.split()
    if len(words) < _FEWEST_WORDS:
        words = [word for word in words if _LETTER.search(word)]
        if not value.isascii():
            return len(words) + max(0, len(language.UNSPACED.findall(value)) - 1)
    return len(words)


def is_yes_no(value: str) -> bool:
    """Whether an answer is a number, perhaps with its unit, or opens with yes or no."""
    return bool(_YES_NO.fullmatch(value))


def is_bot(answer: str) -> bool:
    """Whether a bot wrote the answer, by its opening or a signature in its last lines.

    A quote of a bot (`>`) or a mention of one within a paragraph does not count.
    """
    last = [line for line in answer.split('\n') if line.strip()][-2:]
    return reddit.is_bot(answer) or any(
        _BOT_SIGNATURE.match(line) for line in last if not line.lstrip().startswith('>')
    )


def is_link_only(value: str) -> bool:
    """Whether a text is links, their placeholders, or the path of a picture alone."""
    if _MEDIA.fullmatch(value):
        return True
    if personal_data.URL not in value and not personal_data.may_link(value):
        return False  # the case of almost every text
    without, times = personal_data.without_urls(value)
    times += without.count(personal_data.URL)
    rest = without.replace(personal_data.URL, '')
    return bool(times) and not re.search(r'[^\W_]', rest)


def repetition(value: str) -> float:
    """The share of a text's 5-grams of words, folded, that occur earlier in it.

    'no ' * 50 has 46, of which 45 occur earlier: 0.98. 0.0 for under 50 words.
    """
    words = word_runs.numbers(folding.folded(value))
    if len(words) < _FEWEST_WORDS:
        return 0.0
    ngrams = np.sort(word_runs.combined(words, _NGRAM))
    num_distinct = 1 + np.count_nonzero(ngrams[1:] != ngrams[:-1])
    return 1 - num_distinct / len(ngrams)
