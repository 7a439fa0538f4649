"""Flags and words that launch.saturation and launch.tune share."""

from __future__ import annotations

import math
import pathlib
from typing import Any

from absl import flags

from hax_jax import errors
from hax_jax.program import output_file

flags.disclaim_key_flags()  # they are shown in the --help of the program

LEAST_STEPS = 8  # of a trial: as many as it has evaluations
_MINE = ('trials', 'rows', 'saturation.json', 'tune.json')


def define() -> tuple[
    flags.FlagHolder[str],
    flags.FlagHolder[int],
    flags.FlagHolder[float],
    flags.FlagHolder[bool],
]:
    """--output, --max_steps, --minutes and --dry_run."""
    return (
        flags.DEFINE_string('output', '', 'The folder of trials and findings.'),
        flags.DEFINE_integer(
            'max_steps', 0, 'Steps of all trials together; 0: as many as it takes.'
        ),
        flags.DEFINE_float(
            'minutes', 0.0, 'Stop after so long; the same command goes on. 0: never.'
        ),
        flags.DEFINE_bool('dry_run', False, 'Print the plan and its time, and stop.'),
    )


def check(
    output: flags.FlagHolder[str],
    max_steps: flags.FlagHolder[int],
    minutes: flags.FlagHolder[float],
    dry_run: flags.FlagHolder[bool],
) -> None:
    """Raises InputError, naming every flag that is wrong."""
    folder = pathlib.Path(output.value)
    problems = output_file.wrong_place('output', folder)
    if not output.value and not dry_run.value:
        problems.append('--output is missing; give a folder for trials and findings.')
    elif output.value and folder.exists() and not problems:
        if not folder.is_dir():
            problems.append(f'--output={folder} is a file; give a folder.')
        elif any(folder.iterdir()) and not any((folder / n).exists() for n in _MINE):
            problems.append(
                f'--output={folder} holds other files; give a new folder, or that of '
                'an earlier call.'
            )
    if max_steps.value < 0:
        problems.append(
            f'--max_steps={max_steps.value} is not accepted; use 1 or more, or 0 for '
            'as many as it takes.'
        )
    if not 0 <= minutes.value < math.inf:
        problems.append(
            f'--minutes={minutes.value} is not accepted; use a number over 0, such as '
            '30, or 0 for no limit.'
        )
    errors.refuse(problems)


def stopped(error: Any) -> int:
    """Says that the same command goes on; the exit code of a StoppedEarlyError."""
    print(f'{error}; the same command goes on, and ended trials are kept', flush=True)
    return error.exit_code
