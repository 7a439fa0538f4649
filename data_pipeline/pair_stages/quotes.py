"""Stage `quotes`: notes an answer that repeats words of its question.

Drops nothing: an answer may quote. Many long quotes would teach a model to copy.
"""

import numpy as np

from data_pipeline import settings
from data_pipeline.pair_stages import folding, stages, word_runs
from hax_jax.data import records

NOTE = 'answer quotes the question'


def stage(chosen: settings.DuplicateSettings) -> stages.Stage:
    """The stage that notes a quote of `quote_words` words or more; 0 notes none."""

    def apply(pair: records.QaPair) -> stages.Kept:
        least = chosen.quote_words
        for turn in pair.exchanges if least else ():
            if quote := longest(turn.question, turn.answer, least=least):
                return stages.Kept(pair, notes=(stages.Note(NOTE, quote),))
        return stages.Kept(pair)

    return stages.Stage('quotes', apply)


def longest(question: str, answer: str, *, least: int) -> str:
    """The longest run of words of the answer that the question has too.

    The comparison ignores case and punctuation. Returns '' if the run has under `least`
    words; of equally long runs it returns the first.
    """
    folded = folding.folded(question), folding.folded(answer)
    if least >= word_runs.LENGTH:
        runs = np.sort(np.concatenate([word_runs.of(each) for each in folded]))
        if (runs[1:] != runs[:-1]).all():
            return ''  # the case of almost every pair
    asked, said = (each.split() for each in folded)
    places: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(asked) - least + 1):
        places.setdefault(tuple(asked[i : i + least]), []).append(i)
    start = length = at = 0
    while at + least <= len(said):
        here = 0
        for place in places.get(tuple(said[at : at + least]), []):
            run = least
            while (
                place + run < len(asked)
                and at + run < len(said)
                and asked[place + run] == said[at + run]
            ):
                run += 1
            here = max(here, run)
        if here > length:
            start, length = at, here
        at += max(1, here - least + 1)
    return ' '.join(said[start : start + length])
