"""Whether steps of this size, in this direction, let this model learn.

Each check is a pure function of `measure_trial`'s numbers.
"""

import statistics

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers


def direction(n: Numbers) -> Finding | None:
    """A step goes down the loss, by as much as its gradient says."""
    if n.get('goes_up'):
        return Finding(
            'direction',
            FAIL,
            "the optimizer's updates have the sign of the gradient",
            'the sign of the update is flipped: steps go up the loss',
            'mend optimizer.make_optimizer: updates are minus the rate times Adam',
            'the first update of a parameter of its own',
        )
    if 'slope' not in n or n.get('dropout', 0.0) > 0.4:
        return None
    slope = n['slope']
    evidence = (
        f'along the first step the loss changes by {slope:+.2f} of what its gradient '
        'says'
    )
    # Healthy runs had -0.93 to -1.05; with dropout the gradient is of another model.
    room = 3.0 if n.get('has_dropout') else 1.4
    if -room <= slope <= -1 / room:
        return diagnosis.good('direction', evidence)
    if slope >= 0.3:
        cause = "the gradient's sign is flipped: steps go up the loss"
    elif abs(slope) < 0.1:
        cause = 'the gradient is not that of the loss that evaluation has'
    elif slope < 0:
        cause = (
            f'the gradient is {-1 / slope:.2g} times that of the loss: it is summed or '
            'divided once too often'
        )
    else:
        cause = 'the gradient is not that of the loss that evaluation has'
    return Finding(
        'direction',
        FAIL,
        evidence,
        cause,
        'mend train_step.gradients_function: the gradient of the weighted mean nll',
        'the loss on both sides of the parameters, along a step that is undone',
        (('along the step', slope), ('right', -1.0)),
    )


def update_size(n: Numbers) -> Finding | None:
    """An update at the peak rate is a part of the weight, not its size."""
    if not n.get('moved_rms') or not n.get('step_rate') or 'rates' not in n:
        return None
    grow = max(n['rates'].values()) / n['step_rate']
    ratios = {
        name: grow * moved / n['trained_rms'][name]
        for name, moved in n['moved_rms'].items()
        if moved
        and n['gradient_rms'].get(name)  # decay alone moves an adapter's A at first
        and n['trained_rms'][name] > 1e-4
        and name.endswith(('.kernel', '.lora_a', '.lora_b', '.embedding'))
    }
    if not ratios:
        return None
    ratio = statistics.median(ratios.values())
    evidence = (
        f'at the peak rate of {max(n["rates"].values()):.2g} an update is {ratio:.2g} '
        f'of its weight (median of {len(ratios)} matrices)'
    )
    # Healthy runs had 0.0004 (GPT-2) to 0.2 (small models from scratch).
    high = 0.5 if n['pretrained'] and not n.get('is_lora') else 1.0
    if ratio <= high and ratio >= 1e-6:
        return diagnosis.good('update size', evidence)
    return Finding(
        'update size',
        FAIL,
        evidence,
        'the learning rate is too high: one update is as large as the weights'
        if ratio > high
        else 'the learning rate is too low: updates can not change the weights',
        'lower --config.optimizer.learning_rate to about '
        f'{max(n["rates"].values()) / max(2, ratio / 0.05) or 1e-4:.1g}'
        if ratio > high
        else 'raise --config.optimizer.learning_rate',
        'the first step; the usual update is 0.0001 to 0.01 of its weight',
        (('update / weight', ratio),),
    )


def overfits(n: Numbers) -> Finding | None:
    """Twenty steps at the peak rate learn one batch."""
    if 'overfit_before' not in n:
        return None
    before, after = n['overfit_before'], n['overfit_after']
    tried = {float(times): loss for times, loss in n.get('range', {}).items()}
    evidence = (
        f'20 trial steps at the peak rate take the loss of one batch from {before:.3f} '
        f'to {after:.3f}'
        + ''.join(
            f'; {times:g} times the rate: {loss:.2f} after {n["range_steps"]}'
            for times, loss in sorted(tried.items())
        )
    )
    bars = (
        ('before', before),
        ('after', min(after, 3 * before)),
        *((f'x {times:g}', min(loss, 3 * before)) for times, loss in tried.items()),
    )
    fall = before - after
    lower = [times for times, loss in tried.items() if times < 1 and loss < before]
    best = max((before - loss for loss in tried.values()), default=0.0)
    source = 'a model that learns at all learns one batch'
    if fall < -0.02 * before:
        return Finding(
            'one batch',
            FAIL,
            evidence,
            'the learning rate is too high: on one batch its loss rises',
            'divide --config.optimizer.learning_rate by 10'
            + ('' if lower else ' or more; see also the findings above'),
            source,
            bars,
        )
    if fall < 0.005 * before:
        moving = best > 10 * max(fall, 1e-6) and best > 0.002 * before
        return Finding(
            'one batch',
            FAIL,
            evidence,
            'the learning rate is too low: higher ones learn the batch, this one does '
            'not'
            if moving
            else 'nothing learns the batch, at no rate: the gradient is not that of '
            'the loss, or nothing moves',
            'multiply --config.optimizer.learning_rate by 10 or more'
            if moving
            else 'mend the findings above',
            source,
            bars,
        )
    if fall < 0.03 * before and best > 10 * fall:
        return Finding(
            'one batch',
            WARN,
            evidence,
            'the learning rate is low: ten times as large a one learns far more',
            'raise --config.optimizer.learning_rate',
            source,
            bars,
        )
    return diagnosis.good('one batch', evidence, source)


def lost(n: Numbers) -> Finding | None:
    """Updates are not lost to bfloat16 parameters."""
    if 'lost_updates' not in n:
        return None
    evidence = (
        f'{n["lost_updates"]:.0%} of the first updates left their weight as it was'
    )
    if n['lost_updates'] <= 0.5:
        return diagnosis.good('dtype', evidence)
    return Finding(
        'dtype',
        WARN,
        evidence,
        'updates are too small for bfloat16 parameters and are lost',
        'set --config.train.param_dtype=float32 (compute_dtype may stay bfloat16)',
        'a bfloat16 has 8 bits: near 0.1 the next number is 0.0005 away',
    )


def noise(n: Numbers) -> Finding | None:
    """The batch is not far under the noise scale of its gradient."""
    if 'noise_tokens' not in n:
        return None
    scale, batch = n['noise_tokens'], n['batch_tokens']
    times = scale / max(batch, 1.0)
    evidence = (
        f'the noise scale is about {scale:,.0f} tokens; a batch has {batch:,.0f} '
        'weighted ones'
    )
    source = 'McCandlish et al. 2018, arXiv:1812.06162, 2.2 and appendix A.1'
    # One batch of 8 rows knows the scale by a factor of a few.
    if times <= 30:
        return diagnosis.good(
            'gradient noise',
            f'{evidence}; batches of its size train fastest for their cost',
            source,
        )
    return Finding(
        'gradient noise',
        WARN,
        evidence,
        f'the batch is {times:.0f} times under the noise scale: each step is almost '
        'all noise, and a larger batch allows a larger rate at the same cost',
        f'raise --config.train.batch_size {min(times, 64):.0f} times, with as many '
        'more --config.train.grad_accum_steps',
        source,
        (('batch', batch), ('noise scale', scale)),
    )


CHECKS = (direction, update_size, overfits, lost, noise)
