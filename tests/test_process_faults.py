"""Four rows of process_faults.py, each a mechanism of its own."""

import pathlib

import process_faults
import pytest
import tiny_data


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp('faults')
    tiny_data.make(root)
    return root


def problem(
    name: str, data: pathlib.Path, workdir: str, *, goes_on: bool = True
) -> str:
    fault = next(each for each in process_faults.FAULTS if each.name == name)
    return process_faults.run(
        fault, data, data / workdir, num_processes=2, goes_on=goes_on
    ).problem


@pytest.mark.parametrize('name', ['no workdir on one', 'workdir not shared'])
def test_a_fault_of_one_process_ends_all_with_one_message_before_training(
    name: str, data: pathlib.Path
) -> None:
    assert problem(name, data, name.replace(' ', '-')) == ''


def test_a_fault_in_a_step_of_one_process_ends_all_and_the_run_goes_on(
    data: pathlib.Path,
) -> None:
    # The second call goes on after the first, a third after it.
    assert problem('exception in a step', data, 'run', goes_on=False) == ''
    assert problem('SIGKILL 0', data, 'run') == ''
