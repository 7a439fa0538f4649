"""Which of several near copies is the best, and the rule that says so.

The rules, in their order:

1. If one answer contains the other, the shorter one is better where all that the longer
   one adds is residue (`RESIDUE`): a like count, a label, HTML, a link card, the next
   post's topic or question. Where it adds sentences, the shorter one was cut short
   (`CUT_SHORT`). Of equal answers, the questions decide by the same rule.
2. A copy that its layout had to guess at (`FLAGGED`) loses.
3. The copy with more kinds of faults loses (`LESS_TIDY`): `compared/untidy.py`.
4. Then the score, the length of the answer, and the id decide.
"""

import dataclasses
import functools
import html
import re
from collections.abc import Collection, Sequence

from data_pipeline.compared import residue_lines
from data_pipeline.layouts import html_text, label_forms
from data_pipeline.pages import chat_grammar, chat_speakers, link_cards, merged, reddit
from data_pipeline.pair_stages import cleaning, folding, stage_ledger
from hax_jax.data import records

RESIDUE, CUT_SHORT, FLAGGED = 'with residue', 'cut short', 'flagged by its layout'
LESS_TIDY = 'less tidy'
LOWER_SCORE, SHORTER, LATER = 'of lower score', 'of a shorter answer', 'of a later id'
_WORD = re.compile(r'[^\W_]+')
_SIGNS = re.compile(r'[\W_]*')
_LETTER = re.compile(r'[^\W\d_]')
_MOST_HEADINGS = 3  # a name, its role and a topic
_LONGEST_HEADING = 100  # characters
_MOST_HEADING_WORDS = 14
_COMPARED = 64  # pairs of a cluster, the first by faults, score and length
_ALONE = ('image', 'avatar', 'null', 'undefined', 'nan')  # what programs leave
_TURNS = ('user', 'human', 'prompt', 'instruction', 'assistant')  # labels of chats
_SPEAKER = re.compile(rf'{chat_speakers.NAME.pattern}\s?:[\s*_]*')
# What trainers put behind a text: '</s>', '<eos>', '[/INST]'.
_TOKEN = re.compile(r'[^<\[\w]*(?:</?\|?\w{1,14}\|?>|\[/?INST\])\s*')
_LETTER_OF_ANSWER = re.compile(r'[*_(\[]{0,3}A[.)\]:]{1,3}[*_]{0,3}')
# Behind the last sentence: '. -- Ann', '! — Ann Lee'.
_SIGNED = re.compile(rf'[.!?…]["”’)]*\s*{residue_lines.SIGNATURE}')
_MORE = re.compile(
    r'(?:(?:…|\.\.)\s*(?:[(\[]?(?:(?:read|see|show|view) )?more|continue reading)'
    r'|[(\[](?:(?:read|see|show|view) )?more)[)\]]?\W{0,9}\Z',
    re.IGNORECASE,
)
_LONGEST_MORE = 30  # characters
_FEWEST_BEGINNING = 8  # words of an answer that another one goes on from
_FEWEST_AGAIN = 6  # words that a copy repeats
_BEHIND = re.compile(r'[.!?…]["”’)]*[ \t]*[&|·•»/\\]')  # no sentence opens so
_MOST_BEHIND = 4  # words


@dataclasses.dataclass(frozen=True)
class Copy:
    """A pair, its faults, and its place among all by faults, score, length and id."""

    ordinal: int
    pair: records.QaPair
    untidy: int
    rank: int


def decide(
    cluster: Sequence[Copy], topics: Collection[str]
) -> tuple[Copy, list[tuple[Copy, str]]]:
    """(the best of near copies, each other copy with the rule by which it lost).

    `topics` are the folded topics of all posts.
    """
    ranked = sorted(cluster, key=lambda copy: copy.rank)
    lost: dict[int, str] = {}
    for copy in ranked[:_COMPARED]:
        for other in ranked[:_COMPARED]:
            rule = loses(copy.pair, other.pair, topics) if other is not copy else ''
            if rule:
                lost[copy.ordinal] = rule
                break
    open_ = [copy for copy in ranked if copy.ordinal not in lost] or ranked
    best = min(open_, key=lambda copy: (_is_flagged(copy.pair), copy.rank))
    return best, [
        (copy, lost.get(copy.ordinal) or _later_rule(copy, best))
        for copy in ranked
        if copy is not best
    ]


def loses(one: records.QaPair, other: records.QaPair, topics: Collection[str]) -> str:
    """The rule of containment by which `one` is the worse copy of the two, or ''."""
    for field in ('answer', 'question'):
        raw = getattr(one, field), getattr(other, field)
        texts = [_without_html(text) for text in raw]
        words = [_words(text) for text in texts]
        cut = [_is_cut_in_word(*each) for each in (words, words[::-1])]
        if any(cut):
            return CUT_SHORT if cut[0] else ''
        if len(words[0]) == len(words[1]):
            if words[0] != words[1]:
                return ''
            markup = [text != left for text, left in zip(raw, texts, strict=True)]
            if markup[0] != markup[1]:
                return RESIDUE if markup[0] else ''
            continue
        is_longer = len(words[0]) > len(words[1])
        more = added(*(texts if is_longer else texts[::-1]))
        if more is None:
            return ''
        shorter = ' '.join(min(words, key=len))
        residue = all(
            _is_residue(*each, topics) or _is_again(each[0], shorter) for each in more
        )
        if is_longer:
            return RESIDUE if residue else ''
        return '' if residue else CUT_SHORT
    return ''


def _is_cut_in_word(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether words are the first ones of others, the last of them in part: 'he kn'.

    Or the last ones of others, the first of them in part.
    """
    last = len(few) - 1
    if not 0 < last < len(many):
        return False
    if few[:-1] == many[:last]:
        return few[-1] != many[last] and many[last].startswith(few[-1])
    whole = many[-len(few)]
    return few[1:] == many[-last:] and few[0] != whole and whole.endswith(few[0])


def is_residue_alone(
    longer: records.QaPair, shorter: records.QaPair, topics: Collection[str]
) -> bool:
    """Whether all that one answer adds to the other is residue."""
    texts = _without_html(longer.answer), _without_html(shorter.answer)
    if _words(texts[0]) == _words(texts[1]):
        return True
    more = added(*texts)
    shorter = ' '.join(_words(texts[1]))
    return bool(more) and all(
        _is_residue(*each, topics) or _is_again(each[0], shorter) for each in more
    )


def is_beginning(longer: records.QaPair, shorter: records.QaPair) -> bool:
    """Whether one answer is the first words of the other, eight or more."""
    few, many = (_words(_without_html(each.answer)) for each in (shorter, longer))
    begins = few == many[: len(few)] or _is_cut_in_word(few, many)
    return begins and _FEWEST_BEGINNING <= len(few) < len(many)


def added(longer: str, shorter: str) -> list[tuple[str, bool, bool]] | None:
    """The parts that the longer text adds; None if it does not contain the shorter.

    The comparison ignores case, blanks and punctuation. It finds one part anywhere,
    parts before and after, or whole lines. A part is (text, whether a line that stays
    goes on before it, and behind it).
    """
    few, many = _words(shorter), _words(longer)
    if not few or len(few) >= len(many):
        return None
    start = stage_ledger.same_start(few, many)
    end = min(stage_ledger.same_start(few[::-1], many[::-1]), len(few) - start)
    if start + end == len(few):
        return [_part(longer, start, len(many) - end)]
    padded = f' {" ".join(many)} '
    at = padded.find(f' {" ".join(few)} ')
    if at >= 0:
        first = padded[:at].count(' ')
        last = first + len(few)
        return [_part(longer, 0, first), _part(longer, last, len(many))]
    return _added_lines(longer, shorter)


def _added_lines(longer: str, shorter: str) -> list[tuple[str, bool, bool]] | None:
    """The lines of the longer text between those of the shorter, in their order."""
    wanted = [line for line in map(folding.folded, shorter.split('\n')) if line]
    more, at = [], 0
    for line in longer.split('\n'):
        if at < len(wanted) and folding.folded(line) == wanted[at]:
            at += 1
        elif line.strip():
            more.append((line, False, False))
    return more if at == len(wanted) else None


def _part(text: str, start: int, end: int) -> tuple[str, bool, bool]:
    """The text from word `start` up to word `end`, without the lines around it.

    The end of the line above stays only if it holds a word, and so does the start of
    the line below.
    """
    places = _places(text)
    left = places[start - 1][1] if start else 0
    right = places[end][0] if end < len(places) else len(text)
    part = text[left:right]
    head, newline, rest = part.partition('\n')
    goes_on = bool(start)
    if start and newline and not _WORD.search(head):
        part, goes_on = rest, False
    before, newline, tail = part.rpartition('\n')
    followed = end < len(places)
    if followed and newline and not _WORD.search(tail):
        part, followed = before, False
    return part, goes_on, followed


def _is_residue(
    part: str, goes_on: bool, followed: bool, topics: Collection[str]
) -> bool:
    """Whether nothing in an added part is somebody's own words."""
    headings = cards = others = 0
    lines = part.split('\n')
    for i, line in enumerate(lines):
        line = line.strip()
        if not _WORD.search(line):
            continue
        is_glued = (goes_on and not i) or (followed and i == len(lines) - 1)
        signs = _SIGNS.match(line)[0] if is_glued else ''
        is_head = followed and not goes_on and len(lines) == 1
        if is_head and (_SPEAKER.fullmatch(line) or _LETTER_OF_ANSWER.fullmatch(line)):
            continue
        if goes_on and not followed and len(lines) == 1 and _SIGNED.fullmatch(line):
            continue
        if not followed and _TOKEN.fullmatch(line):
            continue
        if not (is_glued or followed) and _opens_question(line):
            break  # the rest is the next post
        if _is_furniture(line[len(signs) :]):
            # '… on page | 12' goes on, '… she left. | 12' does not.
            if goes_on and not i and not signs.strip(' ,;:-–—('):
                return False
        elif is_glued:
            is_scrap = _BEHIND.match(line) and len(_words(line)) <= _MOST_BEHIND
            if not (goes_on and is_scrap):
                return False
        elif link_cards.is_preview(line):
            cards += 1
        elif folding.folded(line) in topics:
            continue
        elif _is_heading(line) or residue_lines.asks_as_a_letter(line):
            headings += 1
        else:
            others += 1
            if not link_cards.is_description(line):
                return False
    if cards:
        return headings + others <= link_cards.MOST_LINES
    return headings <= _MOST_HEADINGS and not others


def _is_again(part: str, shorter: str) -> bool:
    """Whether an added part says once more what the other text says."""
    words = _words(part)
    return len(words) >= _FEWEST_AGAIN and f' {" ".join(words)} ' in f' {shorter} '


def _is_furniture(line: str) -> bool:
    """Whether a line is a count, a label, a stamp, a footer, a picture or an 'and'."""
    if line.lower() in _ALONE or chat_grammar.is_left_over(line):
        return True
    if chat_grammar.is_guest_stamp(line):
        return True
    if chat_grammar.is_staff_stamp(line, (), within_text=True):
        return True
    if reddit.is_removed(line) or residue_lines.is_one(line):
        return True
    left, times = cleaning.without_answer_label(line)
    if not times:
        left, times = cleaning.without_question_label(line)
    if not times and (label := label_forms.label_of(line)):
        left, times = line[label.end :], label.word in _TURNS
    return bool(times) and not _WORD.search(left)


def _opens_question(line: str) -> bool:
    """Whether a line is the label of a question with the question behind it."""
    left, times = cleaning.without_question_label(line)
    if not times and (label := label_forms.label_of(line)):
        left, times = line[label.end :], label.word in _TURNS[:-1]
    return bool(times) and bool(_WORD.search(left))


def _is_heading(line: str) -> bool:
    """Whether a line can be a topic: short, opened by a capital, no sentence."""
    first = next((sign for sign in line if sign.isalnum()), '')
    return (
        len(line) <= _LONGEST_HEADING
        and len(line.split()) <= _MOST_HEADING_WORDS
        and not re.match(r'[-*•–—+>]|\d+[.)]', line)
        and (first.isupper() or first.isdigit() or line.lower().startswith('re:'))
        and bool(_LETTER.search(line))
        and line.rstrip('"”’\')*_ ')[-1:] not in tuple('.!?…,;:')
    )


def _is_flagged(pair: records.QaPair) -> bool:
    return not {merged.TOPIC_TAKEN, merged.LINE_TAKEN}.isdisjoint(pair.flags)


def _later_rule(copy: Copy, best_copy: Copy) -> str:
    one, best = copy.pair, best_copy.pair
    if _is_flagged(one) != _is_flagged(best):
        return FLAGGED
    if copy.untidy != best_copy.untidy:
        return LESS_TIDY
    if one.score != best.score:
        return LOWER_SCORE
    return SHORTER if len(one.answer) != len(best.answer) else LATER


@functools.lru_cache(64)
def _without_html(text: str) -> str:
    left = html_text.plain(html_text.without_base64(text)[0])[0]
    if more := _MORE.search(left, max(0, len(left) - _LONGEST_MORE)):
        left = left[: more.start()]  # what a page shows of a text before a click
    return html.unescape(left)  # of what was escaped twice


@functools.lru_cache(256)
def _words(text: str) -> tuple[str, ...]:
    if (words := folding.plain_words(text)) is not None:
        return tuple(words)  # the same, faster
    # No word has a newline, and no character's case depends on its neighbours.
    return tuple('\n'.join(_WORD.findall(text)).casefold().split())


@functools.lru_cache(64)
def _places(text: str) -> list[tuple[int, int]]:
    """The (start, end) of each word, as many as `_words`."""
    return [match.span() for match in _WORD.finditer(text)]
