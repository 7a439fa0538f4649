"""Names of columns that are near a question's or an answer's, in any spelling.

    questionText, Question_Body, Q, 'Question (English)', Frage    question
    answerText, bestAnswer, A, 'Final answer', respuesta           answer

A name is near if its words are one word of the table and words that say nothing of
what it is. 'questionID', 'answer_start' and 'question type' are of other things.
"""

import re
from collections.abc import Sequence

_KINDS = {
    'question': 'question q query prompt instruction problem letter questions ques '
    'input message utterance pregunta consulta frage domanda pergunta vraag fråga '
    'pytanie soru вопрос 질문 質問 问题 問題 问 問 سؤال',
    'answer': 'answer a response reply output completion advice ans answers '
    'demonstration respuesta réponse reponse antwort risposta resposta antwoord svar '
    'odpowiedź cevap ответ 답변 回答 答案 答 جواب',
}
_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
# Of an answer that another one became: it is the one to learn.
_REVISED = frozenset(
    ['revised', 'edited', 'corrected', 'improved', 'rewritten', 'refined']
)
_SAYS_REVISED = re.compile('|'.join(sorted(_REVISED)), re.IGNORECASE)
_TITLES = frozenset(['title', 'subject', 'headline'])
_SAY_NOTHING = (
    'the text body content full detail details string str field col column raw clean '
    'cleaned en english user human asked original my assistant bot model final best '
    'top accepted correct gold golden given expert faq customer agent ai client target '
    'long reference'
)
_EMPTY = frozenset(_SAY_NOTHING.split())
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
    bodies: dict[str, list[tuple[bool, int, str]]] = {}
    titles: dict[str, list[str]] = {}
    for name in found:
        kinds, others, is_revised = [], [], False
        # Flattened rows name the place before a dot: 'Input.question', 'row.answer'.
        for match in _WORDS.finditer(name.rpartition('.')[2] or name):
            word = match[0].lower()
            if word in _OF:
                kinds.append(word)
            elif word in _TITLES:
                others.append(word)
            elif word in _REVISED:
                is_revised = True
            elif word == '1' and _is_only_one(name, found):
                pass
            elif word not in _EMPTY:
                kinds.clear()
                break  # at once, as a line of a page may be looked at as names
        if len(kinds) != 1:
            continue
        kind = _OF[kinds[0]]
        if others:
            titles.setdefault(kind, []).append(name)
        else:
            rank = not is_revised, order.index(kinds[0])
            bodies.setdefault(kind, []).append((*rank, name))
    made = {}
    for kind in _KINDS:
        body = (
            [min(bodies[kind], key=lambda each: each[:2])[2]] if kind in bodies else []
        )
        if names := (*titles.get(kind, [])[:1], *body):
            made[kind] = names
    return made


def _is_only_one(name: str, found: Sequence[str]) -> bool:
    """Whether a name that ends in 1 has no second beside it: question1, answer_1."""
    stem = name.removesuffix('1')
    return stem != name and f'{stem}2' not in found


def revised(found: Sequence[str]) -> str:
    """The name of the answer that another one became; '' for none.

    ['question', 'answer', 'editedAnswer'] -> 'editedAnswer'
    """
    candidates = [name for name in found if _SAYS_REVISED.search(name)]
    by_name = {name.lower(): name for name in found}
    if {'reflection', 'corrected'} <= by_name.keys():  # Reflection-tuning's
        return by_name['corrected']
    return next(iter(near(candidates).get('answer', ())), '')
