"""Functions for maps, which workers import. 3 is refused, 7 shows a defect."""

import os
import pathlib
import signal
import sys
import time

from hax_jax import errors


def square(number: int) -> int:
    if number == 3:
        raise errors.InputError('3 is not accepted; give another.')
    if number == 7:
        raise ZeroDivisionError('seven')
    return number * number


def slow_square(number: int) -> int:
    """The lower the number, the longer it takes."""
    time.sleep(max(0.0, 0.2 - 0.02 * number))
    return number * number


def killed(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def heavy_modules(_: int) -> list[str]:
    """Which of the heavy modules this process has imported."""
    return sorted({'jax', 'tensorflow', 'tensorflow_datasets'} & sys.modules.keys())


def wait(folder: str) -> int:
    """Writes its process's id into `folder` and waits."""
    (pathlib.Path(folder) / str(os.getpid())).touch()
    time.sleep(60)
    return 0


def short_wait(folder: str) -> int:
    """As `wait`, for as long as one batch may take."""
    (pathlib.Path(folder) / str(os.getpid())).touch()
    time.sleep(1.5)
    return 0
