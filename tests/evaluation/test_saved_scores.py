"""The scores of a run's validation pairs, as its folder keeps them."""

import pathlib

import pytest

from hax_jax import errors
from hax_jax.evaluation import evaluate, saved_scores


def write(workdir: pathlib.Path, *, step: int) -> saved_scores.SavedScores:
    pairs = [
        evaluate.PairScore(
            f'é{i}', 'chat', answer=evaluate.Part(0.1 + i / 3, tokens=5 + i, bytes=20)
        )
        for i in range(4)
    ]
    scores = saved_scores.SavedScores(step, 'rows', 't', 32, pairs)
    saved_scores.write(workdir, scores)
    return scores


def test_scores_are_read_back_to_the_last_bit(tmp_path: pathlib.Path) -> None:
    scores = write(tmp_path, step=40)
    assert saved_scores.read(tmp_path) == scores


def test_scores_that_are_not_there_or_changed_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(errors.InputError, match='missing: the best step is of an earl'):
        saved_scores.read(tmp_path)
    write(tmp_path, step=40)
    path = tmp_path / saved_scores.FILE
    path.write_text(path.read_text().replace('0.1', '0.2', 1))
    with pytest.raises(errors.InputError, match='other contents than were written'):
        saved_scores.read(tmp_path)


def test_a_run_that_goes_on_drops_the_scores_that_it_makes_again(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / saved_scores.FILE
    saved_scores.drop_after(tmp_path, 0)  # there are none
    write(tmp_path, step=40)
    saved_scores.drop_after(tmp_path, 40)
    assert path.exists()
    saved_scores.drop_after(tmp_path, 39)
    assert not path.exists()
    path.write_text('torn')
    saved_scores.drop_after(tmp_path, 40)
    assert not path.exists()
