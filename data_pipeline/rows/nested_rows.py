"""Rows that hold rows, or several answers, as rows of one answer.

SQuAD's articles, the dataset viewer's rows, Self-Instruct's instances
{"_id": "7", "_source": {"question": "Why?", "answer": "So."}}        a search engine's
{"@type": "Question", "name": "Why?", "acceptedAnswer": {"text": "So."}}   schema.org
{"@type": "FAQPage", "name": "Ours", "mainEntity": [question, question]}
{"questions": ["Why?", "How so?"], "answer": "So."}                    QnA Maker
{"tag": "hi", "patterns": ["Hi", "Hello"], "responses": ["Hey."]}       an intent
{"id": "0", "data": ["Why?", "So."]}                                   UltraChat
{"prompt": "Why?", "responses": ["So.", "No."], "scores": [9, 2]}
two answers and which is better                               `two_answers`
a post with its comments                                      `forum_topics`
{"inputs": {"question": "Why?"}, "outputs": {"answer": "So."}}          LangSmith's
{"request": {"messages": [turn]}, "response": {"choices": [{"message": turn}]}}
{"text": "QUESTION: Why? … REVISED_RESPONSE: So. <END_OF_SET>"}    `labelled`
"""

from typing import Any

from data_pipeline.exports import forum_topics
from data_pipeline.fields import answer_lists, field_map
from data_pipeline.layouts import labelled
from data_pipeline.pages import page
from data_pipeline.rows import chat_shapes, two_answers

_OF_RUNS = (('inputs', 'outputs'), ('input', 'output'), ('request', 'response'))
_WORDINGS = ('patterns', 'questions')  # of one question: an intent's, QnA Maker's
_BETTER, _WORSE = 'chosen_response', 'rejected_response'
# Names that `in_small_letters` changes; the second ones where they are no pair's.
_OF_PAIRS = ('prompt', 'chosen', 'completion')
_SMALL = frozenset(
    ('messages', 'conversations', 'conversation', 'dialogue', 'dialog', 'segments')
).union(('rejected', *_OF_PAIRS))


def unfolded(
    row: dict[str, Any], fields: field_map.FieldMap | None = None
) -> list[dict[str, Any]]:
    """The rows that an object holds; almost always itself.

    It is itself where --fields gave `fields` that name its own columns, or that name
    none of the rows it holds.
    """
    made = _held(row)
    if (
        fields
        and fields.is_given
        and (fields.fits(row) or not any(map(fields.fits, made)))
    ):
        return [row]
    return made


def _held(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that an object holds, by the names of its fields in any case.

    {"title": "t", "paragraphs": [{"context": "c", "qas": [{"question": "q",
    "answers": […]}]}]} -> [{"title": "t", "context": "c", "question": "q",
    "answers": […]}]
    """
    if {'row_idx', 'row'} <= row.keys() and isinstance(row['row'], dict):
        return _held(row['row'])  # of the hub's viewer
    row = answer_lists.with_choices(in_small_letters(row))
    asked = row.get('question')
    if isinstance(asked, dict) and 'stem' in asked and 'choices' in asked:  # ARC
        row = {**row, 'question': asked['stem'], 'choices': asked['choices']}
    if 'paragraphs' in row and _are_objects(row['paragraphs'], 'qas'):
        return [
            {
                'article_title': row.get('title', ''),
                'context': paragraph.get('context', ''),
            }
            | asked
            for paragraph in row['paragraphs']
            for asked in paragraph['qas']
            if isinstance(asked, dict)
        ]
    if row.get('@type') == 'Question' and 'name' in row:
        answer = row.get('acceptedAnswer') or row.get('suggestedAnswer')
        made = two_answers.without(row, 'name', 'text')
        return [{**made, 'question': _with_body(row), 'answer': answer}]
    if '@type' in row and (asked := _questions_of_page(row)):
        around = two_answers.without(row, 'mainEntity', '@type')
        return [made for each in asked for made in _held(around | each)]
    for name, key in (('qas', 'question'), ('instances', 'output')):
        if name in row and _are_objects(row[name], key):
            return [_around(row, name) | each for each in row[name]]
    if name := pairs_in(row):
        around = _around(row, name)
        return [made for each in row[name] for made in _held(around | each)]
    if name := next((key for key in _WORDINGS if _are_wordings(row, key)), ''):
        around = _around(row, name)
        return [{**around, 'question': each} for each in row[name]]
    if row.get(_WORSE) or _BETTER in row:
        made = {**two_answers.without(row, _WORSE), 'rejected': row.get(_WORSE)}
        if _BETTER in made:
            made['chosen'] = made.pop(_BETTER)
        turns = row.get('messages')
        if isinstance(turns, list) and len(turns) > 1:
            made = two_answers.without(made, 'messages')
            made |= {'prompt': turns[:-1], 'chosen': turns[-1:]}
        return [made]
    if 'data' in row and row.keys() <= {'id', 'data'} and _are_texts(row['data']):
        return [{**two_answers.without(row, 'data'), 'conversations': row['data']}]
    if topic := forum_topics.row(row):
        return [answer_lists.with_marks(topic)]
    if sets := _sets(row):
        return sets
    judged = [*two_answers.judged(row)]
    if not judged and (made := _of_run(row)):
        return [made]
    if not judged and (name := _row_in(row)):
        return [_around(row, name) | each for each in _held(row[name])]
    return judged or [answer_lists.with_marks(row)]


def _are_wordings(row: dict[str, Any], name: str) -> bool:
    """Whether a field lists wordings of one question; each may have its own answer."""
    is_one = name != _WORDINGS[1] or isinstance(row.get('answer'), str)
    return is_one and isinstance(row.get(name), list)


def _with_body(question: dict[str, Any]) -> Any:
    """The name of schema.org's Question, and below it the text that it has beside."""
    name, text = question['name'], question.get('text')
    if not isinstance(text, str) or not isinstance(name, str) or text in name:
        return name
    return text if text.startswith(name) else f'{name}\n\n{text}'


def _questions_of_page(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of schema.org's FAQPage or QAPage; [] for another object."""
    held = row.get('mainEntity')
    each = held if isinstance(held, list) else [held]
    are_questions = _are_objects(each, 'name') and _are_objects(each, '@type')
    return each if are_questions else []


def _of_run(row: dict[str, Any]) -> dict[str, Any]:
    """The row whose question and answer lie in two objects; {} for any other.

    Of a call to a server of chats, they are its messages and its first choice.
    """
    for names in _OF_RUNS:
        asked, answered = map(row.get, names)
        if isinstance(asked, dict):
            asked = asked.get('messages', asked)
        if turns := chat_shapes.are_turns(asked) and _choice(answered):
            return {**two_answers.without(row, *names), 'messages': [*asked, turns]}
        parts = [value for each in names if isinstance(value := row.get(each), dict)]
        if len(parts) == len(names) and field_map.has_both([*parts[0], *parts[1]]):
            return two_answers.without(row, *names) | parts[1] | parts[0]
    return {}


def _choice(answered: Any) -> dict[str, Any]:
    """The first message of a chat server's answer; {} for any other value."""
    choices = answered.get('choices') if isinstance(answered, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get('message') if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _row_in(row: dict[str, Any]) -> str:
    """The one field that is a row, of an object that is none itself; '' for none.

    {"_id": "7", "_source": {"question": "Why?", "answer": "So."}} -> '_source'
    """
    held = [
        name
        for name, value in row.items()
        if isinstance(value, dict) and is_itself_a_row(value)
    ]
    return held[0] if len(held) == 1 and not is_itself_a_row(row) else ''


def is_itself_a_row(value: dict[str, Any]) -> bool:
    """Whether an object's own fields are a pair's or a chat's."""
    is_one = field_map.has_both([*value]) or chat_shapes.turns(value) is not None
    return is_one or bool(_sets(value)) or forum_topics.row(value) is not None


def _sets(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the sets that a row's text holds; [] for a row of another kind."""
    text = row.get('text')
    if not isinstance(text, str) or 'REVISED' not in text:
        return []
    if labelled.kind(text) != labelled.SETS or field_map.has_both([*row]):
        return []
    found = labelled.parse(text, file='')
    around = two_answers.without(row, 'text')
    if len(found.pairs) > 1:
        around = _around(row, 'text')
    kinds = (page.QUESTION, page.ANSWER)
    others = [piece.text for piece in found.pieces if piece.kind not in kinds]
    made = [
        {
            'weight': pair.weight,
            **around,
            'question': pair.question,
            'answer': pair.answer,
        }
        for pair in found.pairs
    ]
    if made:  # the words of all are counted
        made[0]['other sections of sets'] = '\n'.join(others)
    return made


def pairs_in(row: dict[str, Any]) -> str:
    """The one field that holds pairs, of a row that is no pair itself; '' for none.

    Most of its objects are pairs; one of them may lack its answer.

    {"category": "work", "questions": [{"question": "q", "answer": "a"}]} -> 'questions'
    """
    lists = [key for key, value in row.items() if _is_list_of_objects(value)]
    if not lists or field_map.has_both([*row]):
        return ''
    held = [
        key
        for key in lists
        if 2 * sum(field_map.has_both([*e]) for e in row[key]) > len(row[key])
    ]
    return held[0] if len(held) == 1 and chat_shapes.turns(row) is None else ''


def of_list(value: list[Any]) -> dict[str, Any] | None:
    """The row that a list is: a chat's turns, a question and its answer, or a thread.

    [{"role": "user", "content": "Why?"}, …] -> {"messages": […]}
    ["Why?", "So."] -> {"question": "Why?", "answer": "So."}; None for any other list,
    such as one of columns' names.
    """
    if chat_shapes.are_turns(value) and not chat_shapes.fork(value):
        return {'messages': value}
    if thread := forum_topics.of_listings(value):
        return thread
    if len(value) != 2 or not all(isinstance(each, str) for each in value):
        return None
    if field_map.has_both(value):
        return None
    return {'question': value[0], 'answer': value[1]}


def in_small_letters(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the names of turns and of judged answers in small letters.

    {"Messages": [{"Role": "user", "Content": "Why?"}]} -> {"messages": [{"role": …}]}
    """
    made = row if ''.join(row).islower() else _renamed(row)
    for name in _SMALL.intersection(made):
        turns = chat_shapes.with_small_names(made[name])
        if turns is not made[name]:
            made = {**made, name: turns}
    return made


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    names = {
        name: name.lower()
        for name in row
        if name.lower() in _SMALL and name.lower() not in row
    }
    if 'rejected' not in (*row, *names.values()):  # a pair's names are shown as given
        names = {
            name: to
            for name, to in names.items()
            if to not in _OF_PAIRS or isinstance(row[name], list)
        }
    return {names.get(name, name): value for name, value in row.items()}


def _around(row: dict[str, Any], name: str) -> dict[str, Any]:
    """What several rows share: an id of all of them is their group."""
    own = next((row[key] for key in ('id', 'tag', 'intent') if key in row), '')
    return {'group': str(own)} | two_answers.without(row, name, 'id')


def _is_list_of_objects(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) for each in value)
    )


def _are_texts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(each, str) for each in value)
    )


def _are_objects(values: Any, key: str) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, dict) and key in value for value in values
    )
