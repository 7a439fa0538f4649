"""Python run as a process of its own, in the project's root."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
PATH = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
# XLA's older emitters compile a tiny program in half the time, in one part instead of
# many in two thirds of that. Tried on this jaxlib; an unknown flag aborts the process.
_QUICK = (
    '--xla_cpu_use_fusion_emitters=false',
    '--xla_cpu_parallel_codegen_split_count=1',
)
QUICK = ' '.join(_QUICK) if importlib.metadata.version('jaxlib') == '0.10.2' else ''

# Importing and tracing make many objects and few cycles: at Python's own thresholds the
# search for these takes 4% of a test's CPU.
GARBAGE = (50_000, 20, 50)


def devices(count: int) -> dict[str, str]:
    """The variables of a process with so many virtual CPU devices."""
    flag = f'--xla_force_host_platform_device_count={count}'
    return {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'{QUICK} {flag}'.lstrip()}


def replaced(arguments: Sequence[object], *more: object) -> list[str]:
    """The arguments and `more`, without the flags that `more` gives anew."""
    anew = {str(each).partition('=')[0] for each in more}
    kept = [str(x) for x in arguments if str(x).partition('=')[0] not in anew]
    return [*kept, *map(str, more)]


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
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    place = {'cwd': ROOT, 'env': {**os.environ, 'PYTHONPATH': PATH}}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, text=True, **{**place, **pipes, **options})
