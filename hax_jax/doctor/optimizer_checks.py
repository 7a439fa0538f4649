"""Whether the optimizer does what the config asks, and the config asks what trains.

Each check is a pure function of `measure_optimizer`'s numbers, or of the first step's.
"""

import math
import statistics

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers

# A clip_norm from here on does not make steps small: GPT-3 has 1.0 (Brown et al. 2020).
USUAL_CLIP = 0.1
_USUAL_DECAY = 0.1
_DRAWN_DECAY = 0.005  # a step: half of a matrix in 140 of them


def schedule(n: Numbers) -> Finding | None:
    """The optimizer's rate at each step is that of the config."""
    if 'rates' not in n or 'asked_rates' not in n:
        return None
    has = {int(at): rate for at, rate in n['rates'].items()}
    asked = {int(at): rate for at, rate in n['asked_rates'].items()}
    peak = max(max(asked.values()), 1e-30)
    off = {at: has[at] for at in has if abs(has[at] - asked[at]) > 0.1 * peak}
    bars = tuple((f'step {at}', rate) for at, rate in sorted(has.items()))
    top = max(has, key=lambda at: has[at])
    evidence = (
        f'the updates of the optimizer have a peak rate of {has[top]:.2g} at step '
        f'{top} of {n["num_steps"]}; the config asks for {peak:.2g}'
    )
    source = 'a fresh Adam moves a parameter by the rate'
    rising = [at for at in has if has[at] < 0.5 * max(has[top], 1e-30) and at < top]
    if top >= 0.6 * n['num_steps'] and rising and n['num_steps'] >= 5:
        return Finding(
            'schedule',
            FAIL if top == max(has) else WARN,
            f'the rate of the updates rises until step {top} of {n["num_steps"]}, to '
            f'{has[top]:.2g}',
            'the warm-up is longer than the run, or most of it: the rate never reaches '
            'its peak, or only late',
            'a tenth of the run is usual: '
            f'--config.optimizer.warmup_steps={max(n["num_steps"] // 10, 1)}',
            source,
            bars,
        )
    if not off:
        return diagnosis.good('schedule', evidence, source)
    early = all(has[at] <= asked[at] + 0.1 * peak for at in has)
    scales = [has[at] / asked[at] for at in has if asked[at] > 0.05 * peak]
    even = max(scales) < 1.2 * min(scales) if scales and min(scales) > 0 else False
    if even:
        cause = (
            f'the rate is {statistics.median(scales):.3g} times what the config asks'
        )
    elif early and n['grad_accum_steps'] > 1:
        cause = 'the schedule is stepped once a microbatch: the rate falls too early'
    elif early:
        cause = (
            'the schedule is stepped more than once a step: the rate falls too early'
        )
    else:
        cause = 'the schedule of the optimizer is not that of the config'
    return Finding(
        'schedule',
        FAIL,
        f'{evidence}; at step {min(off)} it is {off[min(off)]:.2g}, not '
        f'{asked[min(off)]:.2g}',
        cause,
        'mend optimizer.schedule or what steps it; once a step',
        source,
        bars,
    )


def decay(n: Numbers) -> Finding | None:
    """Weight decay is on matrices alone, and undoes a small part of them."""
    if 'decay_matrix' not in n:
        return None
    matrix, bias = n['decay_matrix'], n['decay_bias']
    mean = statistics.fmean(n['rates'].values())
    shrinks = 1 - math.exp(-max(0.0, matrix * mean * n['num_steps']))
    evidence = (
        f'decay is {matrix:.2g} of the rate on matrices and {bias:.2g} on biases and '
        f'norms; over the run it shrinks matrices by {shrinks:.0%}'
    )
    bars = (('matrices', matrix), ('biases and norms', bias))
    # Weights that the run draws are learned anew all along: 95% of GPT-3's went.
    is_kept = n['pretrained'] and not n.get('is_lora')
    if abs(bias) > 0.02 + 0.02 * abs(matrix):
        cause = 'biases and norms are decayed too: the mask of the decay is lost'
        if matrix > 1:
            cause += f', and the decay of {matrix:.2g} is far too large'
    elif matrix > 3 or (shrinks > 0.5 if is_kept else matrix * mean > _DRAWN_DECAY):
        cause = (
            f'the weight decay is far too large: it undoes {shrinks:.0%} of the weights'
            if matrix > _USUAL_DECAY + 0.01
            else f'the learning rate is far too high: with it a decay of {matrix:.2g} '
            f'undoes {shrinks:.0%} of the weights'
        )
    elif abs(matrix - n['asked_decay']) > 0.05 + 0.1 * n['asked_decay']:
        cause = f'matrices are not decayed as optimizer.weight_decay={n["asked_decay"]}'
    else:
        return diagnosis.good('decay', evidence)
    return Finding(
        'decay',
        FAIL,
        evidence,
        cause,
        'divide --config.optimizer.learning_rate by 10 or more'
        if 'learning rate' in cause
        else f'set --config.optimizer.weight_decay to {_USUAL_DECAY} or less, on '
        'matrices alone',
        "a fresh Adam's update at 1 less that at 0; GPT-3 has 0.1 (Brown et al. 2020)",
        bars,
    )


def clip(n: Numbers) -> Finding | None:
    """Clipping cuts gradients to a part of their norm, not to nothing."""
    if 'clipped_norm' not in n or not n['step_grad_norm']:
        return None
    share = n['clipped_norm'] / n['step_grad_norm']
    evidence = (
        f'the first gradient has a norm of {n["step_grad_norm"]:.3g} and of '
        f'{n["clipped_norm"]:.3g} after clipping'
    )
    # 1.0 of norms up to 30 in healthy runs' first steps.
    if share > 0.01 or not n['clipped_norm']:
        return diagnosis.good('clipping', evidence)
    if n['clipped_norm'] >= USUAL_CLIP:
        return Finding(
            'clipping',
            WARN,
            evidence,
            'the first gradient is far over a usual bound: the loss is steep where '
            'training begins, as with adapters of a large scale or weights that do '
            'not fit together',
            ('lower --config.lora.alpha, or give' if n.get('is_lora') else 'give')
            + f' --config.optimizer.warmup_steps={max(n.get("num_steps", 0) // 10, 1)}',
            'optimizer.clip_norm is as others have it (1.0), so it is not the cause',
        )
    return Finding(
        'clipping',
        FAIL,
        evidence,
        f'optimizer.clip_norm cuts the gradient to {share:.1g} of its size: small '
        "gradients fall under Adam's eps, and steps no longer differ in size",
        'set --config.optimizer.clip_norm=1.0',
        'Adam adds eps to the root of the squares of the clipped gradient',
        (('gradient', n['step_grad_norm']), ('clipped', n['clipped_norm'])),
    )


def moments(n: Numbers) -> Finding | None:
    """Adam keeps of its moments what the config says, and its eps is small."""
    if 'moments' not in n:
        return None
    names = ('b1', 'b2', 'eps')
    has, asked = n['moments'], n['asked_moments']
    sizes = [size for size in n.get('gradient_rms', {}).values() if size]
    usual = statistics.median(sizes) if sizes else 1.0
    evidence = (
        'Adam has '
        + ', '.join(f'{k} {x:.3g}' for k, x in zip(names, has, strict=True))
        + f'; the gradient of a usual parameter is {usual:.2g}'
    )
    off = [
        name
        for name, x, y in zip(names, has, asked, strict=True)
        if (abs(x - y) > 0.02 if name != 'eps' else x > 10 * y + 1e-6)
    ]
    verdict = FAIL
    if has[2] > usual:
        cause = (
            f"Adam's eps of {has[2]:.2g} is larger than the gradients, so steps shrink "
            'with them: small gradients teach almost nothing'
        )
    elif off:
        cause = f'the optimizer does not have optimizer.{off[0]} of the config'
    elif has[1] < 0.8:
        cause = (
            f'b2 is {has[1]:.2g}: Adam divides by the squares of the last few '
            'gradients alone, so its steps are noisy'
        )
        verdict = WARN
    elif has[0] > 0.98:
        cause = f'b1 is {has[0]:.2g}: a step follows gradients of long ago'
        verdict = WARN
    else:
        return diagnosis.good('moments', evidence)
    return Finding(
        'moments',
        verdict,
        evidence,
        cause,
        'set --config.optimizer.b1=0.9, --config.optimizer.b2=0.95 and '
        '--config.optimizer.eps=1e-8',
        'a second update with a gradient of 0; Kingma and Ba 2015, arXiv:1412.6980, 2',
        tuple(zip(names, has, strict=True)),
    )


def z_loss(n: Numbers) -> Finding | None:
    """The z-loss only holds logits in place."""
    if not n.get('z_loss'):
        return None
    evidence = f'train.z_loss is {n["z_loss"]:.2g}, times logsumexp(logits)**2'
    if n['z_loss'] <= 0.01:
        return diagnosis.good('z-loss', evidence)
    return Finding(
        'z-loss',
        FAIL if n['z_loss'] > 0.1 else WARN,
        evidence,
        'the z-loss outweighs the loss: the model learns to make logits small before '
        'it learns any text',
        'set --config.train.z_loss=1e-4',
        'PaLM has 1e-4 (Chowdhery et al. 2022, arXiv:2204.02311, 5)',
    )


CHECKS = (schedule, decay, clip, moments, z_loss)
