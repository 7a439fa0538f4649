"""The labels of a file: the lines that they open, and those that are its own."""

import collections
import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence

from data_pipeline.layouts import label_forms
from data_pipeline.pages import oversample_marks, page

CLOSING_TAG = 'closing tag'
_INLINE = re.compile(
    r'(?<=\s)[*_]{0,3}(?P<word>A|Ans|Answer|Response|Respuesta|Réponse|Antwort|Risposta'
    r'|Resposta|Antwoord|Ответ|答|回答)[*_]{0,3}\s?(?:(?::|(?<=\bAns)\.)[*_]{0,3}\s|：)',
    re.IGNORECASE,
)
# Labels within a line: a question's behind the end of a sentence alone.
_IN_ONE_LINE = re.compile(
    r'(?:^|(?<=[.!?…"”’)]\s))(?P<asked>Q|Question|QUESTION):\s'
    r'|(?<=\s)(?P<answered>A|Answer|ANSWER):\s'
)
_ONE_LINE_WORDS = (('q', 'a'), ('question', 'answer'))
_COUNTED = re.compile(r'(?:No\.? ?|#)?(?P<number>\d{1,4})[.):]?\s+(?=\S)')
_FEWEST_LETTERS = 2  # pairs of 'D:' and 'R:', 'Problem:' and 'Solution:'
_LETTER_FORMS = {'q': 'a', 'q.': 'a.'}
_FEWEST_COUNTED = 3  # questions of a file whose numbers follow each other
_TAG = re.compile(rf'(?=<{label_forms.TAGS}>)|</{label_forms.TAGS}>', re.IGNORECASE)
_TAGGED = re.compile(
    r'^[ \t]*<(question|prompt|user)>[^<]*(?:<(?!/?\1>)[^<]*)*</\1>\s*'
    r'<(?:answer|response|assistant)>',
    re.IGNORECASE | re.MULTILINE,
)
_IN_SETS = re.compile(
    r'(?<=\s)(?:DRAFT[ _]RESPONSE|SCORE|STRENGTHS|WEAKNESSES|REVISED[ _]RESPONSE):'
)


def lines(text: str) -> tuple[list[page.Piece], list[label_forms.Label | None]]:
    """The lines, and the label of each; an answer in its question's line is cut off.

    'Q: Why? A: So.' -> 'Q: Why? ' and 'A: So.', unless an answer's label is the next.
    'A. Tom' above 'B. Ann' has none.
    """
    pieces: list[page.Piece] = []
    labels: list[label_forms.Label | None] = []
    following = ''
    choices = label_forms.Choices()
    whole = oversample_marks.split(page.raw_lines(text))
    is_tagged = '</' in text and _TAGGED.search(text)
    parted = _by_tags if is_tagged else _sections
    lines = [part for piece in whole for each in parted(piece) for part in _pairs(each)]
    for piece in reversed(lines):
        is_text = piece.kind == page.UNKNOWN and not piece.is_code
        label = label_forms.label_of(piece.text) if is_text else None
        label = None if choices.open_with(piece.text, label) else label
        is_open = (
            label
            and label.word in label_forms.QUESTIONS
            and following not in label_forms.CLOSING
        )
        if is_open and (start := _inline_answer(piece.text, label)):
            ends = [(start, piece.kind), (len(piece.text), piece.kind)]
            piece, answer = piece.cut(ends)
            pieces.append(answer)
            labels.append(_labelled_inline(answer.text))
        following = label.word if label else following
        pieces.append(piece)
        labels.append(label)
    pieces, labels = pieces[::-1], _of_one_form(labels[::-1])
    return pieces, _with_other_names(pieces, _past_numbers(pieces, labels))


def _with_other_names(
    pieces: Sequence[page.Piece], labels: list[label_forms.Label | None]
) -> list[label_forms.Label | None]:
    """The labels; in sets, those of drafts and revised responses of other names too.

    A draft's is written as the question's label above it, a revised response's as the
    section's.
    """
    words = {label.word for label in labels if label}
    if words.isdisjoint(label_forms.SECTIONS[2:]):
        return labels
    made = [*labels]
    asked: label_forms.Label | None = None
    section: label_forms.Label | None = None
    for i, (piece, label) in enumerate(zip(pieces, labels, strict=True)):
        if label and label.word in label_forms.QUESTIONS:
            if not asked or label.sign == asked.sign:
                asked, section = label, None
        elif label and label.word in label_forms.SECTIONS[1:]:
            section = label
        elif not label and asked and piece.kind == page.UNKNOWN and not piece.is_code:
            other = label_forms.section_of(piece.text)
            above = section or asked
            is_revised = other is not None and other.word == label_forms.REVISED
            if other and is_revised == bool(section) and other.sign == above.sign:
                made[i] = other
    return made


def _of_one_form(
    labels: Sequence[label_forms.Label | None],
) -> list[label_forms.Label | None]:
    """The labels, those of pairs in a rarer form as in the commoner.

    '## Q: Who?' and 'A: Tom.' among titles '## Q. Why?' with 'A. So.' below
    """
    made = [*labels]
    titles = [label.word for label in labels if label and label.level]
    forms = collections.Counter(word for word in titles if word in _LETTER_FORMS)
    if len(forms) < 2:
        return made
    ((asked, _),) = forms.most_common(1)
    at = [i for i, label in enumerate(labels) if label]
    for i, below in itertools.pairwise(at):
        word, next_word = labels[i].word, labels[below].word
        is_other = word in forms and word != asked and labels[i].level
        if is_other and next_word == _LETTER_FORMS[word]:
            made[i] = dataclasses.replace(labels[i], word=asked)
            made[below] = dataclasses.replace(labels[below], word=_LETTER_FORMS[asked])
    return made


def _past_numbers(
    pieces: Sequence[page.Piece], labels: Sequence[label_forms.Label | None]
) -> list[label_forms.Label | None]:
    """The labels, each with the number behind it where numbers count the questions.

    'Q. 1 Why?', 'Q. 2 Who?', 'Q. 3 When?' -> 'Why?', 'Who?', 'When?'
    """
    made = [*labels]
    for word in {label.word for label in labels if label} & {*label_forms.QUESTIONS}:
        asked = [i for i, label in enumerate(labels) if label and label.word == word]
        found = [_COUNTED.match(pieces[i].text, labels[i].end) for i in asked]
        numbers = [int(match['number']) for match in found if match]
        if len(numbers) < max(_FEWEST_COUNTED, len(asked)):
            continue
        if all(b == a + 1 for a, b in itertools.pairwise(numbers)):
            for i, match in zip(asked, found, strict=True):
                made[i] = dataclasses.replace(labels[i], end=match.end())
    return made


def _pairs(piece: page.Piece) -> list[page.Piece]:
    """A line of several questions, each with its answer behind it, cut before each.

    'Q: Why? A: So. Q: Who? A: Tom.' -> 'Q: Why? A: So. ', 'Q: Who? A: Tom.'
    """
    if ': ' not in piece.text or piece.kind != page.UNKNOWN or piece.is_code:
        return [piece]
    found = [*_IN_ONE_LINE.finditer(piece.text)]
    words = [(match['asked'] or match['answered']).lower() for match in found]
    pair = next((pair for pair in _ONE_LINE_WORDS if words[:2] == [*pair]), None)
    if not pair or len(words) < 4 or words != [*pair] * (len(words) // 2):
        return [piece]
    starts = [match.start() for match in found[2::2]]
    return piece.cut((end, piece.kind) for end in (*starts, len(piece.text)))


def _by_tags(piece: page.Piece) -> list[page.Piece]:
    """A line cut before tags that open a text; those that close one are labels."""
    if '<' not in piece.text or piece.is_code:
        return [piece]
    ends: list[tuple[int, str]] = []
    for tag in _TAG.finditer(piece.text):
        ends += [(tag.start(), piece.kind), (tag.end(), CLOSING_TAG)]
    parts = piece.cut([*ends, (len(piece.text), piece.kind)])
    return [part for part in parts if part.text] or parts


def _sections(piece: page.Piece) -> list[page.Piece]:
    """The sections of a set that stands on one line; else the piece itself.

    'QUESTION: Why? SCORE: 3 REVISED_RESPONSE: So.' -> 'QUESTION: Why? ', 'SCORE: 3 ', …
    """
    starts: dict[str, int] = {}
    if (
        'REVISED' in piece.text
        and not piece.is_code
        and label_forms.label_of(piece.text)
    ):
        for match in _IN_SETS.finditer(piece.text):
            starts.setdefault(match[0].replace(' ', '_'), match.start())
    if f'{label_forms.REVISED.upper()}:' not in starts:
        return [piece]
    # A label may stand in the revised response, which is the last section.
    last = starts[f'{label_forms.REVISED.upper()}:']
    ends = sorted(start for start in starts.values() if start <= last)
    return piece.cut([(end, piece.kind) for end in (*ends, len(piece.text))])


def _inline_answer(line: str, question: label_forms.Label) -> int:
    """The start of an answer's label in its question's line, 0 for none.

    One as long as the question's comes first: 'Question: Is A: true? Answer: No.'
    """
    found = [*_INLINE.finditer(line, question.end)]
    is_letter = len(question.word) - len(label_forms.form_of(question.word)) == 1
    found.sort(key=lambda match: (len(match['word']) == 1) != is_letter)
    return found[0].start() if found else 0


def _labelled_inline(line: str) -> label_forms.Label | None:
    label = label_forms.label_of(line)
    return dataclasses.replace(label, look='inline') if label else None


def others(pieces: Iterable[page.Piece]) -> list[page.Piece]:
    """The lines within one text that may begin a pair by labels of another form.

    'Frage: Warum?' with 'Antwort: Darum.' below it, in a file of 'QUESTION:'.
    """
    found = []
    asked: tuple[page.Piece, str] | None = None
    for piece in pieces:
        is_text = piece.kind in (page.QUESTION, page.ANSWER)
        label = (
            label_forms.label_of(piece.text) if is_text and not piece.is_code else None
        )
        if label and label.word in label_forms.QUESTIONS:
            asked = piece, label.word
        elif (
            label
            and asked
            and label_forms.form_of(asked[1]) == label_forms.form_of(label.word)
        ):
            found += [asked[0]] if label_forms.answers(label.word, asked[1]) else []
            asked = None
        elif piece.kind == 'label':  # the file's own: another text begins
            asked = None
    return found


def words(labels: Sequence[label_forms.Label]) -> tuple[str, str]:
    """The words of questions and of answers: the commonest neighbours, '' for none.

    Neighbours are a question's label and an answer's that is the next of any answer.
    """
    if any(label.word == label_forms.REVISED for label in labels):
        asked = [label.word for label in labels if label.word in label_forms.QUESTIONS]
        return (asked[0] if asked else ''), label_forms.REVISED
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    asked = ''
    for label in labels:
        if label.word == 'input' and asked:
            continue  # it belongs to the instruction above it
        if label.word in label_forms.QUESTIONS:
            asked = label.word
        elif not label_forms.are_alike(asked, label.word):
            continue
        elif asked and label_forms.answers(label.word, asked):
            counts[asked, label.word] += 1
            asked = ''
    for pair in [pair for pair, times in counts.items() if times < _FEWEST_LETTERS]:
        if pair[0] in (*label_forms.CAPITALS, 'problem'):  # of a document's sections
            del counts[pair]
    return max(counts, key=lambda pair: counts[pair]) if counts else ('', '')


def are_sets(
    labels: Sequence[label_forms.Label | None], words: tuple[str, str]
) -> bool:
    """Whether answers are revised, or drafts stand above most of them."""
    if words[1] == label_forms.REVISED:
        return True
    own = (*words, label_forms.DRAFT)
    found = [label.word for label in labels if label and label.word in own]
    drafts = sum(pair == (words[0], own[2]) for pair in itertools.pairwise(found))
    return 2 * drafts > found.count(words[0])


def _without_rare_sections(
    labels: list[label_forms.Label | None],
) -> list[label_forms.Label | None]:
    forms = collections.Counter(
        (label.word, label.sign)
        for label in labels
        if label and label.word in label_forms.SECTIONS
    )
    return [
        dataclasses.replace(label, word=label_forms.STRAY)
        if label
        and label.word in label_forms.SECTIONS
        and any(
            times > forms[label.word, label.sign]
            for (word, _), times in forms.items()
            if word == label.word
        )
        else label
        for label in labels
    ]


def _without_questions_in_sections(
    labels: list[label_forms.Label | None], asked: str
) -> list[label_forms.Label | None]:
    """The labels; below a section's, a question in another form is a word of a text.

    'QUESTION: Why? WEAKNESSES: 1. Question: why so long? REVISED_RESPONSE: So.'
    """
    made = [*labels]
    opened: label_forms.Label | None = None
    is_within = False
    for i, label in enumerate(labels):
        if label and label.word == asked:
            form = opened and (opened.sign, opened.look)
            if is_within and (label.sign, label.look) != form:
                made[i] = dataclasses.replace(label, word=label_forms.STRAY)
            else:
                opened, is_within = label, False
        elif label:
            is_section = label.word in label_forms.SECTIONS
            is_within = is_section or (is_within and label.word != label_forms.REVISED)
    return made


def _form(label: label_forms.Label) -> tuple[str, str, bool]:
    return label.word, label.sign, label.look == 'numbered'


def without_strays(
    labels: list[label_forms.Label | None], words: tuple[str, str]
) -> list[label_forms.Label | None]:
    """The labels; those within a text of a pair get the word `label_forms.STRAY`.

    Labels are headings, bold, plain, in capitals, numbered: the commonest form is a
    file's. Below '## Answer' a line 'Question: who pays?' is text if no answer follows
    it, as it is between '## Question' and '## Answer'. Those of a look that few have
    are of a rarer form too, and odd where they part a pair. A section of a set is one
    in its commonest form alone: 'Score: 5, as they say' is text where others are
    'SCORE: 5'.
    """
    if words[1] == label_forms.REVISED:
        labels = _without_rare_sections(labels)
        labels = _without_questions_in_sections(labels, words[0])
    own = [label for label in labels if label and label.word in words]
    forms = collections.Counter(map(_form, own))
    looks = collections.Counter((label.word, label.look) for label in own)
    times = collections.Counter(label.word for label in own)

    def is_odd(label: label_forms.Label) -> bool:
        few = page.FEW * times[label.word]
        return bool(label.look) and looks[label.word, label.look] < few

    def is_other(label: label_forms.Label) -> bool:
        of_word = [times for (word, *_), times in forms.items() if word == label.word]
        return forms[_form(label)] < max(of_word)

    def is_rare(label: label_forms.Label) -> bool:
        return is_odd(label) or is_other(label)

    def is_stray_answer(label: label_forms.Label, before: label_forms.Label) -> bool:
        # A second answer, or one to a question that is of another form too.
        if before.word == label.word:
            return is_odd(label)
        return all(is_odd(each) and is_other(each) for each in (before, label))

    made = [*labels]
    at = [i for i, label in enumerate(labels) if label and label.word in words]
    following: label_forms.Label | None = None
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
            made[at[place]] = dataclasses.replace(label, word=label_forms.STRAY)
        else:
            made[at[place]] = dataclasses.replace(label, is_odd=is_odd(label))
            following = label
    return made
