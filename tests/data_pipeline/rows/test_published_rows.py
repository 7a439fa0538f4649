"""Rows of data sets with shapes of their own, and names of turns and columns."""

import itertools
import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import reader
from hax_jax import errors


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(*rows: Any, name: str = 'a.jsonl') -> list[tuple[str, ...]]:
    pathlib.Path(name).write_text(''.join(json.dumps(row) + '\n' for row in rows))
    pairs, _ = reader.read([name])
    return [(pair.question, pair.answer, *pair.more) for pair in pairs]


ASKED = [{'input_text': 'Who?', 'turn_id': 1}, {'input_text': 'Why?', 'turn_id': 2}]
ANSWERED = [{'input_text': 'Tom.', 'turn_id': 1}, {'input_text': 'So.', 'turn_id': 2}]
STORY = {'id': 'x', 'story': 'Tom sang.', 'questions': ASKED, 'answers': ANSWERED}
TALK = ('Who?\n\nTom sang.', 'Tom.', 'Why?', 'So.')


def test_a_story_with_questions_is_a_conversation() -> None:
    assert read(STORY) == [TALK]
    assert read({'version': '1.0', 'data': [STORY]}, name='a.json') == [TALK]
    columns = {'input_text': ['Tom.', 'So.'], 'answer_start': [0, 4]}
    published = {**STORY, 'questions': ['Who?', 'Why?'], 'answers': columns}
    assert read(published) == [TALK]


def test_a_story_whose_answers_do_not_fit_is_refused() -> None:
    for answers in (ANSWERED[::-1], ANSWERED[:1]):
        with pytest.raises(errors.InputError):
            read({**STORY, 'answers': answers})


def test_turns_with_marks_of_their_own_are_read() -> None:
    said = {
        'Human': '<|Human|>: Who?<eoh>\n',
        'Inner Thoughts': '<|Inner Thoughts|>: None<eot>\n',
        'MOSS': '<|MOSS|>: Tom.<eom>\n',
    }
    again = {'Human': '<|Human|>: Why?<eoh>\n', 'MOSS': '<|MOSS|>: So.<eom>\n'}
    moss = {'meta_instruction': 'Be kind.', 'chat': {'turn_2': again, 'turn_1': said}}
    assert read(moss) == [('Who?', 'Tom.', 'Why?', 'So.')]
    baize = {
        'topic': 't',
        'input': 'The conversation between human and AI assistant.\n[|Human|] Who?\n'
        '[|AI|] Tom.\n[|Human|] Why?\n[|AI|] So.\n[|Human|] ',
    }
    assert read(baize) == [('Who?', 'Tom.', 'Why?', 'So.')]


@pytest.mark.parametrize(
    'row',
    [
        {'role_1': 'USER', 'topic': 't', 'message_1': 'Who?', 'message_2': 'Tom.'},
        {'question1': 'Who?', 'answer1': 'Tom.'},
        {'question': 'Who?', 'answer_1': 'Tom.'},
        {'question': 'Who?', 'short_answer': 'T', 'long_answer': 'Tom.'},
        {'question': 'Who?', 'reference_answer': 'Tom.'},
        {'human': 'Who?', 'gpt': 'Tom.'},
        {'text': 'Instruction: Who?\n\nOutput: Tom.'},
        {'text': 'Instruction: Who?\nInput: \nResponse: Tom.'},
    ],
)
def test_names_near_a_pairs_are_read(row: dict[str, str]) -> None:
    assert read(row, row) == [('Who?', 'Tom.')] * 2


@pytest.mark.parametrize('right', ['reference_answer', 'goldAnswer', 'Correct Answer'])
def test_the_right_answer_is_learned_and_not_a_models(right: str) -> None:
    row = {'question': 'Who?', 'model_answer': 'Not Tom.', right: 'Tom.'}
    assert read(row) == [('Who?', 'Tom.')]


@pytest.mark.parametrize('other', ['answer_0', 'answer_2'])
def test_several_numbered_answers_are_not_guessed(other: str) -> None:
    with pytest.raises(errors.InputError, match='which of its fields'):
        read({'question': 'Who?', 'answer_1': 'Tom.', other: 'Ann.'})


@pytest.mark.parametrize('form', ['%s', '{"items": %s}', '{"a": {"items": %s}}'])
def test_the_better_of_two_answers_is_learned_at_any_depth(form: str) -> None:
    answers = {'answer_0': 'Tom.', 'answer_1': 'Ann.', 'score_0': 1.0, 'score_1': -1.0}
    row = {'question': {'full_text': 'Who?'}, **answers}
    pathlib.Path('a.json').write_text(form % json.dumps([row, row]))
    assert [pair.answer for pair in reader.read(['a.json'])[0]] == ['Tom.'] * 2


@pytest.mark.parametrize('key', ['author', 'type'])
@pytest.mark.parametrize('name', ['messages', 'chat'])
def test_roles_of_other_names_are_read(key: str, name: str) -> None:
    turns = [{key: 'human', 'content': 'Who?'}, {key: 'AI', 'content': 'Tom.'}]
    if name == 'chat':
        turns = [{'role': turn[key], 'content': turn['content']} for turn in turns]
    assert read({name: turns}) == [('Who?', 'Tom.')]


def test_authors_and_types_that_are_no_roles_are_refused() -> None:
    for key, values in (('author', ['Ann', 'Tom']), ('type', ['human', 'image'])):
        turns = [{key: value, 'content': 'Who?'} for value in values]
        with pytest.raises(errors.InputError):
            read({'messages': turns})


def test_rows_by_id_may_lack_an_answer() -> None:
    rows = {f'p{i}': {'question': 'Who?', 'answer': 'Tom.'} for i in range(3)}
    document = {**rows, 'p9': {'question': 'Why?'}, 'p10': {}}
    pathlib.Path('a.json').write_text(json.dumps(document, indent=1))
    pairs, report = reader.read(['a.json'])
    assert len(pairs) == 3
    assert report.counts['pairs rows'] + len(report.unknown_lines) >= 4


@pytest.mark.parametrize('names', [('source', 'target'), ('src', 'tgt')])
def test_a_source_is_a_question_only_where_sources_ask(names: tuple[str, str]) -> None:
    asked, answered = names
    row = {'id': 1, asked: 'Who sings?', answered: 'Tom.'}
    assert read(row, row) == [('Who sings?', 'Tom.')] * 2
    translated = {asked: 'Who sings?', answered: 'Wer singt?'}
    for other in ({asked: 'Tom sings.', answered: 'Tom singt.'}, translated):
        with pytest.raises(errors.InputError, match='which of its fields'):
            read(other, other)


@pytest.mark.parametrize(
    'history',
    [
        [['Who?', 'Tom.']],
        [{'role': 'user', 'content': 'Who?'}, {'role': 'assistant', 'content': 'Tom.'}],
        [{'user': 'Who?', 'assistant': 'Tom.'}],
        [{'question': 'Who?', 'answer': 'Tom.'}],
        ['Who?', 'Tom.'],
        ['Who?', 'Tom.', 'Why?'],
        [['user', 'Who?'], ['assistant', 'Tom.']],
    ],
)
@pytest.mark.parametrize('name', ['history', 'chat_history', 'conversation_history'])
def test_a_history_of_any_shape_comes_before_its_row(
    history: list[Any], name: str
) -> None:
    row = {'instruction': 'Why?', 'output': 'So.', name: history}
    assert read(row) == [('Who?', 'Tom.', 'Why?', 'So.')]


@pytest.mark.parametrize(
    'history',
    [
        ['Who?', 'And when?'],
        ['Who?', 'Tom.', 'When?'],
        ['Hello.'],
        [['assistant', 'Hi.'], ['user', 'Who?']],
        [{'role': 'user', 'content': 'Who?'}],
        [{'role': 'assistant', 'content': 'Hi.'}, {'role': 'user', 'content': 'Who?'}],
    ],
)
def test_a_history_without_its_answers_is_left_out(history: list[Any]) -> None:
    row = {'instruction': 'Why?', 'output': 'So.', 'history': history}
    assert read(row) == [('Why?', 'So.')]


@pytest.mark.parametrize(
    'names',
    [('ask', 'reply'), ('inquiry', 'resp'), ('patient_question', 'doctor_answer'),
     ('question_stem', 'answer')],
)  # fmt: skip
def test_names_near_a_question_and_an_answer_are_read(names: tuple[str, str]) -> None:
    assert read(dict(zip(names, ('Why?', 'So.'), strict=True))) == [('Why?', 'So.')]


def test_prices_asked_and_marks_of_what_is_answered_are_no_texts_of_a_pair() -> None:
    for row in ({'bid': 1, 'ask': 2}, {'title': 'Why?', 'answered': 'yes', 'n': 1}):
        with pytest.raises(errors.InputError, match='which of its fields'):
            read(row)


SAID = ['hi, who are you?', "i'm tom.", 'good to know.', 'is it?', 'it is.']


@pytest.mark.parametrize('name', ['dialogs.txt', 'dialogs.tsv', 'dialogs.csv'])
def test_a_dialog_of_two_columns_without_a_header_is_pairs(name: str) -> None:
    sign = ',' if name.endswith('.csv') else '\t'
    rows = [*itertools.pairwise(SAID), ('how is it?', 'fine, thanks.')]
    text = ''.join(f'"{a}"{sign}"{b}"\n' for a, b in rows)
    pathlib.Path(name).write_text(text)
    pairs, _ = reader.read([name])
    assert [(pair.question, pair.answer) for pair in pairs] == rows


@pytest.mark.parametrize(
    'rows',
    [
        [('Paris', 'London'), ('London', 'Rome'), ('Rome', 'Bonn')],  # a route
        [('Go.', 'Geh.'), ('Run.', 'Lauf.'), ('Hi.', 'Hallo.')],  # a translation
    ],
)
def test_two_columns_without_a_header_that_are_no_dialog_are_refused(
    rows: list[tuple[str, str]],
) -> None:
    pathlib.Path('a.tsv').write_text(''.join('\t'.join(row) + '\n' for row in rows))
    with pytest.raises(errors.InputError, match='which of its fields'):
        reader.read(['a.tsv'])


@pytest.mark.parametrize(
    'row',
    [
        {'problem': 'Why?', 'generated_solution': 'So.', 'expected_answer': '7'},
        {'Question': 'Why?', 'Best Answer': 'So.', 'Correct Answers': 'So.; ' * 9},
        {'question': 'Why?', 'true_answer': 'So.', 'false_answer1': 'No.'},
        {'input': 'Why?', 'actual_output': 'No.', 'expected_output': 'So.'},
    ],
)
def test_the_answer_to_learn_is_told_from_others(row: dict[str, str]) -> None:
    assert read(row) == [('Why?', 'So.')]


def test_an_instruction_that_is_a_talk_is_one() -> None:
    asked = 'Human:Who?\nAssistant:Tom.\nHuman:Why?\nAssistant:'
    row = {'instruction': asked, 'input': '', 'output': 'So.'}
    assert read(row) == [('Who?', 'Tom.', 'Why?', 'So.')]


@pytest.mark.parametrize('name', ['answer_text', 'answerBody', 'reply', 'comment_body'])
def test_an_answers_text_may_have_its_own_name(name: str) -> None:
    answers = [{name: 'Nobody.', 'upvotes': 1}, {name: 'Tom does.', 'upvotes': 9}]
    row = {'question': 'Who sings?', 'answers': answers}
    assert read(row) == [('Who sings?', 'Tom does.')]
