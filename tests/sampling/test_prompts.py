import hashlib
import io
import json
import pathlib
import types

import pytest

from hax_jax import errors
from hax_jax.sampling import prompts


def write(tmp_path: pathlib.Path, name: str, content: str | bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def texts(found: prompts.Questions) -> list[str]:
    return [question.text for question in found.questions]


def message(path: str) -> str:
    with pytest.raises(errors.InputError) as error:
        prompts.read(path)
    return str(error.value)


def give_standard_input(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    stdin = types.SimpleNamespace(buffer=io.BytesIO(content.encode()))
    monkeypatch.setattr('sys.stdin', stdin)


def test_letters_are_separated_by_a_line_of_three_dashes(
    tmp_path: pathlib.Path,
) -> None:
    path = write(
        tmp_path,
        'letters.txt',
        '\nDear you,\n\nfirst -- letter --- here.\n---\n  Second.\n----\n- - -\n'
        ' --- \n\nThird.\n',
    )
    found = prompts.read(path)
    assert texts(found) == [
        'Dear you,\n\nfirst -- letter --- here.',
        'Second.\n----\n- - -',
        'Third.',
    ]
    places = [question.place for question in found.questions]
    assert places == [f'{path}:2', f'{path}:6', f'{path}:11']
    assert found.notes == []


def test_a_text_without_separators_is_one_letter_and_a_note_says_so(
    tmp_path: pathlib.Path,
) -> None:
    path = write(tmp_path, 'letter.txt', 'One line.\nAnother line.\n')
    found = prompts.read(path)
    assert texts(found) == ['One line.\nAnother line.']
    assert found.notes == [f'{path} has no line ---: it is read as one letter.']


def test_separators_at_the_ends_separate_nothing(tmp_path: pathlib.Path) -> None:
    found = prompts.read(write(tmp_path, 'a.txt', '---\nOne.\n---\nTwo.\n---\n\n'))
    assert texts(found) == ['One.', 'Two.']


def test_windows_and_old_mac_files_read_alike(tmp_path: pathlib.Path) -> None:
    for ends in ('\n', '\r\n', '\r'):
        content = '\ufeff' + f'A\u00e9 1.{ends}A2.{ends}---{ends}B.{ends}'
        found = prompts.read(write(tmp_path, 'a.txt', content))
        assert texts(found) == ['A\u00e9 1.\nA2.', 'B.']


def test_json_lines_give_question_or_prompt_id_and_seed(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path,
        'questions.jsonl',
        '{"question": " Why?\\n---\\nHow? ", "id": "why", "seed": 7}\n'
        '\n'
        '{"prompt": "What \\u00e9?", "id": 12, "topic": "x", "answer": "y"}\n'
        '{"question": "No id.", "id": null, "seed": null}',
    )
    found = prompts.read(path)
    digest = hashlib.sha256(b'No id.').hexdigest()[:12]
    assert found.questions == [
        prompts.Question('why', 'Why?\n---\nHow?', f'{path}:1', 7),
        prompts.Question('12', 'What \u00e9?', f'{path}:3', None),
        prompts.Question(digest, 'No id.', f'{path}:4', None),
    ]
    assert found.notes == [f'{path}: ignored the fields answer, topic.']


def test_an_id_made_of_the_text_is_the_same_in_any_file_and_order(
    tmp_path: pathlib.Path,
) -> None:
    flags = prompts.from_texts([' B. ', 'A.'])
    file = prompts.read(write(tmp_path, 'a.txt', 'A.\n---\nC.\n---\nB.'))
    lines = prompts.read(write(tmp_path, 'a.jsonl', '{"prompt": "B."}'))
    ids = {question.text: question.id for question in file.questions}
    assert [question.id for question in flags.questions] == [ids['B.'], ids['A.']]
    assert lines.questions[0].id == ids['B.']


def test_the_same_letter_again_has_its_own_id() -> None:
    found = prompts.from_texts(['A.', 'B.', 'A.', 'A.'])
    first, _, second, third = [question.id for question in found.questions]
    assert (second, third) == (f'{first}-2', f'{first}-3')


def test_standard_input_is_text_or_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    give_standard_input(monkeypatch, 'One.\n---\nTwo.\n')
    assert texts(prompts.read('-')) == ['One.', 'Two.']
    give_standard_input(monkeypatch, '{"question": "One?"}\n')
    assert texts(prompts.read('-')) == ['One?']
    give_standard_input(monkeypatch, '{"question": "One?"\n')
    assert message('-').startswith('standard input:1: not a JSON object on one line')
    give_standard_input(monkeypatch, ' \n')
    assert message('-').startswith('standard input is empty; give letters')


def test_each_bad_line_is_named_in_one_error(tmp_path: pathlib.Path) -> None:
    rows = [
        '{"question": "Good.", "id": "a"}',
        '{"question": "Cut off',
        '["a list"]',
        '{"quesiton": "Misspelt."}',
        '{"question": "Q", "prompt": "P"}',
        '{"question": "  "}',
        '{"question": 5}',
        '{"question": "Q", "id": "a"}',
        '{"question": "Q", "id": true}',
        '{"question": "Q", "seed": -1}',
        '{"question": "Q", "seed": 1.5, "id": ""}',
        '{"question": "half \\ud83d of a pair"}',
        '[' * 100_000,
    ]
    path = write(tmp_path, 'bad.jsonl', '\n'.join(rows))
    lines = message(path).split('\n')
    expected = [
        ':2: not a JSON object on one line (Unterminated string',
        ':3: not an object; write {"question": "..."}.',
        ':4: has no "question" (its fields: quesiton); give one of the two.',
        ':5: has both "question" and "prompt" (its fields: question, prompt)',
        ':6: "question" is empty; write a letter.',
        ':7: "question" is not a text; write it in quotes.',
        f":8: id 'a' is that of {path}:1 too; ids must differ",
        ':9: id True is not a text or a whole number.',
        ':10: seed -1 is not a whole number from 0 to 2**32 - 1.',
        ":11: id '' is empty",
        ':11: seed 1.5 is not a whole number',
        ':12: "question" is not Unicode text',
        ':13: not a JSON object on one line',
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(path + start)


def test_a_file_of_the_wrong_kind_does_not_flood_the_terminal(
    tmp_path: pathlib.Path,
) -> None:
    path = write(tmp_path, 'prose.jsonl', 'A line of prose.\n' * 1000)
    lines = message(path).split('\n')
    assert len(lines) == 51
    assert lines[-1] == 'and 950 more.'


def test_each_empty_letter_is_named(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, 'a.txt', 'One.\n---\n\n---\n---\nTwo.')
    assert message(path) == (
        f'{path}:3: an empty letter between two lines ---; write one or remove a '
        f'line.\n{path}:5: an empty letter between two lines ---; write one or remove '
        'a line.'
    )


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        (b'', 'is empty; give letters separated by a line ---'),
        (b' \n\t\n', 'is empty; give letters'),
        (b'---\n---\n', 'has lines --- and no letters; write letters'),
        (b'one\ntwo \xff\xfe', ':2: byte 8 is not UTF-8 text; save the file as UTF-8'),
        (b'\x7fELF\0\0\0', 'is a binary file'),
        ('UTF-16'.encode('utf-16'), 'is UTF-16 text; save it as UTF-8.'),
    ],
)
def test_a_file_without_text_is_one_error(
    tmp_path: pathlib.Path, content: bytes, says: str
) -> None:
    path = write(tmp_path, 'a.txt', content)
    assert says in message(path)
    assert '\n' not in message(path)


def test_a_missing_file_and_a_folder_are_one_error(tmp_path: pathlib.Path) -> None:
    assert 'does not exist; give a text or JSONL file' in message(str(tmp_path / 'no'))
    assert 'can not be read' in message(str(tmp_path))
    assert 'can not be read' in message('~no_such_user/letters.txt')


def test_each_empty_prompt_flag_is_named() -> None:
    with pytest.raises(errors.InputError) as error:
        prompts.from_texts(['A.', ' ', '\udcff'])
    assert str(error.value).split('\n') == [
        '--prompt 2 is empty; write a letter.',
        '--prompt 3 is not Unicode text (it has half of a surrogate pair); mend it.',
    ]


def test_json_lines_of_one_file_may_be_prompts_of_another_run(
    tmp_path: pathlib.Path,
) -> None:
    row = {'id': 'a', 'sample': 0, 'prompt': 'Q', 'text': 'A', 'seed': 3}
    found = prompts.read(write(tmp_path, 'samples.jsonl', json.dumps(row)))
    assert found.questions[0].seed == 3
    assert found.notes == [
        f'{found.questions[0].place[:-2]}: ignored the fields sample, text.'
    ]


def test_a_letter_that_is_no_letter_by_its_size_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'letters.txt'
    path.write_text('Why?\n---\n' + 'a' * 100_001)
    with pytest.raises(errors.InputError) as caught:
        prompts.read(str(path))
    assert str(caught.value) == (
        f'{path}:3: the letter has 100,001 characters; at most 100,000 are read: '
        'shorten it, or part it into several.'
    )
    assert prompts.from_texts(['a' * 100_000]).questions
    with pytest.raises(errors.InputError, match='/dev/zero is a device; give a text'):
        prompts.read('/dev/zero')
