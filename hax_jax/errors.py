"""InputError, for what the user gave; the errors of places, locks and of ours."""

import errno
import os
from collections.abc import Callable, Sequence

_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class InputError(ValueError):
    """The user's input is wrong; the message names it, the accepted values, a remedy.

    Programs print it alone, without a traceback, and exit with code 2.
    """


def refuse(problems: Sequence[str]) -> None:
    """Raises InputError with all the problems, a sentence each; returns if none is."""
    if problems:
        raise InputError('\n'.join(problems))


def is_forbidden(error: OSError) -> bool:
    """Whether nobody, or not this user, may write there."""
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def is_of_machine(error: BaseException) -> bool:
    """Whether memory, rights or open files ran out, which tells nothing of a file."""
    if isinstance(error, OSError):
        return is_forbidden(error) or error.errno in _OUT_OF
    return isinstance(error, MemoryError)


def gathered(*checks: Callable[[], object]) -> list[str]:
    """The sentences of all InputErrors that the checks raise, in their order."""
    found = []
    for check in checks:
        try:
            check()
        except InputError as error:
            found.append(str(error))
    return found


def cause(error: Exception) -> str:
    """Why a file was not read or written, in words, and not as Python writes it.

    OSError(2, 'No such file or directory', '/a') -> '/a: no such file or directory'
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    why = error.strerror[0].lower() + error.strerror[1:]
    return f'{os.fsdecode(error.filename)}: {why}' if error.filename else why


def first_line(error: Exception) -> str:
    """KeyError('a') -> "KeyError: 'a'"; of a long text its first line, 200 letters."""
    return f'{type(error).__name__}: {error}'.split('\n')[0][:200]


class OutputError(Exception):
    """Standard output can't be written to; the cause, an OSError, says why.

    It is no OSError, so that nobody takes it for the failure of a file.
    """


class MismatchError(Exception):
    """A written file differs from its source: a defect of ours, not a user's error."""


class LockedError(Exception):
    """Another process holds the lock; the text says which, where that is known."""


class PlaceError(Exception):
    """A place that is no local disk fails or refuses: one line, without a traceback.

    Programs exit with 75 if it is `passing`, so that the same command may go well when
    it is given again, else with 2.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing
