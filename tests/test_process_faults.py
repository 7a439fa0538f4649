"""Four rows of process_faults.py, of which each is a mechanism of its own."""

import pathlib

import process_faults
import pytest
import tiny_data


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp('faults')
    tiny_data.make(root)
    return root


@pytest.mark.parametrize(
    'name',
    ['no workdir on one', 'workdir not shared', 'exception in a step', 'SIGKILL 0'],
)
def test_a_fault_in_one_process_ends_all_with_one_message(
    name: str, data: pathlib.Path
) -> None:
    fault = next(each for each in process_faults.FAULTS if each.name == name)
    workdir = data / name.replace(' ', '-')
    found = process_faults.run(fault, data, workdir, num_processes=2)
    assert found.problem == ''
