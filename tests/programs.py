"""Python run as a process of its own, in the project's root."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
_PATH = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])


def run(
    *arguments: object, given: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python ARGUMENTS` printed, and its code; `given` is its standard input.

    It finds the project's modules and those of tests/. `environment` is added to ours.
    """
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': _PATH, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
