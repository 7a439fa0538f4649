"""A save that the disk has no room for: refused before it begins, or one line after."""

import contextlib
import errno
import functools
import logging
import os
import pathlib
import re
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hax_jax import errors, places
from hax_jax.runs import saved_steps

_FULL = {
    errno.ENOSPC: 'its disk is full',
    errno.EDQUOT: 'the quota of its disk is used up',
    errno.EFBIG: 'its disk or a limit of this process takes no file of that size',
}
_CODE = re.compile(r"os_error_code='(\d+)'")  # in an error of tensorstore


def free(folder: pathlib.Path) -> int:
    """Bytes free on the disk of `folder`, which may not exist yet; at gs://, enough."""
    if places.is_remote(folder):
        return sys.maxsize
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check(folder: pathlib.Path, needed: int) -> None:
    """Raises InputError if the disk of `folder` has less than `needed` bytes free."""
    if free(folder) < needed:
        raise _refused(folder, needed, 'its disk has no room')


@contextlib.contextmanager
def named(folder: pathlib.Path, needed: int) -> Iterator[None]:
    """Turns a full disk, and what the system refuses to a save, into one error.

    `folder` has the checkpoints, of about `needed` bytes each. Orbax's threads tell of
    the same failure with a traceback each, some later, and Python of its coroutines
    that nobody awaits: these are dropped from then on.

    Raises:
      InputError: names the folder, the room needed and free, and the steps there.
      PlaceError: the store at gs:// failed, or Orbax waited in vain for a disk; names
        the steps there too.
    """
    log, hook, failed = logging.getLogger('absl'), sys.unraisablehook, False
    log.addFilter(_is_no_failure_of_orbax)
    sys.unraisablehook = functools.partial(_show_unless_of_orbax, hook)
    try:
        yield
    except errors.PlaceError as error:
        failed = True
        raise errors.PlaceError(
            f'{error} {_steps_in_words(folder)}', passing=error.passing
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, TimeoutError) and _is_of_orbax(error):
            failed = True
            raise errors.PlaceError(
                f'a checkpoint was not written in {folder} in time: its disk hangs, or '
                f'this machine slept. {_steps_in_words(folder)} The same command goes '
                'on.',
                passing=True,
            ) from error
        what, why = _explained(error)
        if not why:
            raise
        failed = True
        raise _refused(folder, needed, why, what) from error
    finally:
        if failed:
            never = 'coroutine .* was never awaited'
            warnings.filterwarnings('ignore', never, RuntimeWarning)
        else:
            log.removeFilter(_is_no_failure_of_orbax)
            sys.unraisablehook = hook


def _steps_in_words(folder: pathlib.Path) -> str:
    """The steps that lie in `folder`, if the store still tells."""
    try:
        steps = [path.name for path in saved_steps.step_folders(folder)]
    except (errors.PlaceError, OSError):
        return 'What was saved before stays.'
    if not steps:
        return 'There is no step yet.'
    return f'The steps there are {", ".join(steps)}.'


def _explained(error: Exception) -> tuple[str, str]:
    """(the file, or '' for a checkpoint; what is wrong with its disk, or '')."""
    found = _CODE.search(str(error))
    if found:
        code = int(found[1])
        return '', _FULL.get(code, f'the system says {os.strerror(code)!r}')
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return '', ''
    if _is_of_orbax(error):
        return '', _FULL[error.errno]
    return error.filename or '', _FULL[error.errno] if error.filename else ''


def _is_of_orbax(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any('orbax' in frame.filename for frame in frames)


def size(count: int) -> str:
    """1_500_000 -> '1.5 MB'."""
    for unit, unit_size in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6)):
        if count >= unit_size:
            return f'{count / unit_size:,.1f} {unit}'
    return f'{count / 1e3:.1f} kB'


def _refused(
    folder: pathlib.Path, needed: int, why: str, what: str = ''
) -> errors.InputError:
    infos = saved_steps.list_steps(folder, '')  # of whatever run
    steps = [info.step for info in infos if not info.problem]
    where = '' if what else f' in {folder}'
    have = f'the steps there are {steps}' if steps else 'there is no step yet'
    then = f'goes on from step {steps[-1]}' if steps else 'begins again'
    limited = why == _FULL[errno.EFBIG]
    remedy = 'Raise the limit (ulimit -f)' if limited else 'Make room'
    return errors.InputError(
        f'{what or "a checkpoint"} could not be written{where}: {why} '
        f'({size(needed)} needed, {size(free(folder))} free); {have}. {remedy}, and '
        f'the same command {then}.'
    )


def _is_no_failure_of_orbax(record: logging.LogRecord) -> bool:
    return not (record.exc_info and 'orbax' in record.pathname)


def _show_unless_of_orbax(hook: Callable[[Any], Any], unraisable: Any) -> None:
    # The writes that a failed save leaves behind answer to an event loop that is gone.
    if str(unraisable.exc_value) != 'Event loop is closed':
        hook(unraisable)
