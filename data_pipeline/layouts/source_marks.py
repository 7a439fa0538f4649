"""Marks that mean something only where a whole source has them.

    'Dear Ann.\\nI am sad.'      line breaks written as a backslash and n
    'It\\u2019s a caf\\u00e9.'   other characters that JSON escapes
    'Why? ->', ' So. END'        what ends each prompt, and each completion
    'B. Ask him.'                the number of a choice before each answer
    'Assistant: Ask him.'        a label before each answer, or each question, alone
    '**Why?**'                   bold around each question, or each answer

One text can't tell them from a path, code or words; the first rows of a source do.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Sequence

from data_pipeline.layouts import label_forms

_FEWEST = 3  # texts that tell a mark of all texts
_BREAK = re.compile(r'\\r\\n|\\n|\\r(?![a-z])')
# A break as an export writes it: behind a sentence or another break, before the next.
_PLAIN_BREAK = re.compile(
    r'(?:(?<=[\w"”’)*][.!?,;:…])|(?<=[.!?]["”’)*])|(?<=\\n)|(?<=\s))(?:\\r)?\\n'
    r'(?=\s*(?:\\[rn]|["“‘\'(*#>_-]{0,3}\s?\w|[-*•]\s|\Z))'
    r'|(?:\\r)?\\n(?:\\r)?\\n'
)
_PLAIN_SHARE = 0.8  # of what may be breaks
# Code, paths, a backslash behind another, and LaTeX: no break is in them.
_KEPT = re.compile(
    r'`[^`\n]*`|(?<!\w)[A-Za-z]:\\(?!n(?![a-z]))\S*|\\\\(?!n\\n)'
    r'|\$(?=\S)[^$\n]{1,80}(?<=\S)\$(?!\d)'
    r'|\\n(?:abla|eq|ewline|onumber)\b'
)
_ESCAPED_SHARE = 0.05  # of the texts: else they are about escapes
_ESCAPED = re.compile(r'(?<!\\)(?:\\u[0-9a-fA-F]{4})+')
_SEPARATOR = re.compile(r'\s*(-{1,3}>|={1,2}>|→|>{3}|\|{3}|#{3,})\s*$')
_STOP = re.compile(
    r'(?:\s(?=\S)|(?=</s>|<eos>))'
    r'(END|STOP|#{3,}|<END>|\[END\]|\|{3}|</s>|<eos>)\s*$'
)
_START = re.compile(r'\s*(<s>|<bos>)\s*')
_ALWAYS_CUT = ('question', 'q', 'answer', 'a')  # by the cleaning, in any source
_WHOLE_BOLD = re.compile(
    r'\s*(\*\*|__)(?=[^\s*_])((?:(?!\1).)+)(?<=\S)\1\s*', re.DOTALL
)
_CHOICE = re.compile(r'\s*(?:\(([A-Ha-h]|[1-9])\)|([A-H]|[1-9])[.):])\s+(?=\S)')


@dataclasses.dataclass(frozen=True)
class Marks:
    """The marks of a source: each is cut off, or made what it stands for."""

    breaks: bool = False
    escapes: bool = False
    start: str = ''
    separator: str = ''
    stop: str = ''
    choices: bool = False
    asked: str = ''
    answered: str = ''
    bold_asked: bool = False
    bold_answered: bool = False


def find(pairs: Sequence[tuple[str, str]]) -> Marks | None:
    """The marks of a source by the questions and answers of its first rows.

    A text of which nobody knows what it is stands as an answer beside ''.
    """
    texts = [text for pair in pairs for text in pair if text.strip()]
    asked = [question for question, _ in pairs if question.strip()]
    answered = [answer for question, answer in pairs if question and answer.strip()]
    made = Marks(
        breaks=_writes_breaks(texts),
        escapes=_writes_escapes(texts),
        start=_common(_START, asked, at_start=True),
        separator=_common(_SEPARATOR, asked),
        stop=_common(_STOP, answered),
        choices=_have_choices(answered),
        bold_asked=_are_bold(asked),
        bold_answered=_are_bold(answered),
    )
    labels = (
        _common_label(asked, label_forms.QUESTIONS),
        _common_label(answered, label_forms.ANSWERS),
    )
    if not all(labels) and not made.choices:  # those of both are the cleaning's
        made = dataclasses.replace(made, asked=labels[0], answered=labels[1])
    return None if made == Marks() else made


def apply(marks: Marks, question: str, answer: str) -> tuple[str, str, list[str]]:
    """(the question, the answer, a name for each change of one of them)."""
    changes: list[str] = []

    def changed(text: str, change: Callable[[str], str], name: str) -> str:
        after = change(text)
        changes.extend([name] * (after != text and bool(after.strip())))
        return after if after.strip() else text

    if marks.breaks:
        name = 'texts with line breaks written as \\n, which were made breaks'
        question, answer = (changed(t, _broken, name) for t in (question, answer))
    if marks.escapes:
        name = 'texts with characters written as \\u2019, which were made characters'
        question, answer = (changed(t, _unescaped, name) for t in (question, answer))
    if marks.start:
        name = f'texts with the start {marks.start!r}, which was cut'
        question = changed(question, lambda text: _START.sub('', text, count=1), name)
    if marks.separator:
        name = f'texts with the separator {marks.separator!r}, which was cut'
        mark = _at_end(_SEPARATOR, marks.separator)
        question = changed(question, mark, name)
    if marks.stop:
        name = f'texts with the stop {marks.stop!r}, which was cut'
        answer = changed(answer, _at_end(_STOP, marks.stop), name)
    if marks.choices and not _lists(answer):
        name = "texts with a choice's number before the answer, which was cut"
        answer = changed(answer, lambda text: _CHOICE.sub('', text, count=1), name)
    name = 'texts in bold, as all of their column, whose signs were cut'
    if marks.bold_asked:
        question = changed(question, _without_bold, name)
    if marks.bold_answered:
        answer = changed(answer, _without_bold, name)
    for own, is_asked in ((marks.asked, True), (marks.answered, False)):
        if not own:
            continue
        name = f'texts with the label {own.strip("#")!r}, which was cut'
        mark = functools.partial(_without_label, own=own)
        if is_asked:
            question = changed(question, mark, name)
        else:
            answer = changed(answer, mark, name)
    return question, answer, changes


def _at_end(mark: re.Pattern[str], own: str) -> Callable[[str], str]:
    def cut(text: str) -> str:
        found = mark.search(text)
        return text[: found.start()] if found and found[1] == own else text

    return cut


def _writes_breaks(texts: Sequence[str]) -> bool:
    """Whether breaks are written as two characters, and none stands as itself."""
    if any('\n' in text.strip() for text in texts):
        return False
    plain = all_breaks = having = 0
    for text in texts:
        if '\\n' not in text or text.lstrip()[:1] in ('[', '{'):
            continue
        bare = _KEPT.sub(' ', text)
        found = len(_PLAIN_BREAK.findall(bare))
        having += bool(found)
        plain += found
        # Two breaks in a row are found as one.
        all_breaks += len(re.findall(r'(?:(?:\\r)?\\n)+', bare))
    return having > 1 and plain >= _PLAIN_SHARE * all_breaks


def _writes_escapes(texts: Sequence[str]) -> bool:
    """Whether JSON's escapes stand for all characters beyond ASCII."""
    escaped = [text for text in texts if _ESCAPED.search(_KEPT.sub(' ', text))]
    enough = max(2, _ESCAPED_SHARE * len(texts))
    return len(escaped) >= enough and all(map(str.isascii, texts))


def _unescaped(text: str) -> str:
    def signs(match: re.Match[str]) -> str:
        made = json.loads(f'"{match[0]}"').encode('utf-16', 'surrogatepass')
        return made.decode('utf-16', 'replace')

    return _outside_code(text, lambda part: _ESCAPED.sub(signs, part))


def _broken(text: str) -> str:
    """The text with line breaks for `\\n`; one with a break of its own stays."""
    if '\\n' not in text or '\n' in text.strip() or text.lstrip()[:1] in ('[', '{'):
        return text
    is_quoting = '\\"' in text and not re.search(r'(?<!\\)"', text)

    def read(part: str) -> str:
        part = _BREAK.sub('\n', part)
        return part.replace('\\"', '"') if is_quoting else part

    return _outside_code(text, read)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts, at = [], 0
    for kept in _KEPT.finditer(text):
        parts += [change(text[at : kept.start()]), kept[0]]
        at = kept.end()
    return ''.join([*parts, change(text[at:])])


def _are_bold(texts: Sequence[str]) -> bool:
    """Whether all texts are bold as a whole; rules of a table are none."""
    texts = [text for text in texts if text.strip(' :-')]
    return len(texts) >= _FEWEST and all(map(_WHOLE_BOLD.fullmatch, texts))


def _without_bold(text: str) -> str:
    found = _WHOLE_BOLD.fullmatch(text)
    return found[2] if found else text


def _common(
    mark: re.Pattern[str], texts: Sequence[str], *, at_start: bool = False
) -> str:
    """The mark that ends all texts, or opens them; '' for none."""
    look = mark.match if at_start else mark.search
    found = {match[1] if (match := look(text)) else '' for text in texts}
    return found.pop() if len(found) == 1 and len(texts) >= _FEWEST else ''


def _common_label(texts: Sequence[str], words: Collection[str]) -> str:
    """The label that opens all texts and stands nowhere else in them; '' for none."""
    found = {_label(text) for text in texts}
    if len(texts) < _FEWEST or len(found) != 1:
        return ''
    own = found.pop()
    return own if own.removesuffix('#') in words and own not in _ALWAYS_CUT else ''


def _label(text: str) -> str:
    """The word of the label that opens a text; '' where labels part it in turns.

    That of a numbered one ends in '#'.
    """
    first, *others = text.strip().split('\n')
    label = label_forms.label_of(first)
    if not label or any(map(label_forms.label_of, others)):
        return ''
    has_number = any(map(str.isdigit, first[: label.end]))
    return f'{label.word}#' if has_number else label.word


def _without_label(text: str, own: str) -> str:
    return label_forms.without_head(text.strip())[0] if _label(text) == own else text


def _have_choices(answers: Sequence[str]) -> bool:
    """Whether all answers begin with the number of a choice, not all with one."""
    found = [_CHOICE.match(text) for text in answers]
    if len(answers) < _FEWEST or not all(found):
        return False
    numbers = {match[1] or match[2] for match in found if match}
    return len(numbers) > 1 and not any(map(_lists, answers))


def _lists(text: str) -> bool:
    """Whether a text is a list: a later line begins with a number too."""
    return any(map(_CHOICE.match, text.strip().split('\n')[1:]))
