import json
import pathlib

import forks
import pytest

from data_pipeline import dataset
from data_pipeline.writing import chat_files
from hax_jax import files
from hax_jax.data import records


def pair(number: int, *, question: str) -> records.QaPair:
    return records.QaPair(
        id=str(number),
        group=str(number),
        source='chat',
        file='a.md',
        line=number,
        topic='',
        time='',
        question=question,
        answer=f'"Answer"\n\n{number} 😀\u2028',
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('data') / 'advice'
    train = [pair(i, question=f'Why,\t{i}?') for i in range(30)]
    dataset.write(
        path,
        {'train': train, 'validation': [pair(99, question='Ö?')], 'test': []},
        sources=[],
        split_rule={},
        ledger={},
    )
    return path


def test_a_split_becomes_a_line_a_pair_in_order(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / 'new' / 'train.jsonl'
    done = forks.run(
        '-m', 'data_pipeline.export_chat', f'--data={data}', f'--output={output}'
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'wrote {output}: 30 lines\n'
    lines = output.read_text(encoding='utf-8').split('\n')
    assert lines.pop() == ''
    assert [json.loads(line) for line in lines] == [
        {
            'messages': [
                {'role': 'user', 'content': f'Why,\t{i}?'},
                {'role': 'assistant', 'content': f'"Answer"\n\n{i} 😀\u2028'},
            ]
        }
        for i in range(30)
    ]
    again = forks.run(
        '-m', 'data_pipeline.export_chat', f'--data={data}', f'--output={output}'
    )
    assert again.stdout == f'wrote {output}: 30 lines, in place of what it held\n'


def test_a_system_message_comes_first(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    pairs = [pair(99, question='Ö?')]
    assert chat_files.write(path, iter(pairs), system='Be kind.') == 1
    text = path.read_text(encoding='utf-8')
    assert text.startswith('{"messages":[{"role":"system"') and 'Ö?' in text
    assert json.loads(text)['messages'] == [
        {'role': 'system', 'content': 'Be kind.'},
        {'role': 'user', 'content': 'Ö?'},
        {'role': 'assistant', 'content': '"Answer"\n\n99 😀\u2028'},
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--data and --output not given'),
        (['--data=nowhere', '--output=x.jsonl'], 'nowhere is not a dataset'),
        (['--data=x', '--output=x.jsonl', '--split=dev'], '--split=dev is not a split'),
        (['--data=x', '--output=/tmp'], '--output=/tmp is a folder'),
        (['--data=x', f'--output={__file__}'], 'exists and is no file of messages'),
    ],
)
def test_what_is_wrong_is_one_error_line(arguments: list[str], message: str) -> None:
    done = forks.run('-m', 'data_pipeline.export_chat', *arguments)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('error: ') and message in done.stderr
    assert not pathlib.Path('x.jsonl').exists()


def test_a_file_whose_lines_fail_stays_as_it_was(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    assert files.write_lines(path, ['one', 'two']) == 2
    assert path.read_text() == 'one\ntwo\n'

    def fail():  # noqa: ANN202
        yield 'three'
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_lines(path, fail())
    assert path.read_text() == 'one\ntwo\n'
    assert list(tmp_path.iterdir()) == [path]
