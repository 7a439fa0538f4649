"""Rows that hold rows, or two answers and which is better, as rows of one answer.

SQuAD's articles, the dataset viewer's rows, Self-Instruct's instances
{"_id": "7", "_source": {"question": "Why?", "answer": "So."}}        a search engine's
{"@type": "Question", "name": "Why?", "acceptedAnswer": {"text": "So."}}   schema.org
{"@type": "FAQPage", "name": "Ours", "mainEntity": [question, question]}
{"tag": "hi", "patterns": ["Hi", "Hello"], "responses": ["Hey."]}       an intent
{"id": "0", "data": ["Why?", "So."]}                                   UltraChat
{"history": "Why?", "human_ref_A": "So.", "human_ref_B": "No.", "labels": 1}  SHP
{"prompt": "Why?", "response_0": "No.", "response_1": "So.", "better_response_id": 1}
{"context": [turn], "response1": "So.", "response2": "No.", "overall_preference": -2}
{"prompt": "Why?", "responses": ["So.", "No."], "scores": [9, 2]}
{"question": "Why?", "answer_0": "No.", "answer_1": "So.", "score_0": -1, "score_1": 1}
{"question": "Why?", "response_j": "So.", "response_k": "No."}          the first
a post with its comments                                      `forum_topics`
{"prompt": "Why?", "answer_a": "So.", "answer_b": "No.", "winner": "a"}
{"prompt": ["Why?"], "response_a": ["So."], "response_b": ["No."],
"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}       Chatbot Arena's table
{"inputs": {"question": "Why?"}, "outputs": {"answer": "So."}}          LangSmith's
{"text": "QUESTION: Why? … REVISED_RESPONSE: So. <END_OF_SET>"}    `labelled`
"""

import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.exports import forum_topics
from data_pipeline.fields import answer_lists, cells, field_map, numbers
from data_pipeline.layouts import labelled
from data_pipeline.pages import page
from data_pipeline.rows import chat_shapes

# Fields that say which of two answers is better, by its mark.
_WINNERS = ('winner', 'better_response_id', 'preferred', 'preference')
_SIGNED = 'overall_preference'  # HelpSteer3: below 0 the first, above 0 the second
_SHP = 'labels'  # of human_ref_A and human_ref_B: 1 the first, 0 the second
_SHP_ANSWERS = ('human_ref_A', 'human_ref_B')
_TIED, _UNNAMED = -1, -2
# Fields with both answers of a row, for the counts.
UNDECIDED = (
    'two answers that are tied',
    'two answers, neither named the better',
    'two answers and no labels to name the better',
)
_PAIRED = ('response_j', 'response_k')  # the better, the worse
_SCORED = ('answer_0', 'answer_1', 'score_0', 'score_1')  # WebGPT's comparisons
_OF_RUNS = (('inputs', 'outputs'), ('input', 'output'))
_ARENA = ('winner_model_a', 'winner_model_b', 'prompt', 'response_a', 'response_b')
_BETTER, _WORSE = 'chosen_response', 'rejected_response'
_MARKS = (('a', 'b'), ('0', '1'), ('1', '2'))
_MARKED = re.compile(
    r'(response|answer|completion|output|candidate|reply|conversation|human_ref)'
    r'[_ -]?([ab012])',
    re.IGNORECASE,
)
# Names that `in_small_letters` changes; the second ones where they are no pair's.
_OF_PAIRS = ('prompt', 'chosen', 'completion')
_SMALL = frozenset(
    ('messages', 'conversations', 'conversation', 'dialogue', 'dialog', 'segments')
).union(('rejected', *_OF_PAIRS))
_ASKED = ('history', 'context')  # what such a row calls its prompt, if not prompt


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
        return [{**_without(row, 'name'), 'question': row['name'], 'answer': answer}]
    if '@type' in row and (asked := _questions_of_page(row)):
        around = _without(row, 'mainEntity', '@type')
        return [made for each in asked for made in _held(around | each)]
    for name, key in (('qas', 'question'), ('instances', 'output')):
        if name in row and _are_objects(row[name], key):
            return [_around(row, name) | each for each in row[name]]
    if name := pairs_in(row):
        around = _around(row, name)
        return [made for each in row[name] for made in _held(around | each)]
    if isinstance(row.get('patterns'), list):
        around = _around(row, 'patterns')
        return [{**around, 'question': each} for each in row['patterns']]
    if row.get(_WORSE) or _BETTER in row:
        made = {**_without(row, _WORSE), 'rejected': row.get(_WORSE)}
        if _BETTER in made:
            made['chosen'] = made.pop(_BETTER)
        turns = row.get('messages')
        if isinstance(turns, list) and len(turns) > 1:
            made = _without(made, 'messages')
            made |= {'prompt': turns[:-1], 'chosen': turns[-1:]}
        return [made]
    if 'data' in row and row.keys() <= {'id', 'data'} and _are_texts(row['data']):
        return [{**_without(row, 'data'), 'conversations': row['data']}]
    if row.keys() >= {*_PAIRED}:
        made = _without(row, *_PAIRED)
        better, worse = map(row.get, _PAIRED)
        return [{**made, 'chosen': better, 'rejected': worse}]
    if topic := forum_topics.row(row):
        return [answer_lists.with_marks(topic)]
    if sets := _sets(row):
        return sets
    if row.keys() >= {*_ARENA}:
        row = _of_arena(row)
    judged = [*_judged(row)]
    if not judged and (made := _of_run(row)):
        return [made]
    if not judged and (name := _row_in(row)):
        return [_around(row, name) | each for each in _held(row[name])]
    return judged or [answer_lists.with_marks(row)]


def _questions_of_page(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of schema.org's FAQPage or QAPage; [] for another object."""
    held = row.get('mainEntity')
    each = held if isinstance(held, list) else [held]
    are_questions = _are_objects(each, 'name') and _are_objects(each, '@type')
    return each if are_questions else []


def _of_run(row: dict[str, Any]) -> dict[str, Any]:
    """The row whose question and answer lie in two objects; {} for any other."""
    for names in _OF_RUNS:
        parts = [value for each in names if isinstance(value := row.get(each), dict)]
        if len(parts) == len(names) and field_map.has_both([*parts[0], *parts[1]]):
            return _without(row, *names) | parts[1] | parts[0]
    return {}


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
    around = _without(row, 'text')
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


def _judged(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row of a chosen and a rejected answer, if it has two and names the better.

    If neither is named the better, it has an empty answer, and both in a field of
    `UNDECIDED`.
    """
    if row.keys() >= {*_SCORED}:
        row = {**row, _WINNERS[0]: _of_scores(row)}
    judge = next((key for key in (*_WINNERS, _SIGNED, _SHP) if key in row), '')
    if not judge and set(_SHP_ANSWERS) <= set(row):
        judge = _SHP
    if not judge:
        return
    found: dict[str, list[tuple[str, str]]] = {}
    for name in row:
        if match := _MARKED.fullmatch(name):
            found.setdefault(match[1].lower(), []).append((match[2].lower(), name))
    for stem, marked in found.items():
        marked.sort()
        marks, names = tuple(mark for mark, _ in marked), [name for _, name in marked]
        if marks not in _MARKS or (judge == _SHP and stem != 'human_ref'):
            continue
        best = _winner(judge, row.get(judge), marks)
        if best is None:
            continue
        made = _without(row, judge, *names)
        asked = next((key for key in _ASKED if key in made), '')
        if asked and 'prompt' not in made:
            made['prompt'] = made.pop(asked)
        if best < 0:
            both = [row[name] for name in names]
            why = 2 if judge not in row else int(best == _UNNAMED)
            yield {**made, 'chosen': '', UNDECIDED[why]: both}
            return
        for place, i in (('chosen', best), ('rejected', 1 - best)):
            made[place] = row[names[i]]
            if (score := f'score_{names[i][-1]}') in row:
                made[f'score_{place}'] = made.pop(score)
        yield made
        return


def _of_arena(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its two chats, and the mark of the better one as the winner.

    Prompts and responses are lists of turns, or one text each.
    """
    given = [row[name] for name in _ARENA[2:]]
    held = [cells.in_cell(each) if isinstance(each, str) else each for each in given]
    asked, *answers = ([x] if isinstance(x, str) else x for x in held)
    marks = [numbers.number(row[name]) for name in _ARENA[:2]]
    made = _without(row, *_ARENA, 'winner_tie', 'model_a', 'model_b')
    made['winner'] = 'ab'[marks.index(1)] if marks.count(1) == 1 else 'tie'
    for mark, answered in zip('ab', answers, strict=True):
        turns = zip(asked, answered, strict=False)
        made[f'conversation_{mark}'] = [
            {'role': role, 'content': text or ''}
            for each in turns
            for role, text in zip(('user', 'assistant'), each, strict=True)
        ]
    return made


def _of_scores(row: dict[str, Any]) -> str:
    """The mark of the answer that has the higher score; 'tie', or '' without scores."""
    scores = [numbers.number(row[name]) for name in _SCORED[2:]]
    if None in scores:
        return ''
    return 'tie' if scores[0] == scores[1] else str(scores.index(max(scores)))


def _winner(judge: str, value: Any, marks: tuple[str, ...]) -> int | None:
    """0 for the first answer, 1 for the second, `_TIED` or `_UNNAMED`.

    None for a word of a winner that is of another kind of rows.
    """
    text = '' if value is None else str(value).strip().lower()
    if not text:
        return _UNNAMED
    if text.startswith(('tie', 'both', 'equal', 'neither')):
        return _TIED
    if judge == _SHP:
        places = {'1': 0, '0': 1, 'true': 0, 'false': 1}
        return places.get(text.removesuffix('.0'), _UNNAMED)
    if judge == _SIGNED:
        if not re.fullmatch(r'-?\d+(\.0)?', text):
            return _UNNAMED
        return int(float(text) > 0) if float(text) else _TIED
    mark = re.fullmatch(r'(?:.*[_ -]|[a-z]{3,})?([ab012])', text)
    return marks.index(mark[1]) if mark and mark[1] in marks else None


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
    return {'group': str(own)} | _without(row, name, 'id')


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


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
