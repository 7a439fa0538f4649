"""Missing paths and steps are answered with the nearest that there are."""

import pathlib

import pytest

from hax_jax import errors, hub, near_names
from hax_jax.data import dataset_folder, records
from hax_jax.runs import run_folder
from hax_jax.sampling import prompts


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    for name in ('runs/full', 'runs/lora', 'data/advice'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'questions.txt').touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ('missing', 'near'),
    [
        ('runs/ful', 'runs/full'),
        ('run/lora', 'runs/lora'),
        ('rums/ful', 'runs/full'),
        ('data/advise', 'data/advice'),
        ('question.txt', 'questions.txt'),
        ('runs/full', ''),  # it is there
        ('runs/quite_another', ''),
        ('no/where', ''),
        ('gs://bucket/ful', ''),
        ('', ''),
        ('questions.txt/x', ''),  # in a file
        ('x' * 300, ''),
    ],
)
def test_the_nearest_path_is_found(
    missing: str, near: str, folder: pathlib.Path
) -> None:
    assert near_names.near_path(missing) == near
    if missing.startswith('r'):  # absolute too
        found = near_names.near_path(folder / missing)
        assert found == (str(folder / near) if near else '')


@pytest.mark.parametrize(
    ('wanted', 'there', 'said'),
    [
        (950, [], 'it has none'),
        (950, [3, 1], 'it has 1, 3'),
        (950, range(100, 2001, 100), 'the nearest of its 20 are 800, 900, 1000, 1100'),
    ],
)
def test_the_nearest_steps_are_listed(wanted: int, there: list[int], said: str) -> None:
    assert near_names.steps(wanted, there) == said


def test_whatever_reads_a_path_names_the_nearest(folder: pathlib.Path) -> None:
    asks = [
        (lambda: run_folder.read_run(pathlib.Path('runs/ful')), 'runs/full'),
        (lambda: dataset_folder.read_manifest('data/advise'), 'data/advice'),
        (lambda: records.open_cache('data/advise'), 'data/advice'),
        (lambda: prompts.read('question.txt'), 'questions.txt'),
        (
            lambda: hub.local_folder('./runs/ful', field='base', patterns=[]),
            'runs/full',
        ),
    ]
    for ask, near in asks:
        with pytest.raises(errors.InputError) as said:
            ask()
        assert str(said.value).endswith(f' Did you mean {near}?'), said.value
