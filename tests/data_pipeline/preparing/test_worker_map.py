import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import squares

from data_pipeline.preparing import worker_map
from hax_jax import errors

ROOT = pathlib.Path(__file__).parents[3]
HERE = str(pathlib.Path(__file__).parent)


@pytest.mark.parametrize('num_workers', [1, 2])
def test_results_come_in_the_order_of_the_items(num_workers: int) -> None:
    found = worker_map.ordered(squares.slow_square, range(12), num_workers=num_workers)
    assert list(found) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121]
    assert list(worker_map.ordered(squares.square, [], num_workers=num_workers)) == []


def test_items_are_taken_only_a_few_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(10**9):  # never taken whole
            taken.append(number)
            yield number + 10

    results = worker_map.ordered(squares.square, items(), num_workers=2)
    assert [next(results) for _ in range(5)] == [100, 121, 144, 169, 196]
    assert len(taken) <= 5 + 4
    results.close()


@pytest.mark.parametrize('num_workers', [1, 2])
def test_what_a_worker_raises_comes_out_as_it_is(num_workers: int) -> None:
    results = worker_map.ordered(squares.square, [1, 2, 3, 4], num_workers=num_workers)
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(errors.InputError, match=r'^3 is not accepted; give another.$'):
        next(results)
    results = worker_map.ordered(squares.square, [7, 3], num_workers=num_workers)
    with pytest.raises(ZeroDivisionError, match='seven'):
        list(results)


def test_a_worker_that_is_killed_is_one_clear_error() -> None:
    results = worker_map.ordered(squares.killed, range(6), num_workers=2)
    with pytest.raises(errors.InputError, match=r'killed.*memory.*--num_workers=2'):
        list(results)


def test_the_number_of_workers_is_checked_at_once() -> None:
    with pytest.raises(errors.InputError, match='--num_workers=0 is not accepted'):
        worker_map.ordered(squares.square, [1], num_workers=0)


def test_a_worker_imports_neither_jax_nor_tensorflow() -> None:
    assert list(worker_map.ordered(squares.heavy_modules, [0, 1], num_workers=2)) == [
        [],
        [],
    ]


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_program(
    how: signal.Signals, tmp_path: pathlib.Path
) -> None:
    code = (
        'import signal\nimport sys\n'
        # A shell starts what is in its background without SIGINT, and its children too.
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        f'sys.path[:0] = [{str(ROOT)!r}, {HERE!r}]\n'
        'import squares\n'
        'from hax_jax.program import entry\n'
        'from data_pipeline.preparing import worker_map\n'
        'def main():\n'
        f'    list(worker_map.ordered(squares.{{}}, {[str(tmp_path)] * 6}, '
        'num_workers=2))\n'
        'if __name__ == "__main__":\n'
        '    entry.run(main)\n'
    )
    file = tmp_path / 'waits.py'
    file.write_text(code.format('wait' if how == signal.SIGKILL else 'short_wait'))
    child = subprocess.Popen(
        [sys.executable, str(file)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to all of it
    )
    workers: list[int] = []
    for _ in range(600):
        workers = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
        if len(workers) == 2:
            break
        time.sleep(0.05)
    assert len(workers) == 2
    if how == signal.SIGINT:
        os.killpg(child.pid, how)
    else:
        child.send_signal(how)
    _, stderr = child.communicate(timeout=60)
    code_of = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert child.returncode == code_of[how]
    if how == signal.SIGINT:
        assert stderr == 'stopped by Ctrl-C\n'
    for _ in range(600):
        if not any(map(alive, workers)):
            return
        time.sleep(0.05)
    raise AssertionError(f'still there: {workers}')


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not yet reaped does not."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'
