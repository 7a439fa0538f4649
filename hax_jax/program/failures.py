"""A failure that is no defect of ours: one line for the user, and an exit code."""

import errno
import os
import pathlib
import re
import select
import shutil
import signal
import sys
import traceback

from hax_jax import errors
from hax_jax.program import interrupts

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OUT_OF_MEMORY = re.compile(
    r'RESOURCE_EXHAUSTED|Out of memory|out of memory|std::bad_alloc'
)
_XLA_ERRORS = ('JaxRuntimeError', 'XlaRuntimeError')  # this folder imports no JAX
_BACKENDS = ('jax', '_src', 'xla_bridge.py')  # where JAX starts its devices
# JAX's own words for what is wrong with a platform, and for a variable of its own.
_NO_BACKEND = re.compile(
    r"Unable to initialize backend '\w+': (.*?)\.?( \(set .*)?$", re.S
)
_OWN_VARIABLE = re.compile(r"invalid \w+ value '.*' for environment '(JAX_\w+)'")
_LOOP = re.compile(r"Symlink loop from '(.*)'")  # pathlib's own, before Python 3.13
_STDOUT, _STDERR = 1, 2


def explained(error: BaseException, *, smaller: str) -> tuple[str, int] | None:
    """(the line, the exit code) of a failure that is no defect of ours; else None.

    `smaller` says what makes the program need less memory. The line is '' for a reader
    of the output that ended first, as `head` does: nobody is told.
    """
    if isinstance(error, KeyboardInterrupt):
        return _stopped(signal.SIGINT)
    if interrupts.is_ending():  # a library may make another error of the signal's
        return _stopped(interrupts.sent)
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return '', 128 + signal.SIGPIPE
    if isinstance(error, errors.InputError | FloatingPointError):
        return f'error: {error}', 2
    if isinstance(error, errors.PlaceError):
        return f'error: {error}', 75 if error.passing else 2
    if isinstance(error, errors.OutputError):
        said = f'standard output can not be written to: {errors.cause(error.args[0])}'
        return f'error: {said}; make room where it goes, or send it elsewhere.', 2
    if isinstance(error, OSError):
        return f'error: {_of_the_system(error)}', 2
    if out_of_memory(error):
        said = ' '.join(str(error).split())[:200]
        name = getattr(sys.modules['__main__'].__spec__, 'name', 'the program')
        return (
            f'error: {name} is out of memory ({said or "MemoryError"}); {smaller}.',
            2,
        )
    if isinstance(error, RuntimeError) and (loop := _LOOP.match(str(error))):
        return f'error: {loop[1]} is a link that leads to itself; give another path.', 2
    if isinstance(error, ValueError) and 'embedded null' in str(error):
        return 'error: a path has a zero byte in it; give another.', 2
    said = _no_device(error) or _jax_variable(error)
    return (f'error: {said}', 2) if said else None


def _no_device(error: BaseException) -> str:
    """What to do where JAX could start no device; '' if another thing failed.

    JAX_PLATFORMS=cuda where JAX has no such plugin ends in an assertion without words.
    """
    found = _NO_BACKEND.search(str(error)) if isinstance(error, RuntimeError) else None
    if not found:
        if not isinstance(error, AssertionError) or str(error):
            return ''
        frames = traceback.extract_tb(error.__traceback__)
        if pathlib.Path(frames[-1].filename).parts[-3:] != _BACKENDS:
            return ''
    why = ' '.join(found[1].split())[:300] if found else 'JAX has no plugin for it here'
    named = os.environ.get('JAX_PLATFORMS')
    if not named:
        return f'JAX can not start its devices: {why}. JAX_PLATFORMS=cpu does without.'
    return (
        f'JAX_PLATFORMS={named} names devices that do not start: {why}. '
        'Unset it (unset JAX_PLATFORMS) to compute on what is here, or install what it '
        'needs: for a GPU, launch/cuda.sh --check names that.'
    )


def _jax_variable(error: BaseException) -> str:
    found = isinstance(error, ValueError) and _OWN_VARIABLE.match(str(error))
    return f'{error}; use 0 or 1, or unset {found[1]}.' if found else ''


def _stopped(by: signal.Signals) -> tuple[str, int]:
    # A terminal shows ^C behind a bar or a prompt.
    begun = '\n' if by == signal.SIGINT and os.isatty(_STDERR) else ''
    return f'{begun}stopped by {interrupts.name(by)}', 128 + by


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or this host had no memory left."""
    if isinstance(error, MemoryError):
        return True
    is_xla = type(error).__name__ in _XLA_ERRORS
    return is_xla and bool(_OUT_OF_MEMORY.search(str(error)))


def disk_is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _of_the_system(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return f'{errors.cause(error)}: raise the limit (ulimit -n 65536).'
    if error.errno == errno.EFBIG:
        return (
            f'{errors.cause(error)}: raise the limit (ulimit -f), or write elsewhere.'
        )
    if not disk_is_full(error):
        return f'{errors.cause(error)}; give a path that this user may read or write.'
    where = error.filename2 or error.filename
    if where is None:
        return f'{errors.cause(error)}: make room, or write to another disk.'
    folder = pathlib.Path(os.fsdecode(where)).absolute()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return (
        f'{os.fsdecode(where)} can not be written: its disk is full '
        f'({free / 1e6:,.1f} MB free); make room there, or name another disk.'
    )


def _reader_is_gone() -> bool:
    """Whether standard output or error is a pipe that nobody reads any more."""
    poll = select.poll()
    for output in (_STDOUT, _STDERR):
        poll.register(output, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
