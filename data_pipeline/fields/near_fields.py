"""Names of columns that are near a question's or an answer's, in any spelling.

    questionText, Question_Body, Q, 'Question (English)', Frage    question
    answerText, bestAnswer, A, 'Final answer', respuesta           answer

A name is near if its words are of one line of the table, such as 'input_question', and
words that say nothing of what it is. 'questionID', 'answer_start' and 'question type'
are of other things. Of some names the values tell: a source that asks, a mark of a
choice, a verdict.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipeline.fields import answer_lists, numbers

_KINDS = {
    'question': 'question q query prompt instruction problem letter questions ques '
    'input message utterance pregunta preguntas consulta frage domanda pergunta '
    'vraag fråga pytanie soru вопрос 질문 質問 问题 問題 问 問 سؤال ask inquiry '
    'enquiry doubt post',
    'answer': 'answer a response reply output completion advice ans answers comment '
    'demonstration respuesta respuestas réponse reponse antwort risposta resposta '
    'antwoord svar odpowiedź cevap ответ 답변 回答 答案 答 جواب resp responce',
}
_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
# Of an answer that another one became: it is the one to learn.
_REVISED = frozenset(
    ['revised', 'edited', 'corrected', 'improved', 'rewritten', 'refined']
)
# Names that say so beside another's alone: Reflection-tuning's, the old trainer's.
_BECAME = (('reflection', 'corrected'), ('draft', 'revised'))
# Of an answer that stands beside a model's, or another's: it is the right one.
_RIGHT = frozenset(
    ['reference', 'gold', 'golden', 'correct', 'accepted', 'expert', 'true', 'expected']
)
_TRUTHS = ('ground_truth', 'ground_truth_answer')
_RETRIEVED = frozenset(['retrieved_contexts', 'retrieved_context', 'contexts'])
_SAYS_REVISED = re.compile('|'.join(sorted(_REVISED)), re.IGNORECASE)
_TITLES = frozenset(['title', 'subject', 'headline'])
_SAY_NOTHING = (
    'the text body content full detail details string str field col column raw clean '
    'cleaned en english user human asked original my assistant bot model final best '
    'top given faq customer agent ai client target long our your reader readers s '
    'columnist patient doctor stem'
)
_SENTENCE = 8  # words
_OF_PAIRS = (
    *(('source', 'target'), ('src', 'tgt'), ('source_text', 'target_text')),
    *(('anchor', 'positive'), ('sentence1', 'sentence2'), ('title', 'answer')),
)
_ASKING = 0.8  # of the texts of a column of questions
_JUDGEMENTS = ('accept', 'reject', 'ignore')
_EMPTY = frozenset(_SAY_NOTHING.split())
# Words of these say only how a text is kept, or that it is the one that counts.
_OF_ANOTHER = (
    'original assistant model human customer agent ai client target long bot your '
    'patient doctor'
)
_PLAIN = _EMPTY - {*_OF_ANOTHER.split()}
_WHO = 'user human client patient doctor agent assistant bot ai'
_PEOPLE = frozenset(_WHO.split())
_COUNTED = ('answers', 'responses', 'completions', 'reply', 'comment', 'post')
_WHAT_IS = re.compile(r'\s*what(?: is|[\'’]s)\b', re.IGNORECASE)
_NAME = 2  # words of a person's name
_WORDS = re.compile(
    r'[A-ZÀ-Þ]+(?![a-zß-ÿ])|[A-ZÀ-Þ]?[a-zß-ÿ]+|\d+|(?:(?![A-Za-zÀ-ÿ\d_])\w)+'
)


def near(found: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For question and answer, the names near it: a title's before its body's.

    Several names of one kind are one text only where they are a title and a body;
    else the first in the table's order is meant.

    ['questionID', 'questionTitle', 'questionText', 'answerText'] ->
    {'question': ('questionTitle', 'questionText'), 'answer': ('answerText',)}
    """
    order = list(_OF)
    bodies: dict[str, list[tuple[bool, bool, bool, int, str]]] = {}
    titles: dict[str, list[str]] = {}
    for name in found:
        if _is_one_of_two(name, found):  # model_a, model_b
            continue
        kinds, others, is_revised, is_right = [], [], False, False
        for word in _words(name):
            if word in _OF:
                kinds.append(word)
            elif word in _TITLES:
                others.append(word)
            elif word in _REVISED:
                is_revised = True
            elif word == '1' and _is_only_one(name, found):
                pass
            elif word in _RIGHT:
                is_right = True
            elif word not in _EMPTY:
                kinds.clear()
                break  # at once, as a line of a page may be looked at as names
        is_letter = len(kinds) > 1 and min(map(len, kinds)) == 1  # answer_a, answer_b
        if is_letter or len({_OF[word] for word in kinds}) != 1:
            continue
        kind = _OF[kinds[0]]
        if others:
            titles.setdefault(kind, []).append(name)
        else:
            rank = not is_revised, not is_right, not is_plain(name)
            bodies.setdefault(kind, []).append((*rank, order.index(kinds[0]), name))
    made = {}
    for kind in _KINDS:
        body = (
            [min(bodies[kind], key=lambda each: each[:4])[4]] if kind in bodies else []
        )
        if names := (*titles.get(kind, [])[:1], *body):
            made[kind] = names
    return made


def _words(name: str) -> Iterator[str]:
    # Flattened rows name the place before a dot: 'Input.question', 'row.answer'.
    name = _WHAT_IS.sub('', name.rpartition('.')[2] or name)  # 'What is your question?'
    for match in _WORDS.finditer(name):
        yield match[0].lower()


def plain(found: Sequence[str]) -> dict[str, str]:
    """The names that say question and answer, where there are both; else {}.

    ['questionText', 'answerText', 'comment'] -> the first two; so ['Q', 'A', 'user'],
    unless a column B makes them letters of choices.
    """
    keys = {key(name): name for name in found}
    if {'q', 'a'} <= keys.keys() and 'b' not in keys:
        return {'question': keys['q'], 'answer': keys['a']}
    made: dict[str, str] = {}
    for kind, names in near(found).items():
        if is_plain(names[-1]):
            made[kind] = names[-1]
    return made if len(made) == len(_KINDS) else {}


def is_plain(name: str) -> bool:
    """Whether a name has the word question or answer and nothing else that matters.

    'questionText', 'Best Answer'; not 'model_answer', which may be another's.
    """
    words = {match[0].lower() for match in _WORDS.finditer(name)}
    if words >= {'user', 'answer'}:  # what was tried, beside the answer
        return False
    return len(words & {*_KINDS}) == 1 and words <= _PLAIN | {*_KINDS}


def holds_no_texts(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a field such as `user` holds names, one such as `answers` numbers.

    So it is with an empty field.
    """
    values = [row[name] for row in rows if row.get(name) not in (None, '')]
    if not values:
        return True
    if key(name) not in (*_PEOPLE, *_COUNTED):
        return False
    if key(name) in _COUNTED:
        return all(numbers.number(value) is not None for value in values)
    return all(
        isinstance(value, int)
        or (
            isinstance(value, str)
            and len(value.split(maxsplit=_NAME)) <= _NAME
            and value.strip()[-1:].isalnum()
        )
        for value in values
    )


def _is_only_one(name: str, found: Sequence[str]) -> bool:
    """Whether a name that ends in 1 has no other beside it: question1, answer_1."""
    stem = name.removesuffix('1')
    return stem != name and not {f'{stem}0', f'{stem}2'}.intersection(found)


def _is_one_of_two(name: str, found: Sequence[str]) -> bool:
    """Whether a name of several letters ends in a, and another, else equal, in b."""
    stem, letter = name[:-1], name[-1:]
    return bool(stem) and letter in 'aA' and f'{stem}{chr(ord(letter) + 1)}' in found


def revised(found: Sequence[str]) -> str:
    """The name of the answer that another one became; '' for none.

    ['question', 'answer', 'editedAnswer'] -> 'editedAnswer'
    """
    candidates = [name for name in found if _SAYS_REVISED.search(name)]
    by_name = {name.lower(): name for name in found}
    for other, name in _BECAME:
        if {other, name} <= by_name.keys():
            return by_name[name]
    return next(iter(near(candidates).get('answer', ())), '')


def right(rows: Sequence[Mapping[str, Any]], found: Sequence[str]) -> str:
    """The name of the right answers beside a model's, as RAGAS has them; '' for none.

    Words and numbers to grade by are no answers.
    """
    keys = {key(name): name for name in found}
    others = () if _RETRIEVED.isdisjoint(keys) else ('reference',)
    if 'best_answer' in keys:  # beside lists of correct ones: TruthfulQA
        return ''
    names = [keys[each] for each in (*_TRUTHS, *others) if each in keys]
    names += near([n for n in found if _RIGHT.intersection(_words(n))]).get(
        'answer', ()
    )
    return next((name for name in names if holds_texts(rows, name)), '')


def asking(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The map of columns such as `source` and `target`, where the first ask; else {}.

    Translations and summaries have the same names.
    """
    keys = {key(name): name for name in names}
    for asked, answered in _OF_PAIRS:
        if asked in keys and answered in keys:
            texts = [[row.get(keys[key]) for row in rows] for key in (asked, answered)]
            ends = [sum('?' in text[-3:] for text in map(str, e)) for e in texts]
            if ends[0] >= _ASKING * len(rows) and 2 * ends[1] <= ends[0]:
                return {'question': (keys[asked],), 'answer': (keys[answered],)}
    return {}


def choice(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], answered: tuple[str, ...]
) -> str:
    """The field whose values are marks of its row's choices; '' for none."""
    with_choices = [row for row in rows if answer_lists.choices(dict(row))[1]]
    keys = {key(name): name for name in names}
    found = answered or tuple(keys[key] for key in answer_lists.KEYS if key in keys)[:1]
    if not with_choices or len(found) != 1:
        return ''
    values = [row.get(found[0]) for row in with_choices]
    filled = [value for value in values if value not in (None, '')]
    return found[0] if filled and all(map(answer_lists.is_mark, filled)) else ''


def holds_texts(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a field holds texts of a sentence or more, and no names or marks."""
    if key(name).startswith('rejected'):
        return False  # which is counted by that name
    values = [row[name] for row in rows if row.get(name) not in (None, '')]
    texts = [value for value in values if isinstance(value, str)]
    words = sum(len(text.split(maxsplit=_SENTENCE)) for text in texts)
    return bool(texts) and words >= _SENTENCE * len(values)


def texts_within(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The first text of a field that holds objects of texts alone; '' for another.

    {"question": {"en": "Why?", "de": "Warum?"}} -> 'question.en'
    """
    values = [row.get(name) for row in rows if row.get(name) is not None]
    are_objects = bool(values) and all(
        isinstance(value, dict)
        and value
        and all(isinstance(each, str) for each in value.values())
        and answer_lists.best(value)[0] is None
        for value in values
    )
    return f'{name}.{next(iter(values[0]))}' if are_objects else ''


def packed(
    rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The fields of questions and answers whose texts are lists or objects in a cell.

    Several questions in one cell are another kind of row.
    """
    made = []
    for target in _KINDS:
        for name in chosen.get(target, ()):
            values = [row[name] for row in rows if row.get(name) not in (None, '')]
            are_one = target == 'answer' or all(map(answer_lists.holds_one, values))
            if are_one and answer_lists.are_packed(values, name):
                made.append(name)
    return tuple(made)


def judges(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a field is a tool's mark of what a person thought of each row.

    {"prompt": "Why?", "response": "So.", "answer": "accept"}, as Prodigy writes it
    """
    values = [row[name] for row in rows if row.get(name) not in (None, '')]
    return bool(values) and all(value in _JUDGEMENTS for value in values)


def key(name: str) -> str:
    """'Question  Body' -> 'question_body'"""
    return '_'.join(name.strip().lower().split())
