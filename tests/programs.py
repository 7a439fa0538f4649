"""Python run as a process of its own, in the project's root."""

import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
PATH = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])


def run(
    *arguments: object,
    given: str | None = None,
    seconds: float = 240,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """What `python ARGUMENTS` printed, and its code; `given` is its standard input.

    It finds the project's modules and those of tests/. `environment` is added to ours.
    """
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': PATH, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """`python ARGUMENTS`, running; `options` are Popen's, by default with pipes."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': PATH},
        text=True,
        **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **options},
    )
