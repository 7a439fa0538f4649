"""What --fields may say, and what is chosen where nothing is said."""

import pytest

from data_pipeline.fields import field_map
from hax_jax import errors


def resolve(row: dict, *texts: str, name: str = 'raw/a.csv') -> field_map.FieldMap:
    given = field_map.given_for([name], field_map.parse(texts))
    return field_map.resolve(given, name, [row])


def problem(row: dict, *texts: str) -> str:
    with pytest.raises(errors.InputError) as raised:
        resolve(row, *texts)
    return str(raised.value)


def error(*texts: str) -> str:
    with pytest.raises(errors.InputError) as raised:
        field_map.parse(texts)
    return str(raised.value)


def test_fields_are_joined_named_and_constant() -> None:
    (fields,) = field_map.parse(
        ['question = title + self text,answer=c.0.text, source="a, b+c"']
    )
    assert fields.where == ''
    assert fields.parts == {
        'question': ('title', 'self text'),
        'answer': ('c.0.text',),
        'source': ('"a, b+c"',),
    }


def test_fields_of_some_inputs_come_before_those_of_any() -> None:
    row = {'a': '', 'b': '', 'c': ''}
    texts = ['question=a, answer=b', 'tfds:x/long: question=a, answer=c']
    assert resolve(row, *texts).parts['answer'] == ('b',)
    assert resolve(row, *texts, name='tfds:x/long').parts['answer'] == ('c',)
    there = resolve(row, 'raw/*.csv: question=a, answer=c', name='raw/b.csv')
    assert there.parts['answer'] == ('c',)
    maps = field_map.parse(['b/*.csv: question=a, answer=c'])
    assert field_map.given_for(['raw/a.csv'], maps) is None


@pytest.mark.parametrize(
    ('names', 'question', 'answer'),
    [
        ('question answer', 'question', 'answer'),
        ('title selftext comment ups', 'title+selftext', 'comment'),
        ('title body answer question', 'question', 'answer'),
        ('id subject body reply', 'subject+body', 'reply'),
        ('instruction input output', 'instruction+input', 'output'),
        ('prompt completion', 'prompt', 'completion'),
        ('Question Best-Answer Best_Answer', 'Question', 'Best_Answer'),
        ('PROMPT Response', 'PROMPT', 'Response'),
        ('user_message assistant_message', 'user_message', 'assistant_message'),
        ('Patient Doctor', 'Patient', 'Doctor'),
        ('question ground_truth', 'question', 'ground_truth'),
        ('problem solution', 'problem', 'solution'),
        ('QUESTION DRAFT_RESPONSE REVISED_RESPONSE', 'QUESTION', 'REVISED_RESPONSE'),
        ('question doctor reply', 'question', 'reply'),
        ('question answer editedAnswer', 'question', 'editedAnswer'),
        ('Frage_Text Antwort', 'Frage_Text', 'Antwort'),
        ('domanda réponse', 'domanda', 'réponse'),
        ('вопрос 回答', 'вопрос', '回答'),
        ('customerQuery agentReply', 'customerQuery', 'agentReply'),
        ('user_input ai_output', 'user_input', 'ai_output'),
        ('id title reply score', 'title', 'reply'),
        ('prompt original_response corrected_response', 'prompt', 'corrected_response'),
        ('question draftResponse revisedResponse', 'question', 'revisedResponse'),
        ('patientQuestion doctorAnswer', 'patientQuestion', 'doctorAnswer'),
        ('preguntas respuestas', 'preguntas', 'respuestas'),
        ('question knowledge answer', 'question+knowledge', 'answer'),
    ],
)
def test_common_names_are_chosen(names: str, question: str, answer: str) -> None:
    fields = resolve(dict.fromkeys(names.split(), ''))
    assert '+'.join(fields.parts['question']) == question
    assert '+'.join(fields.parts['answer']) == answer


def test_a_subject_that_is_asked_is_no_topic_too() -> None:
    row = {'subject': 'Late', 'body': 'Where is it?', 'reply': 'Here.'}
    assert 'topic' not in resolve(row).parts
    assert resolve({**row, 'category': 'Post'}).parts['topic'] == ('category',)


@pytest.mark.parametrize(
    'pair', ['questionText answerText', 'Q A', 'Question BestAnswer']
)
@pytest.mark.parametrize(
    'other', ['user', 'human', 'post', 'prompt', 'comment', 'reply', 'bot', 'response']
)
def test_names_that_say_question_and_answer_are_meant(pair: str, other: str) -> None:
    asked, answered = pair.split()
    for names in ((other, asked, answered), (asked, answered, other)):
        fields = resolve(dict.fromkeys(names, 'It is a text of some words.'))
        assert fields.parts == {'question': (asked,), 'answer': (answered,)}


def test_letters_of_choices_are_no_names_of_a_pair() -> None:
    row = dict.fromkeys(['q', 'a', 'b', 'response'], 'It is.')
    assert resolve(row).parts['answer'] == ('response',)


def test_a_persons_name_is_no_text() -> None:
    row = {'letter': 'May I sing?', 'reply': 'You may.'}
    names = {'question': ('letter',), 'answer': ('reply',)}
    for person in ('ann77', 'Ann Lee', 17, ''):
        assert resolve({'user': person, **row}).parts == names
    chat = {'user': 'Sing', 'assistant': 'La'}
    assert resolve(chat).parts == {'question': ('user',), 'answer': ('assistant',)}


@pytest.mark.parametrize('name', ['post', 'context'])
def test_a_letter_beside_a_post_or_a_context_is_the_question(name: str) -> None:
    row = {'letter': 'May I sing?', 'reply': 'You may.'}
    for value in ('', 'A text of some words.', 17):
        fields = resolve({name: value, **row})
        assert fields.parts['question'][0] == 'letter'
        assert fields.parts['answer'] == ('reply',)


def test_a_title_beside_another_text_is_no_question() -> None:
    assert "'title', 'content', 'reply'" in problem(
        {'title': 'Tom', 'content': 'Why?', 'reply': 'So.'}
    )


def test_texts_in_several_languages_are_a_problem_that_names_one() -> None:
    row = {
        'question': {'en': 'Why?', 'de': 'Warum?'},
        'answer': {'en': 'So.', 'de': 'Darum.'},
    }
    assert problem(row) == (
        "raw/a.csv: 'question' and 'answer' of its rows are objects of several texts; "
        "name one, as in --fields='question=question.en, answer=answer.en'."
    )
    given = ('question=question.en, answer=answer.en',)
    assert resolve(row, *given).parts['answer'] == ('answer.en',)


def test_a_row_without_such_names_is_a_problem_that_names_them() -> None:
    found = problem({'left': '', 'x' * 90: ''})
    assert found == (
        "raw/a.csv: which of its fields 'left', '" + 'x' * 40 + "…' are question and "
        'answer?'
    )


@pytest.mark.parametrize(
    'names', ['id link_id parent_id body score', 'id title selftext num_comments score']
)
def test_posts_and_comments_of_an_archive_are_joined_by_a_program(names: str) -> None:
    row = dict.fromkeys(names.split(), '') | {'subreddit': 'advice'}
    assert problem(row).endswith(
        "Reddit's posts and their comments are joined first: python -m "
        'data_pipeline.collect --source=dump --input=POSTS --input=COMMENTS '
        '--subreddit=advice --output=threads.jsonl; then give threads.jsonl.'
    )


def test_posts_and_comments_in_one_file_are_joined_by_a_program_too() -> None:
    names = 'id title selftext num_comments score link_id parent_id body'
    found = problem(dict.fromkeys(names.split(), '') | {'subreddit': 'advice'})
    assert '--source=dump --input=raw/a.csv --subreddit=advice' in found


def test_a_field_that_is_not_there_is_a_problem() -> None:
    texts = ['question=title+boddy, answer=left, score=ups']
    found = problem({'title': '', 'left': ''}, *texts)
    assert found == "raw/a.csv has no 'boddy', 'ups'; it has 'title', 'left'."


def test_a_field_that_is_null_is_there() -> None:
    fields = resolve({'q': None, 'a': {'b': [None]}}, 'question=q,answer=a.b.0')
    assert fields.parts['answer'] == ('a.b.0',)


def test_values_within_values() -> None:
    row = {'a': {'b': ['x', {'c': 'y'}]}, 'a.b': 'z', 't': ('u',)}
    assert field_map.value_at(row, 'a.b') == 'z'
    assert field_map.value_at(row['a'], 'b.1.c') == 'y'
    assert field_map.value_at(row, 't.0') == 'u'
    for name in ('a.b.2', 't.1', 't.-1', 't.x', 't.0.0', 'none', 't.²', ''):
        assert field_map.value_at(row, name) is field_map.MISSING


def test_wrong_texts_are_named_together() -> None:
    assert error('title', 'question=a', 'question=,answer=b') == (
        "--fields='title' names none of question, answer, id, group, source, topic, "
        'time, score, weight, learn; give a map such as '
        "--fields='question=title+selftext, answer=comment'.\n"
        "--fields='question=a': 'answer' is missing; give both, such as "
        "--fields='question=title+selftext, answer=comment'.\n"
        "--fields='question=,answer=b': 'question=' is not NAME=FIELD.\n"
        '--fields is given twice; give it once, or name the inputs '
        "that each is for: --fields='a/*.csv: question=…'."
    )
    assert error('question=a, answer=b, answer=c, title=d, b') == (
        "--fields='question=a, answer=b, answer=c, title=d, b': 'answer' is given "
        'twice.\n'
        "--fields='question=a, answer=b, answer=c, title=d, b': 'title' is none of "
        'question, answer, id, group, source, topic, time, score, weight, learn.\n'
        "--fields='question=a, answer=b, answer=c, title=d, b': 'b' is not NAME=FIELD."
    )


SAID = 'Ask her for it on a set day, and bring a bag.'


@pytest.mark.parametrize(
    ('row', 'answer'),
    [
        ({'question': 'Why?', 'answer': 'So.', 'ground_truth': SAID}, 'ground_truth'),
        (
            {'question': 'Why?', 'answer': 'So.', 'Reference Answer': SAID},
            'Reference Answer',
        ),
        (
            {
                'user_input': 'Why?',
                'retrieved_contexts': ['It is.'],
                'response': 'So.',
                'reference': SAID,
            },
            'reference',
        ),
        # A number to grade by, and a source.
        ({'question': 'Why?', 'answer': SAID, 'ground_truth': '42'}, 'answer'),
        ({'question': 'Why?', 'answer': 'So.', 'reference': SAID}, 'answer'),
    ],
)
def test_the_right_answer_beside_a_models_is_learned(row: dict, answer: str) -> None:
    assert resolve(row).parts['answer'] == (answer,)
