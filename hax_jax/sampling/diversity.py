"""How much answers repeat themselves and each other: pure functions over sequences.

A sequence is the tokens of one answer: ids, or `words` of its text, which compare
models of different tokenizers.
"""

from collections.abc import Hashable, Iterable, Sequence

from hax_jax import errors

LONGEST = 4  # distinct_1 to distinct_4, and repetition of 4-grams

Tokens = Sequence[Hashable]


def words(text: str) -> list[str]:
    """'The tea,  the TEA.' -> ['the', 'tea,', 'the', 'tea.']."""
    return text.lower().split()


def ngrams(sequence: Tokens, n: int) -> list[tuple[Hashable, ...]]:
    """ngrams([1, 2, 3], 2) -> [(1, 2), (2, 3)]; none if it is shorter than n."""
    return [tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1)]


def distinct(sequences: Iterable[Tokens], n: int) -> float:
    """The share of n-grams of all answers together that differ; 0.0 if there are none.

    distinct([[1, 2, 1, 2], [1, 2]], 2) -> 2 / 4: (1, 2) thrice and (2, 1). It falls as
    answers get longer, so compare at one length. Source: J. Li et al.,
    arXiv:1510.03055, distinct-n.
    """
    found = [ngram for sequence in sequences for ngram in ngrams(sequence, n)]
    return len(set(found)) / len(found) if found else 0.0


def repetition(sequence: Tokens, n: int = LONGEST) -> float:
    """The share of an answer's n-grams that it had before; 0.0 if it is shorter.

    repetition([1, 2, 1, 2, 1, 2], 2) -> 3 / 5. Source: S. Welleck et al.,
    arXiv:1908.04319, seq-rep-n: 1 - distinct n-grams / n-grams.
    """
    found = ngrams(sequence, n)
    return 1 - len(set(found)) / len(found) if found else 0.0


def describe(
    sequences: Sequence[Tokens],
    ended: Sequence[bool],
    *,
    lengths: Sequence[int] | None = None,
) -> dict[str, float]:
    """The figures of some answers; `ended` says which ended themselves, by EOS.

    `distinct_1` to `distinct_4` over all of them, `repetition_4` (the mean of each
    one's), `mean_length` (of `lengths` in tokens, where sequences are words),
    `eos_share`, and `answers`, their number.

    Raises:
      InputError: there is no answer.
    """
    if not sequences:
        raise errors.InputError('there is no answer to describe; give one or more.')
    if lengths is None:
        lengths = [len(sequence) for sequence in sequences]
    count = len(sequences)
    figures = {f'distinct_{n}': distinct(sequences, n) for n in range(1, LONGEST + 1)}
    return figures | {
        f'repetition_{LONGEST}': sum(map(repetition, sequences)) / count,
        'mean_length': sum(lengths) / count,
        'eos_share': sum(ended) / count,
        'answers': count,
    }
