import os
import pathlib

import pytest

from hax_jax.program import output_file


def test_a_new_file_and_a_regular_one_can_be_written(tmp_path: pathlib.Path) -> None:
    assert output_file.problems('output', tmp_path / 'new' / 'deep' / 'a.json') == []
    (tmp_path / 'old.json').touch()
    assert output_file.problems('output', tmp_path / 'old.json') == []


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    for path in (pipe, pathlib.Path(os.devnull)):
        assert output_file.problems('table', path) == [
            f'--table={path} is a device or a pipe; give the name of a file.'
        ]


def test_a_folder_and_what_lies_under_a_file_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'file').touch()
    [folder] = output_file.problems('output', tmp_path)
    assert folder == f'--output={tmp_path} is a folder; give the name of a file in it.'
    [under] = output_file.problems('output', tmp_path / 'file' / 'a.json')
    assert f'{tmp_path / "file"} is not a folder that can be written to' in under


def test_two_flags_do_not_share_a_file(tmp_path: pathlib.Path) -> None:
    same, dotted = str(tmp_path / 'a.md'), f'{tmp_path}/b/../a.md'
    assert output_file.one_file({'prompts': same, 'output': '', 'table': dotted}) == [
        f'--prompts and --table are the same file, {dotted}; give each its own.'
    ]
    assert output_file.one_file({'prompts': same, 'table': f'{same}.table'}) == []
    assert output_file.one_file({'prompts': '', 'table': ''}) == []


def test_a_table_with_scores_is_kept_beside_the_new_one(tmp_path: pathlib.Path) -> None:
    table = tmp_path / 'answers.md'
    assert output_file.set_aside(table, 'blank') is None
    table.write_text('blank')
    assert output_file.set_aside(table, 'blank') is None
    for number, scored in ((1, 'first scores'), (2, 'second scores')):
        table.write_text(scored)
        aside = output_file.set_aside(table, 'blank')
        assert aside == tmp_path / f'answers.{number}.md'
        assert aside.read_text() == scored
        assert not table.exists()


def test_a_place_that_takes_no_file_is_named_whatever_its_rights_say() -> None:
    path = pathlib.Path('/proc/new/a.json')
    assert os.access('/proc', os.W_OK) == (os.geteuid() == 0)
    for check in (output_file.problems, output_file.new_folder):
        (problem,) = check('output', path)
        assert problem.startswith(
            f'--output={path}: /proc is not a folder that can be written to ('
        )


def test_a_folder_that_cant_be_made_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'file'
    file.write_text('')
    (tmp_path / 'link').symlink_to('nowhere')
    assert output_file.new_folder('output', tmp_path / 'new' / 'deep') == []
    for path, message in (
        (tmp_path, 'exists; give a new name'),
        (tmp_path / 'link', 'exists; give a new name'),
        (file, 'exists; give a new name'),
        (file / 'in' / 'it', f'{file} is not a folder that can be written to'),
    ):
        (problem,) = output_file.new_folder('output', path)
        assert message in problem and f'--output={path}' in problem


@pytest.mark.parametrize(
    ('text', 'is_refused'),
    [('{"a": 1}\n', False), ('', False), ('mine\n', True), ('[1]\n{"a": 1}', True)],
)
def test_a_file_of_another_program_is_not_replaced(
    text: str, is_refused: bool, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_text(text)
    found = output_file.foreign(
        'output', path, lambda head: 'a' in output_file.first_row(head), 'file of ours'
    )
    said = f'--output={path} exists and is no file of ours; give another name.'
    assert found == ([said] if is_refused else [])
    assert not output_file.foreign('output', tmp_path / 'new', bool, 'file of ours')
