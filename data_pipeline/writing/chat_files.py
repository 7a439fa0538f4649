"""Pairs as chat messages in JSON lines, for TRL, Axolotl and OpenAI's fine-tuning.

{"messages":[{"role":"system","content":"You are kind."},
             {"role":"user","content":"My aunt ..."},
             {"role":"assistant","content":"Dear reader, ..."}]}

A conversation has all its turns. An answer whose weight is not 1 has a "weight", which
is 0 for one that is context alone: OpenAI's key, which data_pipeline.build reads too.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator

from data_pipeline.compared import described_pairs
from hax_jax import files
from hax_jax.data import records


def line(pair: records.QaPair, *, system: str = '') -> str:
    """The pair as one line of JSON; without `system` there is no system message."""
    messages: list[dict[str, str | float]] = []
    if system:
        messages.append({'role': 'system', 'content': system})
    for turn in pair.exchanges:
        messages.append({'role': 'user', 'content': turn.question})
        messages.append({'role': 'assistant', 'content': turn.answer})
        if turn.weight != 1:
            messages[-1]['weight'] = turn.weight or 0
    return json.dumps({'messages': messages}, ensure_ascii=False, separators=(',', ':'))


@contextlib.contextmanager
def writer(
    folder: pathlib.Path, split: str, *, system: str
) -> Iterator[Callable[[described_pairs.Described], None]]:
    """A function that appends pairs to chat/<split>.jsonl of a dataset's folder."""
    path = folder / 'chat' / f'{split}.jsonl'
    path.parent.mkdir(exist_ok=True)
    with open(path, 'w', encoding='utf-8', newline='') as file:
        yield lambda some: file.writelines(
            f'{line(pair, system=system)}\n' for pair in some.pairs()
        )


def write(
    path: pathlib.Path, pairs: Iterable[records.QaPair], *, system: str = ''
) -> int:
    """Writes the file whole or not at all and returns its number of lines."""
    return files.write_lines(path, (line(pair, system=system) for pair in pairs))
