"""The file of answers: what a kill leaves is mended, other files stay as they are."""

import pathlib

import pytest

from hax_jax import errors
from hax_jax.sampling import answer_file

ROW = '{"id": "a", "sample": 0, "workdir": "runs/a", "step": 3}'


def test_a_torn_answer_is_cut_off_and_a_whole_one_kept(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'answers.jsonl'
    path.write_text(f'{ROW}\n{ROW[:30]}')
    with answer_file.AnswerFile(path) as found:
        assert [answer_file.key(row) for row in found.rows] == [('runs/a', 3, 'a', 0)]
        assert found.mend() == 30
    assert path.read_text() == f'{ROW}\n'


def test_a_file_that_held_only_a_torn_answer_goes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'answers.jsonl'
    path.write_text(ROW[:30])
    with answer_file.AnswerFile(path) as found:
        assert found.mend() == 30
    assert not path.exists()


@pytest.mark.parametrize('foreign', ['{"other": 1', '[1, 2', 'a letter', '{"id": 3}\n'])
def test_a_file_of_something_else_is_refused_and_stays(
    foreign: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'answers.jsonl'
    path.write_text(foreign)
    with pytest.raises(errors.InputError, match='is no answer of'):
        answer_file.AnswerFile(path)
    assert path.read_text() == foreign
