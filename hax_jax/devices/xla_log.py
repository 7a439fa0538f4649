"""XLA's log, as it compiles or aborts: file descriptor 2, which C++ writes to."""

import contextlib
import os
import re
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterator

from jaxlib import xla_client

from hax_jax import errors

_WARNING = 'Involuntary full rematerialization'
_ARRAY = re.compile(r'for HLO operation:? \S+ = (\w+\[[\d,]*\])')
# Not the alarm of a slow compile, which has several lines.
_ERROR = re.compile(rb'[EF]\d{4} (?!.*slow_operation_alarm)')
_PATIENCE_SECONDS = 5.0  # a fork of a process with threads may hang
_WORDS = re.compile(r'^F.*?\] (?P<fatal>.*)|^E.*?\] (?P<told>.*)', re.M)
_END = b'\0hax_jax: end of the log\n'


@contextlib.contextmanager
def rematerialized(*, quiet: bool = False) -> Iterator[list[str]]:
    """Collects the arrays that XLA says it must hold whole on each device.

    The list, such as ['f32[16,32,16]'], is filled once the block has ended. All other
    lines go where they went before; `quiet` drops all but XLA's errors.
    """
    found: list[str] = []
    sys.stderr.flush()
    before = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    reader = threading.Thread(
        target=_pass_on, args=(read, before, found, quiet), daemon=True
    )
    reader.start()
    try:
        yield found
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        # A child process may hold the pipe open, so its end is not waited for.
        os.write(write, b'\n' + _END)
        os.close(write)
        reader.join()
        os.close(before)


def _pass_on(read: int, out: int, found: list[str], quiet: bool) -> None:
    """Reads the pipe line by line, up to the line _END."""
    with open(read, 'rb') as lines:
        waiting = b''  # a newline before _END may be none of the log's
        for line in lines:
            if line == _END:
                break
            os.write(out, waiting)
            waiting = b''
            if _WARNING.encode() in line:
                array = _ARRAY.search(line.decode(errors='replace'))
                found.append(array[1] if array else 'an array')
            elif line == b'\n' and not quiet:
                waiting = line
            elif not quiet or _ERROR.match(line):
                os.write(out, line)


def advice(found: list[str]) -> str:
    """What to say of the arrays; '' if there are none."""
    if not found:
        return ''
    arrays = ', '.join(sorted(set(found)))
    # data and fsdp leave XLA no choice of its own (model/own_rows.py).
    return (
        f'XLA finds no good way between two shardings of {arrays}, and holds each whole'
        ' on every device for a moment ("involuntary full rematerialization"): results '
        'are right, memory and network pay. Give --config.mesh.tensor=1 to avoid it.'
    )


def check_flags(given: str) -> None:
    """Raises InputError, with XLA's own words, where XLA_FLAGS of `given` aborts it.

    A fork of this process reads them, in some 30 ms; no list of flags is kept here.
    """
    if not given.strip():
        return
    said = _said_by_a_fork()
    if said:
        raise errors.InputError(
            f'XLA_FLAGS={given!r} is not accepted: {said}; correct it, or unset it '
            '(unset XLA_FLAGS).'
        )


def _said_by_a_fork() -> str:
    """What XLA says as it aborts, '' where it does not."""
    source, sink = os.pipe()
    with warnings.catch_warnings():  # JAX warns of each fork; this one runs nothing
        warnings.simplefilter('ignore', RuntimeWarning)
        process = os.fork()
    if process == 0:
        try:
            os.dup2(sink, 2)
            xla_client.CompileOptions()
        finally:
            os._exit(0)
    os.close(sink)
    with open(source, 'rb') as read:
        if not select.select([read], [], [], _PATIENCE_SECONDS)[0]:
            os.kill(process, signal.SIGKILL)
        text = read.read().decode(errors='replace')
    _, status = os.waitpid(process, 0)
    if status in (0, signal.SIGKILL):  # it took all, or too long
        return ''
    found = _WORDS.search(text)
    return (found['fatal'] or found['told']).rstrip('.') if found else 'XLA aborts'
