"""The labels that open lines: of questions, of answers and of a set's sections.

'Q: Why? A: So.'      two labels, where an answer's is not the next
'## Question'         a heading; '**Answer**' alone in its line
'Q. Why?'             only where a file's labels are of this form, as are the next:
'[QUESTION] Why?'     in brackets, alone in its line or not
'Question'            alone in its line, with a capital
'Q - Why?'            also Question -
'<question>Why?</question><answer>So.</answer>'
'Pregunta: ¿Por qué?' in other languages
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence

from data_pipeline.pages import oversample_marks, page

_ASKED = (
    *('question', 'q', 'ques', 'prompt', 'instruction', 'user', 'human', 'letter'),
    *('reader', 'asker', 'input', 'pregunta', 'frage', 'domanda', 'pergunta', 'vraag'),
    *('query', 'problem', 'client', 'patient', 'customer', 'p', 'd', 'f', 'v'),
    *('вопрос', '问', '問', '问题', '問題', '質問', '질문'),
)
_ANSWERED = (
    *('answer', 'a', 'ans', 'response', 'reply', 'completion', 'output', 'assistant'),
    *('ai', 'bot', 'advice', 'columnist', 'respuesta', 'réponse', 'antwort'),
    *('risposta', 'resposta', 'antwoord', 'ответ', '答', '答案', '回答', '답변'),
    *('solution', 'therapist', 'counselor', 'doctor', 'agent', 'expert', 'r'),
)
# Letters of a question's label, and those of its answer's: 'P:' and 'R:' in Spanish,
# 'D:' in Italian, 'F:' in German, 'V:' in Dutch. They count as capitals alone.
_ANSWERS_OF = {'q': 'ar', 'p': 'r', 'd': 'r', 'f': 'a', 'v': 'a'}
# Forms of labels that count by themselves: a label's word ends in its form.
_FORMS = (_DOT, _DASH, _BRACKET, _BARE) = '.', ' -', ']', ' alone'
_BARE_WORDS = ('question', 'answer', 'prompt', 'response')
QUESTIONS, ANSWERS = (
    (*words, *(word + form for word in words for form in _FORMS))
    for words in (_ASKED, _ANSWERED)
)
REVISED, DRAFT = 'revised_response', 'draft_response'
STRAY = 'stray'  # a label within a text
CLOSING_TAG = 'closing tag'
SECTIONS = (DRAFT, 'score', 'strengths', 'weaknesses')
_CLOSING = (*ANSWERS, REVISED, *SECTIONS)  # labels that end a question
_NUMBER = r'(?:[ _]?(?:#|no\.? ?)?\d{1,6})?'
_CAPITALS = 'pdfvr'
_SPELLED = sorted({*_ASKED, *_ANSWERED}.difference(_CAPITALS), key=len, reverse=True)
_WORDS = '|'.join(_SPELLED)
_SET_WORDS = '|'.join(word.replace('_', '[ _]') for word in (REVISED, *SECTIONS))
_BULLET = r'\s{0,3}(?:>\s?){0,3}(?:[-+•*]\s+|\(?\d{1,6}[.)]\s+)?'
_COLON = re.compile(
    rf'{_BULLET}(?P<hashes>#{{0,6}})\s{{0,3}}(?P<bold>[*_]{{1,3}})?(?:\d{{1,6}}[.)]\s+)?'
    rf'\[?(?P<word>{_WORDS}|{_SET_WORDS}|(?-i:[{_CAPITALS.upper()}])){_NUMBER}\]?'
    r'[*_]{0,3}\s?[:：]'
    r'(?(bold)[*_]{0,3})[ \t]?',
    re.IGNORECASE,
)
# 'A. One' may be a choice: these count only where a file's labels are of this form.
_DOTTED = re.compile(
    rf'{_BULLET}(?P<bold>[*_]{{0,3}})(?:(?P<word>[QA])\d{{0,6}}[.)]'
    r'|(?P<dashed>[QA]|Question|QUESTION|Answer|ANSWER)[ \d]{1,6}(?:--?|[–—]))'
    r'[*_]{0,3}\s+'
)
_BRACKETED = re.compile(
    r'\s{0,3}(?P<hashes>#{0,6})\s{0,3}(?P<bold>[*_]{1,3})?'
    rf'[\[<](?P<word>{_WORDS}){_NUMBER}[]>](?(bold)[*_]{{0,3}})[ \t]*',
    re.IGNORECASE,
)
_ALONE_BARE = re.compile(
    rf'\s{{0,3}}(?P<word>{"|".join(_BARE_WORDS)}){_NUMBER}\s*', re.IGNORECASE
)
# Without a colon only where the label is all of the line: a heading, or in bold.
_ALONE = re.compile(
    rf'\s{{0,3}}(?:(?P<hashes>#{{1,6}})\s{{0,3}}[*_]{{0,3}}|[*_]{{2,3}})'
    rf'(?:\d{{1,6}}[.)]\s+)?(?P<word>{_WORDS}|{_SET_WORDS}){_NUMBER}[*_]{{0,3}}[:：]?'
    r'[*_]{0,3}\s*#*\s*',
    re.IGNORECASE,
)
_INLINE = re.compile(
    r'(?<=\s)[*_]{0,3}(?P<word>A|Ans|Answer|Response|Respuesta|Réponse|Antwort|Risposta'
    r'|Resposta|Antwoord|Ответ|答|回答)[*_]{0,3}\s?(?::[*_]{0,3}\s|：)',
    re.IGNORECASE,
)
# Labels within a line: a question's behind the end of a sentence alone.
_IN_ONE_LINE = re.compile(
    r'(?:^|(?<=[.!?…"”’)]\s))(?P<asked>Q|Question|QUESTION):\s'
    r'|(?<=\s)(?P<answered>A|Answer|ANSWER):\s'
)
_ONE_LINE_WORDS = (('q', 'a'), ('question', 'answer'))
_TAGS = '(?:question|answer|prompt|response|user|assistant)'
_TAG = re.compile(rf'(?=<{_TAGS}>)|</{_TAGS}>', re.IGNORECASE)
_CLOSES_TEXT = re.compile(rf'\s*</{_TAGS}>\s*$', re.IGNORECASE)
_TAGGED = re.compile(
    r'^[ \t]*<(question|prompt|user)>[^<]*(?:<(?!/?\1>)[^<]*)*</\1>\s*'
    r'<(?:answer|response|assistant)>',
    re.IGNORECASE | re.MULTILINE,
)
_IN_SETS = re.compile(
    r'(?<=\s)(?:DRAFT[ _]RESPONSE|SCORE|STRENGTHS|WEAKNESSES|REVISED[ _]RESPONSE):'
)


@dataclasses.dataclass(frozen=True)
class Label:
    """A label at the head of a line: its word, its end, and a heading's level or 0.

    `sign` is '#' of a heading, '*' or '_' of bold, '' of a plain one; of a word in
    capitals it ends in '^'. `look` is 'inline' of an answer's in its question's line,
    'small' where a small letter follows, '' of others. `is_odd` says that the look is
    that of few labels of the file, so the label may be a word of a text.
    """

    word: str
    end: int
    level: int
    sign: str = ''
    look: str = ''
    is_odd: bool = False


def lines(text: str) -> tuple[list[page.Piece], list[Label | None]]:
    """The lines, and the label of each; an answer in its question's line is cut off.

    'Q: Why? A: So.' -> 'Q: Why? ' and 'A: So.', unless an answer's label is the next.
    """
    pieces: list[page.Piece] = []
    labels: list[Label | None] = []
    following = ''
    whole = oversample_marks.split(page.raw_lines(text))
    is_tagged = '</' in text and _TAGGED.search(text)
    parted = _by_tags if is_tagged else _sections
    lines = [part for piece in whole for each in parted(piece) for part in _pairs(each)]
    for piece in reversed(lines):
        is_text = piece.kind == page.UNKNOWN and not piece.is_code
        label = _label(piece.text) if is_text else None
        is_open = label and label.word in QUESTIONS and following not in _CLOSING
        if is_open and (start := _inline_answer(piece.text, label)):
            ends = [(start, piece.kind), (len(piece.text), piece.kind)]
            piece, answer = piece.cut(ends)
            pieces.append(answer)
            labels.append(_labelled_inline(answer.text))
        following = label.word if label else following
        pieces.append(piece)
        labels.append(label)
    return pieces[::-1], labels[::-1]


def _pairs(piece: page.Piece) -> list[page.Piece]:
    """A line of several questions, each with its answer behind it, cut before each.

    'Q: Why? A: So. Q: Who? A: Tom.' -> 'Q: Why? A: So. ', 'Q: Who? A: Tom.'
    """
    is_text = piece.kind == page.UNKNOWN and not piece.is_code
    found = (
        [*_IN_ONE_LINE.finditer(piece.text)] if is_text and ': ' in piece.text else []
    )
    words = [(match['asked'] or match['answered']).lower() for match in found]
    pair = next((pair for pair in _ONE_LINE_WORDS if words[:2] == [*pair]), None)
    if not pair or len(words) < 4 or words != [*pair] * (len(words) // 2):
        return [piece]
    starts = [match.start() for match in found[2::2]]
    return piece.cut((end, piece.kind) for end in (*starts, len(piece.text)))


def _by_tags(piece: page.Piece) -> list[page.Piece]:
    """A line cut before tags that open a text; those that close one are labels."""
    ends: list[tuple[int, str]] = []
    for tag in _TAG.finditer(piece.text if not piece.is_code else ''):
        ends += [(tag.start(), piece.kind), (tag.end(), CLOSING_TAG)]
    parts = piece.cut([*ends, (len(piece.text), piece.kind)])
    return [part for part in parts if part.text] or parts


def _sections(piece: page.Piece) -> list[page.Piece]:
    """The sections of a set that stands on one line; else the piece itself.

    'QUESTION: Why? SCORE: 3 REVISED_RESPONSE: So.' -> 'QUESTION: Why? ', 'SCORE: 3 ', …
    """
    starts: dict[str, int] = {}
    if 'REVISED' in piece.text and not piece.is_code and _label(piece.text):
        for match in _IN_SETS.finditer(piece.text):
            starts.setdefault(match[0].replace(' ', '_'), match.start())
    if f'{REVISED.upper()}:' not in starts:
        return [piece]
    # A label may stand in the revised response, which is the last section.
    last = starts[f'{REVISED.upper()}:']
    ends = sorted(start for start in starts.values() if start <= last)
    return piece.cut([(end, piece.kind) for end in (*ends, len(piece.text))])


def _inline_answer(line: str, question: Label) -> int:
    """The start of an answer's label in its question's line, 0 for none.

    One as long as the question's comes first: 'Question: Is A: true? Answer: No.'
    """
    found = [*_INLINE.finditer(line, question.end)]
    is_letter = len(question.word) - len(_form(question.word)) == 1
    found.sort(key=lambda match: (len(match['word']) == 1) != is_letter)
    return found[0].start() if found else 0


def _label(line: str) -> Label | None:
    form = ''
    match = _ALONE.fullmatch(line) or _COLON.match(line)
    if not match and (match := _DOTTED.match(line)):
        form = _DASH if match['dashed'] else _DOT
    elif not match and (match := _BRACKETED.match(line)):
        form = _BRACKET
    elif not match and line.strip()[:1].isupper():
        match, form = _ALONE_BARE.fullmatch(line), _BARE
    if not match:
        return None
    given = match['word'] or match['dashed']
    word = given.lower().replace(' ', '_') + form
    hashes = match.groupdict().get('hashes') or ''
    opens = line[: line.index(given)].lstrip('-+•> \t')[:1]
    sign = '#' if hashes else opens if opens in ('*', '_') else ''
    sign += '^' if len(given) > 1 and given.isupper() else ''
    look = 'small' if line[match.end() :].lstrip('"“‘\'*_ ')[:1].islower() else ''
    return Label(word, match.end(), len(hashes), sign, look)


def open_both(question: str, answer: str) -> bool:
    """Whether labels of one form open both texts: 'Frage: Warum?', 'Antwort: Darum.'"""
    asked, answered = map(_head, (question, answer))
    return (
        asked is not None
        and answered is not None
        and asked.word in QUESTIONS
        and (_answers(answered.word, asked.word) or answered.word == REVISED)
        and _are_alike(asked.word, answered.word)
    )


def without_head(text: str) -> tuple[str, int]:
    """A text without the label that opens it and the tag that closes it; their number.

    '<question>Why?</question>' -> 'Why?'
    """
    label = _head(text)
    if not label:
        return text, 0
    left, times = _CLOSES_TEXT.subn('', text[label.end :])
    return left.strip(), 1 + times


def _head(text: str) -> Label | None:
    return _label(text.partition('\n')[0])


def _labelled_inline(line: str) -> Label | None:
    label = _label(line)
    return dataclasses.replace(label, look='inline') if label else None


def _form(word: str) -> str:
    return next((form for form in _FORMS if word.endswith(form)), '')


def _are_alike(asked: str, answered: str) -> bool:
    """Whether labels are of one form; below 'Q.' newspapers print 'A:' too."""
    if (asked, answered) == (f'q{_DOT}', 'a'):
        return True
    return _form(asked) == _form(answered)


def _answers(word: str, asked: str) -> bool:
    """Whether a word labels answers to questions of a label: 'r' those of 'p'."""
    letters = _ANSWERS_OF.get(asked.removesuffix(_form(asked)), '')
    bare = word.removesuffix(_form(word))
    if bare in ('a', 'r'):
        return bare in (letters or 'a')
    return word in ANSWERS and letters in ('', _ANSWERS_OF['q'])


def others(pieces: Iterable[page.Piece]) -> list[page.Piece]:
    """The lines within one text that may begin a pair by labels of another form.

    'Frage: Warum?' with 'Antwort: Darum.' below it, in a file of 'QUESTION:'.
    """
    found = []
    asked: tuple[page.Piece, str] | None = None
    for piece in pieces:
        is_text = piece.kind in (page.QUESTION, page.ANSWER)
        label = _label(piece.text) if is_text and not piece.is_code else None
        if label and label.word in QUESTIONS:
            asked = piece, label.word
        elif label and asked and _form(asked[1]) == _form(label.word):
            found += [asked[0]] if _answers(label.word, asked[1]) else []
            asked = None
        elif piece.kind == 'label':  # the file's own: another text begins
            asked = None
    return found


def words(labels: Sequence[Label]) -> tuple[str, str]:
    """The words of questions and of answers: the commonest neighbours, '' for none.

    Neighbours are a question's label and an answer's that is the next of any answer.
    """
    if any(label.word == REVISED for label in labels):
        asked = [label.word for label in labels if label.word in QUESTIONS]
        return (asked[0] if asked else ''), REVISED
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    asked = ''
    for label in labels:
        if label.word == 'input' and asked:
            continue  # it belongs to the instruction above it
        if label.word in QUESTIONS:
            asked = label.word
        elif not _are_alike(asked, label.word):
            continue
        elif asked and _answers(label.word, asked):
            counts[asked, label.word] += 1
            asked = ''
    return max(counts, key=lambda pair: counts[pair]) if counts else ('', '')


def _without_rare_sections(labels: list[Label | None]) -> list[Label | None]:
    forms = collections.Counter(
        (label.word, label.sign) for label in labels if label and label.word in SECTIONS
    )
    return [
        dataclasses.replace(label, word=STRAY)
        if label
        and label.word in SECTIONS
        and any(
            times > forms[label.word, label.sign]
            for (word, _), times in forms.items()
            if word == label.word
        )
        else label
        for label in labels
    ]


def without_strays(
    labels: list[Label | None], words: tuple[str, str]
) -> list[Label | None]:
    """The labels; those within a text of a pair get the word `STRAY`.

    Labels are headings, bold, plain, in capitals: the commonest form is a file's. Below
    '## Answer' a line 'Question: who pays?' is text if no answer follows it, as it is
    between '## Question' and '## Answer'. Those of a look that few have are of a rarer
    form too, and odd where they part a pair. A section of a set is one in its commonest
    form alone: 'Score: 5, as they say' is text where others are 'SCORE: 5'.
    """
    if words[1] == REVISED:
        labels = _without_rare_sections(labels)
    own = [label for label in labels if label and label.word in words]
    forms = collections.Counter((label.word, label.sign) for label in own)
    looks = collections.Counter((label.word, label.look) for label in own)
    times = collections.Counter(label.word for label in own)

    def is_odd(label: Label) -> bool:
        few = page.FEW * times[label.word]
        return bool(label.look) and looks[label.word, label.look] < few

    def is_other(label: Label) -> bool:
        of_word = [times for (word, _), times in forms.items() if word == label.word]
        return forms[label.word, label.sign] < max(of_word)

    def is_rare(label: Label) -> bool:
        return is_odd(label) or is_other(label)

    def is_stray_answer(label: Label, before: Label) -> bool:
        # A second answer, or one to a question that is of another form too.
        if before.word == label.word:
            return is_odd(label)
        return all(is_odd(each) and is_other(each) for each in (before, label))

    made = [*labels]
    at = [i for i, label in enumerate(labels) if label and label.word in words]
    following: Label | None = None
    for place in reversed(range(len(at))):
        label = labels[at[place]]
        before = labels[at[place - 1]] if place else None
        is_question = label.word == words[0]
        if not is_question and before is not None and is_stray_answer(label, before):
            is_within = True
        elif following is None:
            is_within = is_question
        elif following.word == label.word:
            is_within = True
        else:
            opens_again = before is not None and before.word == label.word
            is_within = is_question and opens_again and not is_rare(following)
        if is_within and is_rare(label):
            made[at[place]] = dataclasses.replace(label, word=STRAY)
        else:
            made[at[place]] = dataclasses.replace(label, is_odd=is_odd(label))
            following = label
    return made
