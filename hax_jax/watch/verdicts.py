"""Verdicts as pure functions over numbers, in plain words."""

import math

import numpy as np

from hax_jax.data import records

GOOD, FAIR, SUSPECT, BAD = 'good', 'fair', 'SUSPECT', 'BAD'
_USUAL_UNIGRAM = 0.6  # of ln(vocabulary): token frequencies of English in GPT-2's
_LEAST_BAR = 4.5  # nats; GPT-2 scores 3 to 4.5 on English advice


def start(
    loss: float, *, ln_vocab: float, unigram_entropy: float, pretrained: bool
) -> tuple[str, str]:
    """(the verdict on the loss before training, why): the run's, report's and doctor's.

    All in nats per token. Untrained weights know nothing: ln(vocabulary), give or take.
    A trained model is below the middle of that and what token frequencies alone cost
    (`unigram_entropy`, 0 if it is not known). With labels shifted twice GPT-2 scored
    9.4 to 9.6, 0.87 to 0.89 of ln(50257).
    """
    if not math.isfinite(loss):
        return BAD, f'the loss before training is {loss}; the weights are damaged.'
    if not pretrained:
        # Drawn at 0.02, logits are near 0; a random head or wte of 1.0 is far above.
        if abs(loss - ln_vocab) <= 0.15 * ln_vocab:
            return GOOD, f'near ln(vocabulary) = {ln_vocab:.2f}, as untrained weights.'
        return SUSPECT, (
            f'untrained weights score near ln(vocabulary) = {ln_vocab:.2f}; far from '
            'it, they are not untrained or too large.'
        )
    unigram = unigram_entropy or _USUAL_UNIGRAM * ln_vocab
    bar = max(0.5 * (unigram + ln_vocab), _LEAST_BAR)
    if loss > bar:
        return BAD, (
            f'a trained model scores below {bar:.2f}, far below ln(vocabulary) = '
            f'{ln_vocab:.2f}; this one knows nothing of this text. The tokenizer is of '
            'another model, the weights are damaged or were never trained, or the '
            'labels are shifted wrongly.'
        )
    if loss > max(unigram, _LEAST_BAR):
        return FAIR, (
            f'token frequencies alone cost {unigram:.2f}: the model was hardly '
            'trained, or on other texts.'
        )
    return GOOD, 'trained models score so on text that they have not seen.'


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
    p = counts[counts > 0] / max(counts.sum(), 1e-9)
    return float(-(p * np.log(p)).sum())
