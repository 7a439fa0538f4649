"""How much answers repeat themselves and each other.

A sequence is the tokens of one answer: its ids, or the `words` of its text to compare
models with different tokenizers.
"""

from collections.abc import Hashable, Iterable, Sequence

from hax_jax import errors

LONGEST = 4  # distinct_1 to distinct_4, and repetition of 4-grams

Tokens = Sequence[Hashable]


def words(text: str) -> list[str]:
    """'The tea,  the TEA.' -> ['the', 'tea,', 'the', 'tea.']."""
    return text.lower().split()


def ngrams(sequence: Tokens, n: int) -> list[tuple[Hashable, ...]]:
    """ngrams([1, 2, 3], 2) -> [(1, 2), (2, 3)]; [] for a sequence shorter than n."""
    return [tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1)]


def distinct(sequences: Iterable[Tokens], n: int) -> float:
    """The number of different n-grams of all answers / all n-grams; 0.0 without any.

    distinct([[1, 2, 1, 2], [1, 2]], 2) -> 2 / 4: (1, 2) three times and (2, 1). Longer
    answers have a lower value, so compare answers of one length. Source: J. Li et al.,
    arXiv:1510.03055, distinct-n.
    """
    found = [ngram for sequence in sequences for ngram in ngrams(sequence, n)]
    return len(set(found)) / len(found) if found else 0.0


def repetition(sequence: Tokens, n: int = LONGEST) -> float:
    """The share of an answer's n-grams that repeat earlier ones; 0.0 without n-grams.

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
    """Figures of some answers; `ended` says which of them ended with EOS.

    `distinct_1` to `distinct_4` over all answers, `repetition_4` (the mean over the
    answers), `mean_length` (of `lengths` in tokens, if the sequences are words),
    `eos_share`, and `answers` (their number).

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
