"""Verdicts as pure functions over numbers, in plain words."""

import math

import numpy as np

from hax_jax.data import records


def step_0_verdict(loss: float, *, vocab_size: int, pretrained: bool) -> str:
    """The verdict on the loss before training; `loss` in nats per token.

    Untrained weights know nothing: ln(vocab_size), give or take. GPT-2 scores 3 to 4.5
    on English advice; over 6 it is reading something else than its own tokens. With
    labels shifted twice it scored 9.4 to 9.6, 0.87 to 0.89 of ln(50257).
    """
    uniform = math.log(vocab_size)
    if not math.isfinite(loss):
        return f'BAD: the loss before training is {loss}; the weights are damaged.'
    if not pretrained:
        if abs(loss - uniform) < 0.15 * uniform:
            return (
                f'good: near ln(vocabulary) = {uniform:.2f}, as untrained weights are.'
            )
        return (
            f'SUSPECT: untrained weights score near ln(vocabulary) = {uniform:.2f}; '
            'far from it, they are not untrained or too large.'
        )
    if loss > 0.8 * uniform:
        return (
            f'BAD: a trained model scores far below ln(vocabulary) = {uniform:.2f}; '
            'this one knows nothing of this text. The tokenizer is of another model, '
            'the weights are damaged or hardly trained, or the labels are shifted '
            'wrongly.'
        )
    if loss > 6.0:
        return (
            'SUSPECT: GPT-2 scores 3 to 4.5 on plain English; is the text English, and '
            'the tokenizer the one that the model was trained with?'
        )
    return 'good: trained models score so on text that they have not seen.'


def lost_updates_problem(share: float) -> str:
    """'' unless most updates leave their parameter as it was; then what to do.

    A bfloat16 has 8 bits: a parameter near 0.1 lies 0.0005 from the next, and an update
    of under half of that is rounded away, at each step anew.
    """
    if share <= 0.5:
        return ''
    return (
        f'WARNING: {share:.0%} of the updates are too small for bfloat16 parameters '
        'and are lost. Set --config.train.param_dtype=float32 (compute_dtype may stay '
        'bfloat16) or raise --config.optimizer.learning_rate.'
    )


def unigram_entropy(cache: records.PackedCache) -> float:
    """Nats per token that token frequencies alone would cost on the train split.

    Tokens count by their loss weight, as in the loss; a model over it has learned
    nothing of their order.
    """
    rows = cache.features('train')
    weights = np.asarray(rows['loss_weights'], np.float64).ravel()
    targets = np.asarray(rows['targets'], np.int64).ravel()
    counts = np.bincount(targets, weights)
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
