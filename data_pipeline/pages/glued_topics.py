"""What ends a text and is no part of it: rules, links up, the topic of the next one."""

import collections
import itertools
import re
from collections.abc import Collection, Sequence

from data_pipeline.pages import chat_grammar, chat_speakers, crisis_lines, page

_SIGNATURE = 3  # answers that end in the same line
_SIGNATURE_SHARE = 0.25  # of all answers: no topic comes so often
_AGAIN_SHARE = 0.5  # the same where all other answers end like topics
_TOPIC_SHARE = 0.6  # of the answers that must end like a topic before any does
_NEARLY_ALL = 0.9  # the same of headlines where no text is above the first pair
_MANY = 10  # topics of a file, each there once
_MOST_DOUBTFUL_WORDS = 8  # of a sentence that may be a topic
_DOUBT_SHARE = 0.05  # of the answers that end in topics where others may
LONGEST = 100  # characters
_MOST_TOPIC_WORDS = 14
_SHORTEST_TITLE = 4  # in capitals
# A sentence with a bracket, a count, a smiley or a tag behind it: 'Leave. 44 Likes'.
_ENDED = re.compile(
    r'(?<!\.)\.["”’]?\)$|'
    r'[.!?…]["”’)]{0,2}\s\d[\d,.]{0,9}[kKmM]?(?:\s(?:likes?|upvotes?|points?))?$'
    r'|(?<!\.)\.["”’)]{0,2}(?:\s[^\w\s](?:3|\W){0,9}|\s?</?[a-z]{1,6}\s?/?>)$',
    re.IGNORECASE,
)
_PART = re.compile(r'[-*•]\s|\(?[\da-z]{1,3}[.)]\s|Step \d|[>|`]')
_NUMBERS = re.compile(r'\d+')
_LINK = re.compile(r'https?://|\bwww\.')
_POSTSCRIPT = re.compile(r'p\.? ?s\b', re.IGNORECASE)
_CLOSING = re.compile(
    r'(?:all the|always|best|blessings|cheers|congrat\w*|fondly|good luck|god bless'
    r'|hang in|happy|hugs|kind|love|many thanks|much love|peace|regards|sending'
    r'|sincerely|so sorry|take care|thanks?|thinking of|warm\w*|wishing|with|xo\w*'
    r'|yours?)\b',
    re.IGNORECASE,
)
# The whole of a line in capitals that ends a letter.
_FAREWELL = re.compile(
    r'(?:good luck|god bless(?: you)?|take care|thanks?|thank you|sincerely|love|hugs'
    r'|xo\w*|(?:best |kind |warm )?(?:regards|wishes)|yours(?: truly)?|always|cheers'
    r'|the end|amen)\W*(?:[,–—-]+\s*\w+)?',
    re.IGNORECASE,
)
# A place for links, a break, or a link up, alone on a line.
_TAGS = re.compile(
    r'<(?:/?(?:a|p|div|b|br|center|sup|small|img)\b[^<>]*|/?br\s?/?)>', re.I
)
_LINK_UP = re.compile(r'\[([^\]]{1,40})\]\(#[^)\s]*\)|([^\[\]]{1,40})')
UP = re.compile(r'\b(?:back|top|up|contents?|toc|index)\b|[↑⬆⇧▲🔝]', re.IGNORECASE)
# What opens a line of whose rights they are.
RIGHTS = r'(?:©|&copy;|\(c\) ?\d|copyright (?:©|\(c\)|\d{4}))'
# What a site puts below a text: a sign, a date, links in a row, a wiki's category,
# marks of kramdown, of MDX and of reStructuredText.
_OF_SITE = re.compile(
    rf'[*_]{{0,2}}{RIGHTS}.{{0,150}}'
    r'|[*_]{0,2}(?:this page (?:was )?)?last (?:updated|modified|reviewed|edited)\b'
    r'(?=.*\d).{2,40}'
    r'|\[[^\[\]]+\]\([^()]+\)(?:\s*[|·•]\s*\[[^\[\]]+\]\([^()]+\))+'
    r'|\[\[(?:category|kategorie|catégorie|categoría|categoria|категория):[^\[\]]+\]\]'
    r'|\.\. _[^:\n]{1,60}:|__ (?:https?://|mailto:|[\w./-]+#)\S+'
    r'|\{:[^{}]*\}|export default [\w.()]+;?'
    r'|page \d{1,4} of \d{1,4}'
    r'|(?:return|(?:go )?back) to (?:the )?(?:\S+ ){0,6}'
    r'(?:home ?page|main page|contents|index|top)\.?',
    re.IGNORECASE,
)
# What stands before a title in contents, and before the title itself.
_ITEM_SIGN = re.compile(
    r'\A[\s>*•·+-]*(?:o\s+)?(?:\d{1,3}(?:\.\d{1,3}){0,3}[.):]?\s+)?'
)
_TITLE = re.compile(r'\s{0,3}={2,6}\s+\w|(={1,6})\s*\w[^=]*\1\s*\Z')  # a wiki's too
_RESULT = re.compile(r'####\s[-−$£€]*\d[\d.,]*\s?%?\s*')  # of a sum: GSM8K's answers
_UNDERLINED = re.compile(r'\w.{0,78}(?<![.!?:,;…])')


def lines(answers: Sequence[Sequence[page.Piece]]) -> dict[int, page.Piece]:
    """The last line, by the answer's place, of each answer that ends in a topic.

    An answer below which no other post stands is given as [], but the file's last one.

    In a file where most answers end in a short line without a full stop, that is the
    layout: each is a topic. Elsewhere it must look like one by itself, since one such
    line may be the answer's own. A line that ends three answers or more is a signature,
    unless it may be a topic that comes again, or stands below counts of likes. The last
    answer of a file of topics loses a line that looks like one by itself: the next post
    is in another file.
    """
    ends = {i: _last_lines(answer) for i, answer in enumerate(answers[:-1]) if answer}
    times = collections.Counter(last.clean.lower() for last, _ in ends.values())
    below_count = _below_counts(answers)
    times.subtract(ends[i][0].clean.lower() for i in below_count if i in ends)
    once = [each for each in ends.values() if times[each[0].clean.lower()] < _SIGNATURE]
    named = sum(_ends_like_topic(*each) for each in once)
    share = _AGAIN_SHARE if _SIGNATURE <= len(once) == named else _SIGNATURE_SHARE
    most = max(_SIGNATURE, share * len(ends))
    # A topic would stand below a signature: 'Anonymous' is one.
    are_topics = named >= max(_MANY, _NEARLY_ALL * len(once))
    ends = {
        i: (last, above)
        for i, (last, above) in ends.items()
        if (count := times[last.clean.lower()]) < _SIGNATURE
        or (count < most and (are_topics or _may_come_again(last.clean)))
    }
    ending = {i: each for i, each in ends.items() if _ends_like_topic(*each)}
    if len(ending) < max(2, _TOPIC_SHARE * len(ends)):
        ending = {
            i: (last, above)
            for i, (last, above) in ending.items()
            if times[last.clean.lower()] < _SIGNATURE and _is_topic(last, above)
        }
    elif answers[-1] and _is_topic(*(closing := _last_lines(answers[-1]))):
        ending[len(answers) - 1] = closing
    found = below_count | {i: last for i, (last, _) in ending.items()}
    return found | _closing(answers, found)


def doubtful(
    answers: Sequence[Sequence[page.Piece]], found: dict[int, page.Piece]
) -> list[page.Piece]:
    """The last lines that may be topics too, of a file of topics that `lines` found.

    Where nearly all answers end in one, a short sentence may be one too: 'Boise, Id.'
    """
    if len(found) < _DOUBT_SHARE * len(answers):
        return []
    below = [i for i, answer in enumerate(answers[:-1]) if answer]
    is_rule = len(found) >= _NEARLY_ALL * len(below)
    ends = [_last_lines(answers[i]) for i in below if i not in found]
    times = collections.Counter(last.clean.lower() for last, _ in ends)
    return [
        last
        for last, above in ends
        if (times[last.clean.lower()] < _SIGNATURE or is_rule)
        and above.clean.endswith(chat_grammar.SENTENCE_ENDS)
        and _may_stand_alone(last)
        and (
            _ends_like_topic(last, above)
            or (is_rule and len(last.clean.split()) <= _MOST_DOUBTFUL_WORDS)
        )
        and not _CLOSING.match(last.clean)
    ]


def headlines(
    answers: Sequence[Sequence[page.Piece]], *, is_first_named: bool
) -> dict[int, page.Piece]:
    """The last line, by the answer's place, of each answer that ends in a headline.

    It belongs to the next pair. Most answers of the file end in one, and nearly all if
    no text is above the first pair (`is_first_named` is false): a short line below a
    blank one and the end of a sentence, and unlike all others.
    """
    ends = {i: _last_lines(answer) for i, answer in enumerate(answers[:-1]) if answer}
    times = collections.Counter(last.clean.lower() for last, _ in ends.values())
    found = {
        i: last
        for i, (last, above) in ends.items()
        if times[last.clean.lower()] == 1
        and last.line - above.line > 1
        and above.clean.endswith(chat_grammar.SENTENCE_ENDS)
        and _ends_like_topic(last, above)
    }
    share = _TOPIC_SHARE if is_first_named else _NEARLY_ALL
    if len(found) < max(2, share * len(ends)):
        return {}
    return found | _closing(answers, found)


def capitals(
    above: str, answers: Sequence[Sequence[page.Piece]]
) -> dict[int, page.Piece]:
    """The last line, by the answer's place, of each that ends in a section's title.

    Titles are in capitals and apart from the text; one stands `above` the first pair,
    and none comes twice.
    """
    ends = {i: _last_lines(answer) for i, answer in enumerate(answers[:-1]) if answer}
    found = {
        i: last
        for i, (last, text) in ends.items()
        if text.clean and last.line - text.line > 1 and _is_in_capitals(last.clean)
    }
    titles = [above.lower().strip(), *(last.clean.lower() for last in found.values())]
    is_one = _is_in_capitals(above) and len(set(titles)) == len(titles)
    return found if is_one else {}


def of_contents(
    above: Collection[str], answers: Sequence[Sequence[page.Piece]]
) -> dict[int, list[page.Piece]]:
    """The lines, by the answer's place, of each that ends in titles of sections.

    Each title is apart from the text and stands in the page's contents too: `above` has
    the lines of the page that are in no answer. One word alone is one where another is.
    """
    known = {_folded_title(line) for line in above} - {''}
    found: dict[int, list[page.Piece]] = {}
    for i, answer in enumerate(answers[:-1]):
        filled = [piece for piece in answer if piece.kind == page.ANSWER]
        filled = [piece for piece in filled if piece.clean]
        titles = itertools.takewhile(
            lambda pair: (
                pair[1].line - pair[0].line > 1
                and _folded_title(pair[1].clean) in known
                and not pair[1].is_code
            ),
            reversed([*itertools.pairwise(filled)]),
        )
        if own := [below for _, below in titles]:
            found[i] = own
    different = {_folded_title(each.clean) for own in found.values() for each in own}
    return found if len(different) > 1 or any(' ' in each for each in different) else {}


def _folded_title(line: str) -> str:
    """A line in small letters without its number; '' for one that is no title."""
    bare = _ITEM_SIGN.sub('', line).strip().lower()
    is_title = len(bare) >= _SHORTEST_TITLE and len(line.strip()) <= LONGEST
    return bare if is_title and bare[-1] not in '.!,;:' else ''


def _is_in_capitals(line: str) -> bool:
    line = line.strip()
    return (
        line.isupper()
        and _SHORTEST_TITLE <= len(line) <= LONGEST
        and line[-1] not in '.!?…,;:"”'
        and not _FAREWELL.fullmatch(line)
    )


def _closing(
    answers: Sequence[Sequence[page.Piece]], found: dict[int, page.Piece]
) -> dict[int, page.Piece]:
    """The file's last line, if it differs from most lines `found` in numbers alone.

    'Page 9 of 9' below 'Page 8 of 9', 'Posted on 3 May' below 'Posted on 1 May'
    """
    if not answers or not found:
        return {}
    last, above = _last_lines(answers[-1])
    form, times = _NUMBERS.subn('0', last.clean)
    alike = sum(_NUMBERS.sub('0', each.clean) == form for each in found.values())
    is_one = above.clean and times and 2 * alike >= max(4, len(found))
    return {len(answers) - 1: last} if is_one else {}


def is_closing(line: str) -> bool:
    """Whether a line opens as those that end a letter: 'Love, Ann', 'Take care.'"""
    return bool(_CLOSING.match(line))


def _may_come_again(line: str) -> bool:
    """Whether a line that ends several answers may be a topic, as 'Wedding woes' is.

    So is the name of nobody: a guest's, and no signature.
    """
    is_one = len(line.split()) > 1 or line.lower() == 'anonymous'
    return is_one and not (_CLOSING.match(line) or chat_speakers.NAME.fullmatch(line))


def _last_lines(answer: Sequence[page.Piece]) -> tuple[page.Piece, page.Piece]:
    """(the last line, the one above it) of an answer's text, without counts of likes.

    Counts are left to the stage `clean`, which cuts them in every layout.
    """
    filled = [piece for piece in answer if piece.kind == page.ANSWER and piece.clean]
    nothing = page.Piece(0, '', '')
    text = [piece for piece in filled if not chat_grammar.is_left_over(piece.clean)]
    above, last = [nothing, nothing, *text][-2:]
    return last, above


def _below_counts(answers: Sequence[Sequence[page.Piece]]) -> dict[int, page.Piece]:
    """The last line, by the answer's place, of each that ends below a count of likes.

    Below '12 Likes', or in a file of counts, it is the next post's topic, whatever it
    looks like.
    """
    found: dict[int, page.Piece] = {}
    counts = 0
    named = False
    for i, answer in enumerate(answers):
        filled = [e for e in answer if e.kind == page.ANSWER and e.clean]
        counts += len(filled) > 1 and _is_count(filled[-1])
        while filled and chat_grammar.is_left_over(filled[-1].clean):
            filled.pop()
        if len(filled) > 2 and _is_count(filled[-2]) and _may_stand_alone(filled[-1]):
            found[i] = filled[-1]
            named = named or 'like' in filled[-2].clean.lower()
    return found if named or counts + len(found) >= _SIGNATURE else {}


def open_counts(answers: Sequence[Sequence[page.Piece]]) -> list[page.Piece]:
    """The counts of likes below text that ends no sentence, in a file of counts.

    The stage `clean` cuts the others; it sees one answer alone, which may end in a
    number of its own.
    """
    ends = [
        filled[-2:]
        for answer in answers
        if len(filled := [e for e in answer if e.kind == page.ANSWER and e.clean]) > 1
        and _is_count(filled[-1])
    ]
    if len(ends) < max(_SIGNATURE, page.FEW * len(answers)):
        return []
    own = (*chat_grammar.SENTENCE_ENDS, ':', ',')
    return [count for above, count in ends if not above.clean.endswith(own)]


def _is_count(piece: page.Piece) -> bool:
    return chat_grammar.is_number(piece.clean) and not crisis_lines.is_one(piece.clean)


def _may_stand_alone(piece: page.Piece) -> bool:
    line = piece.clean
    return len(line) <= LONGEST and not page.is_rule(line) and not _PART.match(line)


def _ends_like_topic(last: page.Piece, above: page.Piece) -> bool:
    """Whether the last line is short, without a full stop, and text is above it."""
    line = last.clean
    return bool(above.clean) and (
        any(map(str.isalpha, line))
        and len(line) <= LONGEST
        and line[-1] not in '.,'
        and not _ENDED.search(line)
        and not _LINK.search(line)
        and not page.is_rule(line)
        and not _goes_on(line, above.clean)
    )


def _goes_on(line: str, above: str) -> bool:
    """Whether a line belongs to the one above it, as a list's item does."""
    if _PART.match(line):
        return bool(_PART.match(above)) or above.endswith(':') or line[0] in '>|`'
    is_apart = above.endswith(chat_grammar.SENTENCE_ENDS) or page.is_rule(above)
    is_reply = line.lower().startswith('re:')
    if _POSTSCRIPT.match(line) or crisis_lines.is_named(line):
        return True
    return not (is_apart or is_reply or not line[0].islower())


def _is_topic(last: page.Piece, above: page.Piece) -> bool:
    """Whether the last line is a topic, no sentence, closing, name or list's part."""
    line = last.clean
    ends = chat_grammar.SENTENCE_ENDS
    is_apart = above.clean.endswith(ends) or page.is_rule(above.clean)
    is_sentence = line.rstrip('"”’»\')*_').endswith(tuple('.!?…,;:'))
    if not is_apart or is_sentence or page.is_rule(line):
        return False
    is_reply = line.lower().startswith('re:')
    return is_reply or bool(
        2 <= len(line.split()) <= _MOST_TOPIC_WORDS
        and (line[0].isupper() or line[0] in '"“‘')
        and not _CLOSING.match(line)
        and not chat_speakers.NAME.fullmatch(line)
    )


def end_text(pieces: Sequence[page.Piece], kind: str) -> str:
    """Marks the rules, headings and links up that end a text of a kind.

    The last of the headings is given, the next text's topic; '' for none. A rule that
    opens a text and is the only one of it is marked too: it stands below its heading.
    """
    topic = ''
    filled = [piece for piece in pieces if piece.kind == kind and piece.text.strip()]
    rules = [each for each in filled if page.is_rule(each.text)]
    if len(rules) == 1 and rules[0] is filled[0] and not filled[0].is_code:
        filled.pop(0).kind = 'rule'
    below: page.Piece | None = None
    for above, piece in reversed([*itertools.pairwise(filled)]):
        rule, below = below, piece
        if not piece.is_code and page.is_rule(piece.text):
            piece.kind = 'rule'
        elif rule and _is_underlined(above, piece, rule):
            piece.kind = 'topic'
            topic = topic or piece.text
        elif not piece.is_code and _is_way(piece.text):
            piece.kind = 'navigation'
        elif above.line + 1 == piece.line and above.text.rstrip().endswith(':'):
            break  # '# reboot' below 'Run this command:' is no heading
        elif above.line + 1 == piece.line and _RESULT.fullmatch(piece.text):
            break
        elif not piece.is_code and (
            page.HEADING.match(piece.text) or _TITLE.match(piece.text)
        ):
            piece.kind = 'topic'
            topic = topic or piece.text
        else:
            break
    return topic.strip('#=* ')


def without_site(text: str) -> str:
    """A text without the last lines that are a site's: 'Last modified 3 May 2024'."""
    lines = text.split('\n')
    while len(lines) > 1 and (not lines[-1].strip() or _OF_SITE.fullmatch(lines[-1])):
        lines.pop()
    return '\n'.join(lines)


def _is_underlined(above: page.Piece, piece: page.Piece, rule: page.Piece) -> bool:
    """Whether a line is a title, by the rule below it.

    It is apart from the text above it, and its rule is as long as it is, or as its
    words above the rule: '1. TITLE' with five '=' below TITLE. Or rules are around it.
    """
    line, under = piece.text.strip(), rule.text.strip()
    is_between = above.text.strip() == under and page.is_rule(under)
    if rule.kind != 'rule' or not _UNDERLINED.fullmatch(
        line.removesuffix(':') if is_between else line
    ):
        return False
    if page.is_rule(above.text):
        return len(line) <= LONGEST
    start = len(rule.text) - len(rule.text.lstrip())
    words = piece.text[start:].strip() if start else line
    return (
        above.line + 1 < piece.line == rule.line - 1
        and len(under) >= 4
        and under[0] in '=-~^#*+'
        and min(abs(len(under) - len(each)) for each in (line, words)) <= 2
    )


def _is_way(line: str) -> bool:
    """Whether a line is a place for links, a break, a link up the page, or a site's.

    '<a name="q7"></a>', '<br>', '**[⬆ Back to Top](#contents)**', '© 2024 Ann'
    """
    if _OF_SITE.fullmatch(line.strip()):
        return True
    bare = _TAGS.sub('', line).strip(' \t*_|>-')
    if not bare:
        return '<' in line
    link = _LINK_UP.fullmatch(bare)
    is_link = link is not None and (link[1] or 'href="#' in line)
    return bool(is_link and UP.search(bare))
