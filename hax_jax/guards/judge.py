"""The judgement on a step, inside the compiled step: good, not finite, or a spike."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WINDOW = 128  # steps that a new one is compared with
ENOUGH = 32  # of them known before a step can be a spike
SPIKE = 6.0  # robust standard deviations over the median
# A robust standard deviation is never under this share of the median: a loss that
# stands still would make a spike of any noise.
FLOORS = {'loss': 0.05, 'gradient': 0.25}
MOST_IN_A_ROW = 10  # skipped steps; at the last of them the run stops

KINDS = ('', 'loss not finite', 'gradient not finite', 'loss spike', 'gradient spike')
ACTIONS = ('applied', 'skipped', 'stopped')
APPLIED, SKIPPED, STOPPED = range(3)
_ACTION_OF = {
    'note': APPLIED,
    'skip': SKIPPED,
    'stop': STOPPED,
    'rollback': STOPPED,  # the training loop goes back
}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        'losses',
        'grad_norms',
        'num_known',
        'skipped_in_a_row',
        'num_skipped',
        'stopped',
    ],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Guard:
    """The steps before, as far as the next one is judged by them.

    `losses` and `grad_norms` [WINDOW] are rings of the last applied steps, in which
    `num_known` steps were entered so far. A checkpoint stores all of it: a run that
    goes on judges as the run that was never stopped. `stopped` is False there.
    """

    losses: Any  # float32
    grad_norms: Any  # float32
    num_known: Any  # int32, as the next two
    skipped_in_a_row: Any
    num_skipped: Any  # in the whole run
    stopped: Any  # bool; from here on nothing is applied nor counted


def empty() -> Guard:
    """The guard of a run that has done no step, in numpy."""
    zero = np.zeros((), np.int32)
    ring = np.zeros(WINDOW, np.float32)
    return Guard(ring, ring, zero, zero, zero, np.zeros((), np.bool_))


def judge(
    guard: Guard,
    loss: jax.Array,
    grad_norm: jax.Array,
    weight: jax.Array,
    *,
    on_bad_step: str,
    on_spike: str,
) -> tuple[jax.Array, jax.Array, Guard]:
    """(kind, action, guard after the step): places in KINDS and ACTIONS, int32.

    A number that is not finite is always bad. A finite one is a spike if it is more
    than SPIKE robust standard deviations over the median of the last WINDOW applied
    steps; the deviation is 1.4826 times the median absolute deviation, and FLOORS at
    least. Too low is no spike. The settings give the action: 'stop' (as which
    'rollback' ends too), 'skip', and for a spike also 'note', which applies the update.

    A skipped step enters no ring. A stop holds: the guard is the one before the step,
    and all that follows is stopped too. A batch without weight is good and enters no
    ring.

    Source: WINDOW and SPIKE are those of OLMo 2's skipped steps (OLMo-core,
    SkipStepOptimizer: 128 steps, 6 deviations of loss or gradient norm), there with
    mean and standard deviation, which a spike itself raises; median and MAD: Iglewicz
    and Hoaglin 1993, How to Detect and Handle Outliers.
    """
    known = jnp.minimum(guard.num_known, WINDOW)
    kind = jnp.select(
        [
            ~jnp.isfinite(loss),
            ~jnp.isfinite(grad_norm),
            _is_spike(loss, guard.losses, known, floor=FLOORS['loss']),
            _is_spike(grad_norm, guard.grad_norms, known, floor=FLOORS['gradient']),
        ],
        [jnp.int32(i) for i in range(1, len(KINDS))],
        jnp.int32(0),
    )
    action = jnp.select(
        [kind == 0, kind <= 2],
        [jnp.int32(APPLIED), jnp.int32(_ACTION_OF[on_bad_step])],
        jnp.int32(_ACTION_OF[on_spike]),
    )
    in_a_row = jnp.where(action == SKIPPED, guard.skipped_in_a_row + 1, 0)
    stops = guard.stopped | (action == STOPPED) | (in_a_row >= MOST_IN_A_ROW)
    action = jnp.where(stops, STOPPED, action)
    kind = jnp.where(guard.stopped, 0, kind)

    place = guard.num_known % WINDOW
    entered = (action == APPLIED) & (weight > 0)

    def enter(ring: jax.Array, value: jax.Array) -> jax.Array:
        return ring.at[place].set(jnp.where(entered, value, ring[place]))

    after = Guard(
        losses=enter(guard.losses, loss),
        grad_norms=enter(guard.grad_norms, grad_norm),
        num_known=guard.num_known + entered,
        skipped_in_a_row=jnp.where(stops, guard.skipped_in_a_row, in_a_row),
        num_skipped=guard.num_skipped + (action == SKIPPED),
        stopped=stops,
    )
    return kind, action, after


def _is_spike(
    value: jax.Array, ring: jax.Array, known: jax.Array, *, floor: float
) -> jax.Array:
    """Whether a value is far over the median of the first `known` of the ring."""
    is_known = jnp.arange(WINDOW) < known

    def median(values: jax.Array) -> jax.Array:
        ordered = jnp.sort(jnp.where(is_known, values, jnp.inf))
        return (ordered[(known - 1) // 2] + ordered[known // 2]) / 2

    middle = median(ring)
    deviation = 1.4826 * median(jnp.abs(ring - middle))
    deviation = jnp.maximum(deviation, floor * middle)
    return (known >= ENOUGH) & (value - middle > SPIKE * deviation)
