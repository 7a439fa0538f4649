"""Raw question-and-answer text to a packed dataset."""

import os
import signal
import sys
from typing import Any


def stop_at_once(*_: Any) -> None:
    """Ends a program that is still loading its libraries, in one line."""
    print('stopped by Ctrl-C', file=sys.stderr, flush=True)
    os._exit(130)  # nothing was begun: there is nothing to leave in order


# While Python looks for a program (`python -m data_pipeline.build`) it is named '-m';
# whoever imports this package otherwise keeps Ctrl-C as it is. program.run takes over.
if sys.argv[:1] == ['-m'] and signal.getsignal(signal.SIGINT) is (
    signal.default_int_handler
):
    signal.signal(signal.SIGINT, stop_at_once)
