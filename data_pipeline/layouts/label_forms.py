"""One label that opens a line: its word, its form, and what answers it.

'Q: Why? A: So.'      two labels, where an answer's is not the next
'## Question'         a heading; '**Answer**' alone in its line
'Q. Why?'             only where a file's labels are of this form, as are the next:
'[QUESTION] Why?'     in brackets, alone in its line or not
'Question'            alone in its line, with a capital
'Q - Why?'            also Question -
'Q1 Why?'             a letter and a number, in front of a capital
'Q.1 Why?', 'Ans. So' with a number of an exam, or abbreviated: 'Que 1:', 'Sol.'
'<question>Why?</question><answer>So.</answer>'
'Pregunta: ¿Por qué?' in other languages
"""

import dataclasses
import re

_ASKED = (
    *(
        'question',
        'q',
        'ques',
        'que',
        'prompt',
        'instruction',
        'user',
        'human',
        'letter',
    ),
    *('reader', 'asker', 'input', 'pregunta', 'frage', 'domanda', 'pergunta', 'vraag'),
    *('query', 'problem', 'client', 'patient', 'customer', 'p', 'd', 'f', 'v'),
    *('вопрос', '问', '問', '问题', '問題', '質問', '질문', '用户', '用戶'),
    *('usuario', 'пользователь', 'utilisateur', 'benutzer', 'nutzer'),
)
_ANSWERED = (
    *('answer', 'a', 'ans', 'response', 'reply', 'completion', 'output', 'assistant'),
    *('ai', 'bot', 'advice', 'columnist', 'respuesta', 'réponse', 'antwort'),
    *('risposta', 'resposta', 'antwoord', 'ответ', '答', '答案', '回答', '답변'),
    *('助手', 'asistente', 'ассистент', 'assistent'),
    *('solution', 'sol', 'therapist', 'counselor', 'doctor', 'agent', 'expert', 'r'),
)
# Letters of a question's label, and those of its answer's: 'P:' and 'R:' in Spanish,
# 'D:' in Italian, 'F:' in German, 'V:' in Dutch. They count as capitals alone.
_OF_PROGRAMS = ('output', 'completion')  # they answer no letter: 'q4: …', 'output:'
_ANSWERS_OF = {'q': 'ar', 'p': 'r', 'd': 'r', 'f': 'a', 'v': 'a'}
# Forms of labels that count by themselves: a label's word ends in its form.
_FORMS = (_DOT, _DASH, _BRACKET, _BARE, _COUNT) = '.', ' -', ']', ' alone', ' 1'
_DOTTED_TOO = ('ans', 'sol', 'ans.', 'sol.')
_BARE_WORDS = ('question', 'answer', 'prompt', 'response')
QUESTIONS, ANSWERS = (
    (*words, *(word + form for word in words for form in _FORMS))
    for words in (_ASKED, _ANSWERED)
)
REVISED, DRAFT = 'revised_response', 'draft_response'
STRAY = 'stray'  # a label within a text
SECTIONS = (DRAFT, 'score', 'strengths', 'weaknesses')
CLOSING = (*ANSWERS, REVISED, *SECTIONS)  # labels that end a question
_NUMBER = (
    r'(?:[ _]?(?:#|no\.? ?)?\d{1,6}'
    r'| (?:one|two|three|four|five|six|seven|eight|nine|ten))?'
)
_NUMBERED = re.compile(r'[^\W\d][ _]?(?:#|no\.? ?)?\d{1,6}[\W_]*\Z', re.IGNORECASE)
CAPITALS = 'pdfvr'
_NOT_SPELLED = {*CAPITALS, 'que'}  # 'que' is a word in Spanish
_SPELLED = sorted({*_ASKED, *_ANSWERED} - _NOT_SPELLED, key=len, reverse=True)
_WORDS = '|'.join(_SPELLED)
_SET_WORDS = '|'.join(word.replace('_', '[ _]') for word in (REVISED, *SECTIONS))
_BULLET = (
    r'\s{0,3}(?:>\s?){0,3}(?:[-+•*]\s+|\(?\d{1,6}[.)]\s+'
    r'|[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?\s*)?'
)
_COLON = re.compile(
    rf'{_BULLET}(?P<hashes>#{{0,6}})\s{{0,3}}(?P<bold>[*_]{{1,3}})?(?:\d{{1,6}}[.)]\s+)?'
    rf'\[?(?P<word>{_WORDS}|{_SET_WORDS}|(?-i:[{CAPITALS.upper()}])'
    rf'|que(?=\.? ?\d|:-))(?:{_NUMBER}|(?<=[a-z])\. ?\d{{1,4}}(?!:\d))\]?'
    r'[*_]{0,3}\s?[:：](?:[-–](?=\s))?'
    r'(?(bold)[*_]{0,3})[ \t]?',
    re.IGNORECASE,
)
_SHORT = 'Ques|QUES|Que|QUE|Ans|ANS|Sol|SOL'
# 'A. One' may be a choice: these count only where a file's labels are of this form.
_DOTTED = re.compile(
    rf'{_BULLET}(?P<hashes>#{{0,6}})\s{{0,3}}(?P<bold>[*_]{{0,3}})'
    r'(?:(?P<dashed>[QA]|Question|QUESTION|Answer|ANSWER)[ \d]{1,6}(?:--?|[–—])'
    rf'|(?P<word>[QA]|{_SHORT}|Question|QUESTION|Answer|ANSWER)'
    r'(?:\s?\d{0,6}[.)]|(?:\.\s?(?:No\.\s?)?|#)\d{1,4}[.):]?|-\d{1,4}[.):])(?:[*_]{0,3}[:–-]{1,2})?)'
    r'[*_]{0,3}(?:\s+|$)'
)
_COUNTED = re.compile(
    rf'{_BULLET}(?P<bold>[*_]{{0,3}})(?P<word>[QA])\d{{1,4}}[*_]{{0,3}}\s+'
    r'(?=[^\w\s]{0,4}[^\W\da-z_])'
)
_BRACKETED = re.compile(
    r'\s{0,3}(?P<hashes>#{0,6})\s{0,3}(?P<bold>[*_]{1,3})?'
    rf'(?!<[qa]>)[\[<](?P<word>{_WORDS}){_NUMBER}[]>](?(bold)[*_]{{0,3}})[ \t]*',
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
# Other names of a set's draft and of the response that it became.
_OF_SET = re.compile(
    rf'{_BULLET}(?P<hashes>#{{0,6}})\s{{0,3}}[*_]{{0,3}}(?P<word>'
    r'(?P<draft>draft|(?:draft|initial|original|first)[ _](?:response|answer|reply))'
    r'|(?:revised|final|improved|rewritten|corrected|edited|updated|better)[ _]'
    r'(?:response|answer|reply|version|draft)|revision|rewrite)'
    r'(?:[ _](?:v?\d{1,3}|\([^()]{1,20}\)))?[*_]{0,3}\s?[:：][*_]{0,3}[ \t]?',
    re.IGNORECASE,
)
TAGS = '(?:question|answer|prompt|response|user|assistant)'
_CLOSES_TEXT = re.compile(rf'\s*</{TAGS}>\s*$', re.IGNORECASE)


_SECOND = re.compile(r'[\s*_>-]{0,9}B[*_]{0,3}[.)][*_]{0,3}\s')
_SECOND_WITHIN = re.compile(r'(?:\s\s|\t)B[.)]\s|\sB[.)]\s.*\sC[.)]\s')


@dataclasses.dataclass(frozen=True)
class Label:
    """A label at the head of a line: its word, its end, and a heading's level or 0.

    `sign` is '#' of a heading, '*' or '_' of bold, '' of a plain one; of a word in
    capitals it ends in '^'. `look` is 'inline' of an answer's in its question's line,
    'small' where a small letter follows, 'numbered' of 'Question 2:', '' of others.
    `is_odd` says that the look is that of few labels of the file, so the label may be
    a word of a text.
    """

    word: str
    end: int
    level: int
    sign: str = ''
    look: str = ''
    is_odd: bool = False


def label_of(line: str) -> Label | None:
    """The label that opens a line."""
    form = ''
    match = _ALONE.fullmatch(line) or _COLON.match(line)
    if not match and (match := _DOTTED.match(line)):
        form = _DASH if match['dashed'] else _DOT
    elif not match and (match := _BRACKETED.match(line)):
        form = _BRACKET
    elif not match and (match := _COUNTED.match(line)):
        form = _COUNT
    elif not match and line.strip()[:1].isupper():
        match, form = _ALONE_BARE.fullmatch(line), _BARE
    if not match:
        return None
    given = match['word'] or match['dashed']
    look = 'small' if line[match.end() :].lstrip('"“‘\'*_ ')[:1].islower() else ''
    if not form and _NUMBERED.search(match[0]):
        look = 'numbered'
    word = given.lower().replace(' ', '_') + form
    return _label(word, match, given, look=look)


def section_of(line: str) -> Label | None:
    """The label of a set's draft or revised response under another name, if any.

    'FINAL_ANSWER: So.', 'Revised response (v2):'. Only a set's sections tell that it is
    one.
    """
    match = _OF_SET.match(line)
    if not match:
        return None
    word = DRAFT if match['draft'] else REVISED
    return _label(word, match, match['word'])


def _label(word: str, match: re.Match[str], given: str, *, look: str = '') -> Label:
    """The label of a word that is `given` in a line's match."""
    hashes = match.groupdict().get('hashes') or ''
    opens = match[0][: match[0].index(given)].lstrip('-+•> \t')[:1]
    sign = '#' if hashes else opens if opens in ('*', '_') else ''
    sign += '^' if len(given) > 1 and given.isupper() else ''
    return Label(word, match.end(), len(hashes), sign, look)


class Choices:
    """The lines of a text, read from its end, to tell 'A. Tom' above 'B. Ann'."""

    def __init__(self) -> None:
        self._is_below = self._is_next = (
            False  # within the paragraph; in its first line
        )

    def open_with(self, line: str, label: Label | None) -> bool:
        """Whether the label of the next line up is the letter of a choice."""
        is_letter = label is not None and label.word == f'a{_DOT}'
        is_first = is_letter and (self._is_below or bool(_SECOND_WITHIN.search(line)))
        if not line.strip():
            self._is_below = self._is_next
        else:
            self._is_next = bool(_SECOND.match(line))
            self._is_below = self._is_next or (self._is_below and not label)
        return is_first


def form_of(word: str) -> str:
    """The form that a label's word ends in; '' of a word with a colon."""
    return next((form for form in _FORMS if word.endswith(form)), '')


def are_alike(asked: str, answered: str) -> bool:
    """Whether labels are of one form; a dot of an abbreviation is none: 'Q: … Ans. …'.

    Below 'Q.' newspapers print 'A:' too.
    """
    forms = {form_of(asked), form_of(answered)}
    if forms == {_DOT, ''} and (answered in _DOTTED_TOO or answered == 'a'):
        return True
    return form_of(asked) == form_of(answered)


def answers(word: str, asked: str) -> bool:
    """Whether a word labels answers to questions of a label: 'r' those of 'p'."""
    letters = _ANSWERS_OF.get(asked.removesuffix(form_of(asked)), '')
    bare = word.removesuffix(form_of(word))
    if bare in ('a', 'r'):
        return bare in (letters or 'a')
    if bare in _OF_PROGRAMS and letters:
        return False
    return word in ANSWERS and letters in ('', _ANSWERS_OF['q'])


def open_both(question: str, answer: str) -> bool:
    """Whether labels of one form open both texts: 'Frage: Warum?', 'Antwort: Darum.'"""
    asked, answered = map(_head, (question, answer))
    return (
        asked is not None
        and answered is not None
        and asked.word in QUESTIONS
        and (answers(answered.word, asked.word) or answered.word == REVISED)
        and are_alike(asked.word, answered.word)
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
    return label_of(text.partition('\n')[0])
