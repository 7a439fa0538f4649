"""Folders and files that this project wrote, given as inputs by mistake."""

import pathlib

import pytest

from data_pipeline.reading import inputs, path_patterns
from hax_jax import errors


@pytest.fixture(autouse=True)
def _folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('data/tfds', 'run/checkpoints', 'raw'):
        pathlib.Path(name).mkdir(parents=True)
    texts = {
        'data/manifest.json': '{"schema": 1}',
        'data/ledger.json': '{"pairs": 3}',
        'run/config.json': '{"model": {}}',
        'run/samples.jsonl': '{"prompt": "Why?", "text": "So."}\n',
        'mine.py': 'def get_config():\n    return draft\n',
        'raw/config.json': '{"question": "Why?", "answer": "So."}',
        'raw/manifest.json': '{"question": "Why?", "answer": "So."}',
    }
    for path, text in texts.items():
        pathlib.Path(path).write_text(text)


@pytest.mark.parametrize(
    ('given', 'said', 'remedy'),
    [
        ('data', 'is a dataset that was built', 'hax data --data=data,'),
        ('data/ledger.json', 'is a file of a dataset that was built', '--input=tfds:'),
        ('run', 'is a run, which holds no pairs', 'hax report --workdir=run,'),
        ('run/samples.jsonl', 'is a file of a run', 'give the raw texts as --input'),
        ('mine.py', 'is a config file', 'give it as --config='),
    ],
)
def test_what_this_project_wrote_is_named_with_the_command_that_reads_it(
    given: str, said: str, remedy: str
) -> None:
    with pytest.raises(errors.InputError) as caught:
        inputs.find([given])
    assert said in str(caught.value)
    assert remedy in str(caught.value)


def test_files_of_such_names_elsewhere_are_read_and_those_of_a_run_can_be_skipped() -> (
    None
):
    names = [each.name for each in inputs.find(['raw/*']) if not each.problem]
    assert names == ['raw/config.json', 'raw/manifest.json']
    found = inputs.find(['run/*', 'raw/*'], skip_unreadable=True)
    assert [bool(each.problem) for each in found] == [True, True, False, False]


def test_a_folder_of_other_files_is_told_as_before() -> None:
    problems: list[str] = []
    path_patterns.files('raw', problems)
    assert problems == ["'raw' is a folder; give 'raw/*.json'."]
