"""Whether a step trains what it should, by the rate and the loss that it should have.

Each check is a pure function of `measure_trial`'s numbers.
"""

import math
import statistics

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers

_ROUNDING = 0.05  # nats a token, of bfloat16 in a healthy run
_SCALE = 10.0  # between a gradient's norm and that of the moments: squares by 100


def moves(n: Numbers) -> Finding | None:
    """Every trained parameter has a gradient; every adapter's B has one.

    Before the first step the step's program says which parameters it can teach.
    """
    norm = n.get('step_grad_norm', 0.0)
    if not math.isfinite(norm):
        return Finding(
            'gradients',
            FAIL,
            f'the gradient of the first step has a norm of {norm}',
            'the gradient overflows: a term of the loss, or a weight, is far too large',
            'lower --config.train.z_loss, compute in float32 '
            '(--config.train.compute_dtype=float32), and look at the base with '
            'hax doctor --folder=...',
            'the first step',
        )
    untaught = [name for name, is_so in n.get('taught', {}).items() if not is_so]
    if untaught:
        dead, count = untaught, len(n['taught'])
        asleep: set[str] = set()
        source = "the step's program, in which no token of the batch reaches them"
    elif n.get('gradient_rms'):
        rms, weights = n['gradient_rms'], n['trained_rms']
        asleep = {  # A has no gradient while its B is zero
            name
            for name in rms
            if name.endswith('.lora_a') and weights.get(name[:-1] + 'b') == 0
        }
        dead = [name for name, value in rms.items() if not value and name not in asleep]
        count = len(rms) - len(asleep)
        source = 'the first step; at first an adapter learns by its B alone'
    else:
        return None
    evidence = f'{len(dead)} of {count} trained parameters have no ' + (
        f'gradient, among them {dead[0]}' if dead else 'gradient'
    )
    idle = n.get('idle_thirds', {})
    if idle and not dead:
        name, thirds = next(iter(idle.items()))
        return Finding(
            'gradients',
            FAIL,
            f'{len(idle)} of c_attn have a third without a gradient, such as {name}',
            f'{" and ".join(thirds)} of attention have no gradient: its weights lie '
            'under a stop_gradient',
            'mend model/attention.py: queries, keys and values all learn',
            'the first step',
        )
    if asleep and not count:
        return Finding(
            'gradients',
            FAIL,
            f'the {len(asleep)} trained parameters are all A of adapters, whose B are '
            '0',
            'B of every adapter is frozen at zero, so nothing is learned',
            'leave lora_b out of --config.optimizer.lr_multipliers',
            source,
        )
    if not dead:
        return diagnosis.good('gradients', evidence, source)
    cause, remedy = _without_gradient(n, dead, everything=len(dead) == count)
    bars = (('with a gradient', count - len(dead)), ('without', len(dead)))
    return Finding('gradients', FAIL, evidence, cause, remedy, source, bars)


def _without_gradient(
    n: Numbers, dead: list[str], *, everything: bool
) -> tuple[str, str]:
    """(cause, remedy) of parameters that are trained and have no gradient."""
    weights = n.get('trained_rms', {})
    flat = [
        name
        for name in weights
        if name.endswith('.lora_a')
        and not weights[name]
        and not weights[name[:-1] + 'b']
    ]
    if flat:
        return (
            f'A and B of {len(flat)} adapters are both zero, so neither ever has a '
            'gradient',
            'draw lora_a (uniform within 1/sqrt(in)); only lora_b begins at zero',
        )
    if any('.lora_' in name for name in dead):
        return (
            'the adapters have no gradient: they lie under a stop_gradient, or are not '
            'part of the loss',
            'mend how lora.LoraLinear adds them; its B must have a gradient',
        )
    if everything:
        return (
            'no parameter has a gradient: the loss does not depend on any',
            'mend the loss (train_step), or its loss weights',
        )
    return (
        f'{", ".join(dead[:3])} are trained and have no gradient: they lie under a '
        'stop_gradient, or are not used',
        'mend the model, or hold them with --config.optimizer.lr_multipliers',
    )


def frozen(n: Numbers) -> Finding | None:
    """What has a gradient moves."""
    if not n.get('gradient_rms') or not n.get('step_rate'):
        return None
    still = [
        name
        for name, value in n['gradient_rms'].items()
        if value
        and not n['moved_rms'].get(name)
        and 'lost_updates' not in n
        # A warm-up's first rate may be under what float32 adds to a weight.
        and n['step_rate'] > 1e-5 * n['trained_rms'][name]
    ]
    moved = sum(value > 0 for value in n['moved_rms'].values())
    evidence = f'{moved} of {len(n["moved_rms"])} parameters of the state moved'
    if not still:
        return diagnosis.good('updates', evidence)
    return Finding(
        'updates',
        FAIL,
        f'{evidence}; {still[0]} has a gradient and did not',
        f'{len(still)} parameters have a gradient and no update: the optimizer leaves '
        'them out, or the update is too small for their dtype',
        'look at --config.optimizer.lr_multipliers and --config.train.param_dtype',
        'the first step, and the state before it',
    )


def counts(n: Numbers) -> Finding | None:
    """A step counts once, in the state and in the schedule."""
    if 'schedule_count' not in n or not math.isfinite(n.get('step_grad_norm', 0.0)):
        return None  # a step that is not finite is not made
    state, inner = n['step_count'], n['schedule_count']
    evidence = f"one step counts {state} in the state and {inner} in the optimizer's"
    if state == inner == 1:
        return diagnosis.good('schedule count', evidence)
    return Finding(
        'schedule count',
        FAIL,
        evidence,
        'the schedule is stepped once a microbatch, so the rate falls too early'
        if inner > 1
        else 'steps are not counted, so the rate stays where it is',
        'call the optimizer once a step, after all microbatches',
        'the first step, and the state before it',
        (('state', state), ('schedule', inner)),
    )


def microbatches(n: Numbers) -> Finding | None:
    """A step's gradient is the mean over tokens, whatever the microbatches."""
    if 'microbatch_gradient_ratio' not in n:
        return None
    loss, gradient = n['microbatch_loss_ratio'], n['microbatch_gradient_ratio']
    evidence = (
        f'rows of one microbatch alone have {loss:.2f} of the loss and {gradient:.2f} '
        'of the gradient that they have when all microbatches are these rows'
    )
    # Dropout and rounding moved both ratios by up to a fifth.
    if all(0.7 < ratio < 1.4 for ratio in (loss, gradient)):
        return diagnosis.good('microbatches', evidence)
    summed = n.get('step_loss', 0.0) > 1.5 * n.get('scored_loss', 1e9)
    return Finding(
        'microbatches',
        FAIL,
        evidence,
        'the step sums the means of its microbatches: its rate is as many times too '
        'high'
        if summed
        else "the step takes the mean of the microbatches' means, not the mean over "
        'all tokens: tokens of short answers count for more',
        'sum losses and weights over the microbatches, and divide once',
        'the loss is the sum of weighted nll over the sum of weights of the batch',
        (('loss', loss), ('gradient', gradient)),
    )


def step_loss(n: Numbers) -> Finding | None:
    """The step's loss is the weighted mean that the model's scores give."""
    if 'step_loss' not in n or 'scored_loss' not in n:
        return None
    step, scored = n['step_loss'], n['scored_loss']
    evidence = f'the step says {step:.4f}, the scores of its rows {scored:.4f}'
    if n.get('has_dropout'):
        room = 0.25 * abs(scored) + 0.02
    else:  # both are the same computation but for rounding
        room = 1e-3 * abs(scored) if n.get('is_exact') else 0.02 * abs(scored)
    if abs(step - scored) <= room:
        return diagnosis.good('loss', evidence)
    near = {
        int(shift): abs(loss - step)
        for shift, loss in n.get('step_loss_shift', {}).items()
        if int(shift) != 1
    }
    best = min(near, key=lambda shift: near[shift]) if near else 1
    cause = (
        'the loss of the step is not the weighted mean over its tokens, or the step '
        'sees other labels, tokens or weights than evaluation'
    )
    if near and near[best] < 0.3 * abs(step - scored):
        cause = f'the step shifts its labels again: it trains on those of shift {best}'
    return Finding(
        'loss',
        FAIL,
        evidence,
        cause,
        'compare train_step._loss_sum with eval_step: both score aligned targets',
        'the first step, and the state before it',
        (('step', step), ('scored', scored)),
    )


def dropout(n: Numbers) -> Finding | None:
    """Dropout acts in training, and leaves most of the signal."""
    if 'dropout' not in n:
        return None
    evidence = f'the largest dropout rate is {n["dropout"]:.2g}'
    remedy = (
        'set --config.model.embd_pdrop, attn_pdrop and resid_pdrop, and '
        '--config.lora.dropout to 0.1 or less'
    )
    if n['dropout'] > 0.4:
        cause = 'dropout is so high that training sees another model than evaluation'
    elif _does_not_drop(n):
        evidence += (
            f'; the step says {n["step_loss"]:.6f} and the scores of its rows, which '
            f'have none, {n["scored_loss"]:.6f}'
        )
        cause = 'dropout is asked for and does not act in training'
        remedy = 'mend train_step, which gives the model a dropout key'
    else:
        return diagnosis.good('dropout', evidence)
    return Finding(
        'dropout', WARN, evidence, cause, remedy, 'GPT-2 was trained with 0.1'
    )


def _does_not_drop(n: Numbers) -> bool:
    """Whether a model with dropout has the loss of one without, but for rounding.

    That of adapters shows in no first step, since their B is zero.
    """
    if n.get('acting_dropout', 0.0) < 0.01 or not n.get('is_exact'):
        return False
    if 'step_loss' not in n or 'scored_loss' not in n:
        return False
    return abs(n['step_loss'] - n['scored_loss']) < 2e-6 * abs(n['scored_loss'])


def adapters(n: Numbers) -> Finding | None:
    """Adapters begin as the base: B is zero, A is not; their scale is a usual one.

    Those that were trained elsewhere begin as what they learned there.
    """
    rms = n.get('trained_rms', {})
    pairs = [name[:-1] for name in rms if name.endswith('.lora_a')]
    if not pairs:
        return None
    scale = n.get('lora_scale', 1.0)
    evidence = (
        f'{len(pairs)} adapters; root mean square of A '
        f'{statistics.median(rms[p + "a"] for p in pairs):.2g}, of B '
        f'{statistics.median(rms[p + "b"] for p in pairs):.2g}; scale {scale:.2g}'
    )
    zero = [p for p in pairs if not rms[p + 'a'] and not rms[p + 'b']]
    remedy = 'lora_a is drawn and lora_b zero: train anew from the base'
    if zero:
        verdict, cause = FAIL, f'A and B of {len(zero)} adapters are both zero'
    elif any(rms[p + 'b'] for p in pairs) and not n.get('is_imported'):
        verdict, cause = FAIL, 'B is not zero, so the run does not begin as its base'
    elif not 0.02 <= scale <= 50:
        verdict, cause = WARN, f'the scale of {scale:.2g} is far from the usual 1 to 4'
        # Of rank or its root, it grows with alpha alone.
        alpha = 2 * n['lora_alpha'] / scale
        remedy = f'--config.lora.alpha={alpha:.3g} makes it 2'
    else:
        return diagnosis.good('adapters', evidence)
    return Finding(
        'adapters',
        verdict,
        evidence,
        cause,
        remedy,
        'Hu et al. 2021, arXiv:2106.09685, 4.1',
    )


def added(n: Numbers) -> Finding | None:
    """Adapters add scale * A @ B to their layers, once B is no longer zero."""
    if 'adapter_off' not in n:
        return None
    off, effect = n['adapter_off'], n.get('adapter_effect', 0.0)
    evidence = f"with B drawn, losses are {off:.2g} nats a token from GPT-2's formula"
    if effect:
        evidence += f', in which adapters move them by {effect:.2g}'
    source = 'reference/numpy_gpt2.py, which shares no code with the model'
    if off <= 0.05 * effect + _ROUNDING or not n.get('formula_off', 0.0) < 0.2 * off:
        return diagnosis.good('adapters add', evidence, source)
    wrong = n.get('adapter_wrong', {})
    nearest = min(wrong, key=lambda name: wrong[name], default='')
    cause = 'adapters do not add scale * A @ B to their layers'
    if nearest and wrong[nearest] < 0.2 * off:
        cause = f'{nearest}: the scale should be {n.get("lora_scale", 1.0):.3g}'
        evidence += f', and {wrong[nearest]:.2g} from that with this mistake'
    return Finding(
        'adapters add',
        FAIL,
        evidence,
        cause,
        'mend lora.LoraLinear, LoraHead or lora.scale: alpha / rank, or alpha / '
        'sqrt(rank) with rslora',
        source,
        (('right', off), *(((nearest, wrong[nearest]),) if nearest else ())),
    )


def resumed(n: Numbers) -> Finding | None:
    """A resumed Adam has moments, and they are of the size of the gradients."""
    if 'restored_count' not in n or 'step_grad_norm' not in n:
        return None
    step, count, norm = n['resumed_step'], n['restored_count'], n['restored_norm']
    now = min(n['step_grad_norm'], n['clip_norm'] or math.inf)
    evidence = (
        f"after step {step} Adam has counted {count} steps; the gradient's norm is "
        f'{norm:.2g} by its second moments, and {now:.2g} in the batch that came next'
    )
    source = 'Kingma and Ba 2015, arXiv:1412.6980, algorithm 1'
    if not (count and norm):
        verdict = FAIL
        cause = (
            "Adam's moments were lost between save and resume, so the first updates "
            'are far too large'
        )
    # In a healthy run of 300 steps the two were at most 1.7 times apart.
    elif not now / _SCALE <= norm <= _SCALE * now:
        verdict = WARN
        cause = (
            "Adam's second moments are of another scale than the gradients: they were "
            'lost or rescaled between save and resume, or the loss or the data changed'
        )
    else:
        return diagnosis.good('resumed moments', evidence, source)
    remedy = (
        'look at what was saved with hax checkpoints --workdir=... --verify, and begin '
        'anew with --restart'
    )
    bars = (('by moments', norm), ('of the batch', now))
    return Finding('resumed moments', verdict, evidence, cause, remedy, source, bars)


CHECKS = (
    resumed,
    adapters,
    added,
    moves,
    frozen,
    counts,
    microbatches,
    step_loss,
    dropout,
)
