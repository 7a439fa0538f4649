"""Programs that are started as several processes: sample, evaluate, and all others."""

import json
import math
import pathlib
import re
import time
from typing import Any

import processes
import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_CHILD = 'tests/launch/several_child.py'
_TYPED = 'how do I\n---\nwhy'
_TOGETHER = {'train', 'sample', 'evaluate'}  # programs that all processes run


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run, and what one process with one device makes of it."""
    folder = tmp_path_factory.mktemp('several')
    processes.run_well(_CHILD, folder, 'alone', num_processes=1, given=[_TYPED])
    return folder


@pytest.fixture(
    scope='module',
    params=[(2, 2), pytest.param((4, 1), marks=pytest.mark.slow)],
    ids=['2 processes', '4 processes'],
)
def several(request: pytest.FixtureRequest, root: pathlib.Path) -> pathlib.Path:
    """The folder in which so many processes did the same; beside it, what they said."""
    number, devices = request.param
    label = f'{number}'
    processes.run_well(
        _CHILD,
        root,
        label,
        num_processes=number,
        devices=devices,
        given=[_TYPED, *[''] * (number - 1)],
    )
    return root / label


def said(folder: pathlib.Path, index: int = 0) -> dict[str, dict[str, str]]:
    return json.loads(folder.with_name(f'{folder.name}.{index}.json').read_text())


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def without_noise(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != 'logprobs'}


def test_several_processes_write_the_answers_of_one(
    root: pathlib.Path, several: pathlib.Path
) -> None:
    alone, found = rows(root / 'alone/whole.jsonl'), rows(several / 'whole.jsonl')
    assert len(alone) == 12
    assert list(map(without_noise, found)) == list(map(without_noise, alone))
    for one, other in zip(alone, found, strict=True):
        assert other['logprobs'] == pytest.approx(one['logprobs'], abs=1e-5)
    # One model cut over two devices, of different processes where each has one.
    cut = [row['text'] for row in rows(several / 'tensor.jsonl')]
    assert cut == [row['text'] for row in alone]
    assert (several / 'table.md').read_bytes() == (root / 'alone/table.md').read_bytes()
    typed = said(several)['standard input']
    assert typed == said(root / 'alone')['standard input']
    assert typed['out'].count('--- standard input') == 2


def test_several_processes_go_on_with_a_file_that_a_kill_left(
    several: pathlib.Path,
) -> None:
    found = rows(several / 'torn.jsonl')
    expected = rows(several / 'whole.jsonl')
    assert list(map(without_noise, found)) == list(map(without_noise, expected))
    calls = said(several)
    assert 'removed the last line, torn by a kill' in calls['torn']['said']
    assert re.search(r'\b[5-9] of 12 samples are in', calls['torn']['said'])
    assert '12 of 12 samples are in' in calls['full']['said']


def test_several_processes_evaluate_as_one_does(
    root: pathlib.Path, several: pathlib.Path
) -> None:
    alone, found = (
        json.loads((folder / 'steps.json').read_text())
        for folder in (root / 'alone', several)
    )
    for model in alone['models'] + found['models']:
        del model['notes']  # such as the number of devices
        assert len(model['pairs']) == 14
    assert_close(found, alone)
    assert found['comparison']['by']['all']['better'] == 'B'
    assert found['models'][0]['by']['all']['answer']['tokens'] == 98


def assert_close(found: Any, expected: Any) -> None:
    """Equal JSON, numbers that are not whole up to float noise."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-5)
    else:
        assert found == expected


def test_process_0_alone_prints_and_all_have_its_errors(several: pathlib.Path) -> None:
    first, *others = [said(several, index) for index in range(int(several.name))]
    for other in others:
        assert other.keys() == first.keys()
        for name, call in other.items():
            assert call == {'out': '', 'said': '', 'error': first[name]['error']}
    assert 'has no checkpoint of step 4' in first['no step']['error']
    assert '--workdir or --pretrained is missing' in first['no run']['error']
    assert 'gone.txt does not exist' in first['no letters']['error']
    assert first['list']['out'].count('\n') == 4
    assert 'runs/a: 0 in process 0, 1 in process 1' in first['other files']['error']


@pytest.mark.slow
@pytest.mark.parametrize('number', [2, 4])
def test_the_same_command_goes_on_after_a_kill(
    root: pathlib.Path, tmp_path: pathlib.Path, number: int
) -> None:
    output = tmp_path / 'answers.jsonl'
    command = ['-m', 'launch.sample', f'--workdir={root / "run"}', '--temperature=2']
    command += [f'--prompts={root / "letters.txt"}', '--num_samples=60', '--stop=e']
    command += ['--max_new_tokens=8', '--batch_size=4', f'--output={output}']
    with processes.started(*command, num_processes=number) as running:
        begun = time.monotonic()
        while not output.exists() or output.read_bytes().count(b'\n') < 20:
            assert time.monotonic() - begun < 200, running.output(0)
            time.sleep(0.01)
        for child in running.children:
            child.kill()
        running.wait()
    assert output.read_bytes().count(b'\n') < 240
    first, *_ = processes.run_well(*command, num_processes=number)
    assert re.search(r'\d+ of 240 samples are in', first)
    found = rows(output)
    whole = tmp_path / 'whole.jsonl'
    processes.run_well(*command[:-1], f'--output={whole}', num_processes=number)
    assert found == rows(whole)


def test_each_program_says_whether_one_process_or_all_of_them_run_it() -> None:
    found = {}
    for folder in ('launch', 'data_pipeline'):
        for path in sorted((_ROOT / folder).glob('*.py')):
            call = re.search(
                r'^    entry\.run\(.*', path.read_text('utf-8'), re.M | re.S
            )
            if call:
                found[path.stem] = 'in_one_process=True' in call[0]
    assert len(found) > 10
    assert {name for name, one in found.items() if not one} == _TOGETHER


def test_a_program_for_one_process_works_in_the_first_and_ends_in_the_others(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = ['-m', 'launch.export', f'--workdir={root / "run"}', '--format=hf']
    first, second = processes.run(
        *arguments, f'--output={tmp_path / "hf"}', num_processes=2
    )
    assert (first.returncode, second.returncode) == (0, 0)
    assert 'largest difference of its logits' in first.output
    assert (tmp_path / 'hf' / 'model.safetensors').exists()
    assert second.output == (
        'launch.export works in process 0 alone; this is process 1\n'
    )
