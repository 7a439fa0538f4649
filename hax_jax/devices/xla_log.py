"""XLA's log while it compiles: file descriptor 2, which C++ writes to itself."""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator

_WARNING = 'Involuntary full rematerialization'
_ARRAY = re.compile(r'for HLO operation:? \S+ = (\w+\[[\d,]*\])')
# Not the alarm of a slow compile, which has several lines.
_ERROR = re.compile(rb'[EF]\d{4} (?!.*slow_operation_alarm)')
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
