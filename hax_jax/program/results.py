"""`--json`: what a program found, as one JSON object on standard output.

Everything else that it prints goes to standard error then.

    results.give({'workdir': 'runs/full', 'step': 40})    # in a program's main
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

_JSON = flags.DEFINE_bool(
    'json', False, 'Print the result as one JSON object; all else to standard error.'
)
_given: dict[str, Any] = {}


def give(values: Mapping[str, Any]) -> None:
    """Adds to the result; values that JSON has no form for become text."""
    _given.update(values)


@contextlib.contextmanager
def printed() -> Iterator[None]:
    """Prints what was given in the block, if `--json` asks for it and nothing failed.

    Only the process that was given something prints.
    """
    if not _JSON.value:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
    if _given:
        print(json.dumps(_given, default=str, ensure_ascii=False), flush=True)
