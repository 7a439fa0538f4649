"""Pairs as chat JSON lines, which TRL, Axolotl and OpenAI's fine-tuning read.

{"messages":[{"role":"system","content":"You are kind."},
             {"role":"user","content":"My aunt ..."},
             {"role":"assistant","content":"Dear reader, ..."}]}
"""

import json
import pathlib
from collections.abc import Iterable

from hax_jax import files
from hax_jax.data import records

FOLDER = 'chat'  # of a dataset, if its build was asked for it


def line(pair: records.QaPair, *, system: str = '') -> str:
    """The pair as one line of JSON; without `system` there is no system message."""
    messages = [
        {'role': 'user', 'content': pair.question},
        {'role': 'assistant', 'content': pair.answer},
    ]
    if system:
        messages.insert(0, {'role': 'system', 'content': system})
    return json.dumps({'messages': messages}, ensure_ascii=False, separators=(',', ':'))


def write(
    path: pathlib.Path,
    pairs: Iterable[records.QaPair],
    *,
    system: str = '',
) -> int:
    """Writes the file whole or not at all and returns how many lines it has."""
    return files.write_lines(path, (line(pair, system=system) for pair in pairs))
