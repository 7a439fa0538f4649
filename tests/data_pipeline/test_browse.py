"""The program that shows pairs of a dataset and what its build dropped."""

import dataclasses
import json
import pathlib
import shutil
import subprocess

import forks
import pytest

from data_pipeline import dataset
from hax_jax.data import records


def pair(number: int, *, source: str = 'reddit:advice', **texts: str) -> records.QaPair:
    values = {'topic': '', 'time': '', 'question': 'Why?', 'answer': 'So it is.'}
    name = f'{source}:{number}'
    return records.QaPair(
        id=name, group=name, source=source, file='a.md', line=number, **values | texts
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('data') / 'advice'
    dataset.write(
        path,
        {
            'train': [
                *(pair(i) for i in range(120)),
                pair(120, question='The LANDLORD\x1b[2J\nleft.'),
                pair(121, answer='Ask the landlord, and the Straße.', source='chat'),
                dataclasses.replace(
                    pair(123),
                    more=('And the ferry?', 'It waits.'),
                    answer_weights=(0.0, 1.0),
                ),
            ],
            'validation': [pair(122, topic='A landlord')],
            'test': [],
        },
        sources=[],
        split_rule={},
        ledger={},
        dropped=[
            {'id': 'chat:a:1', 'kept_id': '', 'reason': 'quality: too short'},
            {'id': 'reddit:2', 'kept_id': 'reddit:3', 'reason': 'same text'},
        ],
    )
    return path


def browse(data: object, *flags: str) -> subprocess.CompletedProcess[str]:
    return forks.run('-m', 'data_pipeline.browse', f'--data={data}', *flags)


def test_a_conversation_is_shown_with_all_its_turns(data: pathlib.Path) -> None:
    done = browse(data, '--find=FERRY')
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        '1. reddit:advice:123 (train, reddit:advice, a.md:123)\n'
        '  question:\n    Why?\n'
        '  answer: (context, not learned)\n    So it is.\n'
        '  question 2:\n    And the ferry?\n'
        '  answer 2:\n    It waits.\n\n'
    )


def test_pairs_with_the_letters_are_shown_as_plain_text(data: pathlib.Path) -> None:
    done = browse(data, '--find=landlord')
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        '1. reddit:advice:120 (train, reddit:advice, a.md:120)\n'
        '  question:\n    The LANDLORD\\x1b[2J\n    left.\n'
        '  answer:\n    So it is.\n\n'
        '2. chat:121 (train, chat, a.md:121)\n'
        '  question:\n    Why?\n'
        '  answer:\n    Ask the landlord, and the Straße.\n\n'
        '3. reddit:advice:122 (validation, reddit:advice, a.md:122)\n'
        '  topic:\n    A landlord\n'
        '  question:\n    Why?\n  answer:\n    So it is.\n\n'
    )
    assert done.stderr == '3 of 124 pairs\n'


@pytest.mark.parametrize(
    ('flags', 'ids'),
    [
        (['--find=landlord', '--find=STRASSE'], ['chat:121']),
        (['--find=landlord', '--split=validation'], ['reddit:advice:122']),
        (['--find=landlord', '--source=chat'], ['chat:121']),
        (
            ['--find=landlord', '--source=reddit'],
            [f'reddit:advice:{i}' for i in (120, 122)],
        ),
        (['--split=train', '--limit=2'], ['reddit:advice:0', 'reddit:advice:1']),
        (['--source=reddit'], [f'reddit:advice:{i}' for i in range(100)]),
        (['--find=nowhere'], []),
        (['--dropped'], ['chat:a:1', 'reddit:2']),
        (['--dropped', '--find=SAME'], ['reddit:2']),
        (['--dropped', '--source=chat'], ['chat:a:1']),
    ],
)
def test_the_flags_choose_and_json_is_one_object(
    data: pathlib.Path, flags: list[str], ids: list[str]
) -> None:
    done = browse(data, '--json', *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row['id'] for row in found['pairs']] == ids
    assert found['shown'] == len(ids)
    assert found['limited'] == (len(ids) == 100 or '--limit=2' in flags)


def test_one_pair_is_said_to_be_one(data: pathlib.Path) -> None:
    said = browse(data, '--limit=1').stderr
    assert said == '1 pair, which is --limit=1; there may be more\n'


def test_flags_that_do_not_fit_are_named(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for flags, said in (
        (['--source=redit'], 'give one of chat, reddit:advice, or the part before'),
        (['--dropped', '--split=train'], '--dropped and --split do not go together'),
        (['--limit=0'], '--limit=0 is not accepted; use a whole number, 1 or more.'),
    ):
        done = browse(data, *flags)
        assert (done.returncode, done.stdout) == (2, '')
        assert said in done.stderr
    copy = tmp_path / 'copy'
    copy.mkdir()
    (copy / 'manifest.json').write_bytes((data / 'manifest.json').read_bytes())
    assert 'dropped.jsonl is missing' in browse(copy, '--dropped').stderr
    (copy / 'dropped.jsonl').write_text('{"id":"a","reason":"b"}\n{"id":"a"\n')
    done = browse(copy, '--dropped')
    assert done.stdout == '1. a (b)\n\n'
    assert 'dropped.jsonl:2 is damaged' in done.stderr


def test_a_file_that_was_changed_is_said_to_be(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copy = tmp_path / 'copy'
    shutil.copytree(data, copy)
    assert 'was changed' not in browse(copy, '--dropped').stderr
    rows = (copy / 'dropped.jsonl').read_text()
    (copy / 'dropped.jsonl').write_text(rows.replace('same text', 'no reason'))
    done = browse(copy, '--dropped')
    assert 'note: dropped.jsonl was changed since the build wrote it' in done.stderr
