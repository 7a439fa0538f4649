"""The program that writes pairs as JSON Lines."""

import json
import pathlib
import subprocess

import forks

ROOT = pathlib.Path(__file__).parents[2]
CHAT = (
    'Hello there.\nThe ladder\nGuest Apr 4, 11:05 a.m.\nQUESTION: Why?\navatar\n'
    'Marian Vale\nAdvice Columnist\nANSWER: Because 👏.\n'
    'Post has 0 replies and 3 Likes\n3\n'
)


def _extract(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.run('-m', 'data_pipeline.extract', *arguments)


def test_one_object_a_pair_is_written_and_all_is_reported(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'a.md').write_text(CHAT, encoding='utf-8')
    (tmp_path / 'b.md').write_text(CHAT, encoding='utf-8')
    output = tmp_path / 'new' / 'pairs.jsonl'
    done = _extract(f'--input={tmp_path}/*.md', f'--output={output}')
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text('utf-8').splitlines()]
    assert len(rows) == 1
    row = rows[0]
    assert row.pop('id').startswith('chat:a:')
    assert row == {
        'group': 'a.md',
        'source': 'chat',
        'file': f'{tmp_path}/a.md',
        'line': 4,
        'topic': 'The ladder',
        'time': 'Apr 4, 11:05 a.m.',
        'question': 'Why?',
        'answer': 'Because 👏.',
        'score': 0,
        'flags': [],
        'weight': 1.0,
    }
    assert f'unknown line: {tmp_path}/b.md:1: Hello there. (left out)' in done.stdout
    assert 'duplicate: chat:b:' in done.stdout
    assert '         1  duplicate dropped' in done.stdout
    assert f'         1  pair written to {output}' in done.stdout


def test_long_lists_are_in_a_file_and_their_first_lines_are_printed(
    tmp_path: pathlib.Path,
) -> None:
    rows = [{'question': f'Why {i % 40}?', 'answer': 'So.'} for i in range(80)]
    lines = [*map(json.dumps, rows), *['no JSON'] * 9]
    (tmp_path / 'a.jsonl').write_text('\n'.join(lines) + '\n')
    for number in range(9):
        (tmp_path / f'empty{number}.md').write_text('')
    output = tmp_path / 'pairs.jsonl'
    done = _extract(f'--input={tmp_path}/*', f'--output={output}')
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert len(printed) < 24
    assert sum(line.startswith('duplicate: ') for line in printed) == 4
    assert 'duplicate: 37 more' in printed
    assert 'unknown line: 6 more' in printed
    assert '(8 more like this)' in done.stderr
    listed = tmp_path / 'pairs.jsonl.left_out.txt'
    assert f'all of these are in {listed}' in printed
    all_lines = listed.read_text().splitlines()
    kinds = [line.split(':')[0] for line in all_lines]
    assert kinds == ['unknown line'] * 9 + ['duplicate'] * 40 + ['warning'] * 9
    (tmp_path / 'a.jsonl').write_text(json.dumps(rows[0]) + '\n')
    done = _extract(f'--input={tmp_path}/a.jsonl', f'--output={output}')
    assert done.returncode == 0, done.stderr
    assert not listed.exists()  # there is nothing to list


def test_rows_of_any_fields_are_mapped_and_what_was_chosen_is_said(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'a.csv').write_text('id,ask,reply\n1,"Why,\n""me""?",So.\n')
    (tmp_path / 'b.jsonl').write_text('{"prompt": "Who?", "response": "You."}\n')
    output = tmp_path / 'pairs.jsonl'
    done = _extract(
        f'--input={tmp_path}/*.csv',
        f'--input=pairs:{tmp_path}/b.jsonl',
        f'--fields={tmp_path}/*.csv: question=ask, answer=reply, id=id',
        f'--output={output}',
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text('utf-8').splitlines()]
    assert [(row['question'], row['answer']) for row in rows] == [
        ('Why,\n"me"?', 'So.'),
        ('Who?', 'You.'),
    ]
    assert rows[0]['id'] == 'csv:a:1'
    assert (
        f'fields of {tmp_path}/b.jsonl: question=prompt, answer=response '
        '(--fields changes them)\n'
    ) in done.stdout


def test_what_was_extracted_is_read_back_as_it_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a.md').write_text(CHAT, encoding='utf-8')
    once, twice = tmp_path / 'once.jsonl', tmp_path / 'twice.jsonl'
    assert _extract(f'--input={tmp_path}/a.md', f'--output={once}').returncode == 0
    assert _extract(f'--input={once}', f'--output={twice}').returncode == 0
    (first,), (second,) = (
        [json.loads(line) for line in path.read_text('utf-8').splitlines()]
        for path in (once, twice)
    )
    assert second == {**first, 'file': str(once), 'line': 1}


def test_bad_input_is_one_error_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'pairs.jsonl'
    output.write_text('as it was')
    done = _extract('--input=no/such/*.md', f'--output={output}')
    assert done.returncode == 2
    assert done.stderr == "error: 'no/such/*.md' matches no file; check the path.\n"
    assert output.read_text() == 'as it was'


def test_the_output_has_to_be_given() -> None:
    done = _extract('--input=a.md')
    assert done.returncode == 2
    assert done.stderr == 'error: --output is not given; give a .jsonl file.\n'


def test_an_input_is_never_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a.md').write_text(CHAT, encoding='utf-8')
    done = _extract(f'--input={tmp_path}/a.md', f'--output={tmp_path}/a.md')
    assert done.returncode == 2
    assert 'is one of the inputs, which it would replace' in done.stderr
    assert (tmp_path / 'a.md').read_text('utf-8') == CHAT
    (tmp_path / 'b.jsonl').write_text('{"question": "Why?", "answer": "So."}\n')
    done = _extract(f'--input={tmp_path}/a.md', f'--output={tmp_path}/b.jsonl')
    assert done.returncode == 2
    assert 'b.jsonl exists and is no file that data_pipeline.extract' in done.stderr
    done = _extract(f'--input={tmp_path}/a.md', f'--output={tmp_path}')
    assert done.returncode == 2
    assert 'is a folder; give the name of a file in it' in done.stderr
