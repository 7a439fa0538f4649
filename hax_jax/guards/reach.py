"""Which trained parameters a step can teach by its batch, read from its program.

Nothing runs: each value of the traced step has one of four levels, and the levels of a
primitive's results follow from those of its operands.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from hax_jax.model import param_tree

# What a value is whatever the numbers are: zero in all places; without the batch;
# depending on the batch by single numbers alone, as by a norm or a gate; or in each
# place of its own. A gradient is of the last kind.
ZERO, FIXED, ONE, EACH = range(4)
_PRODUCTS = {'mul', 'dot_general', 'conv_general_dilated', 'ragged_dot_general'}
# Zero where their operands are; of others these operands.
_PLAIN = (
    'abs add add_any all_gather all_to_all broadcast_in_dim concatenate '
    'convert_element_type copy copy_p cumsum erf expand_dims max min neg '
    'optimization_barrier pad pbroadcast ppermute psum psum2 psum_invariant '
    'psum_scatter pvary reduce_max reduce_min reduce_precision reduce_scatter '
    'reduce_sum reshape rev sharding_constraint sign sin slice split sqrt square '
    'squeeze sub tanh transpose'
)
_ZERO_BY: dict[str, slice] = {
    'div': slice(1),
    'gather': slice(1),
    'dynamic_slice': slice(1),
    'dynamic_update_slice': slice(2),
    'select_n': slice(1, None),
    'scatter-add': slice(0, None, 2),
    **dict.fromkeys(_PLAIN.split(), slice(None)),
}
_Levels = tuple[int, ...]


def taught(traced: jax.stages.Traced, moving: Callable[[Any], Any]) -> dict[str, bool]:
    """Parameter -> whether a step can teach it by its batch.

    `traced` is the step, (state, batch) -> (state, metrics); `moving(state)` are the
    parameters that training should move. One is not taught if its new value is the same
    whatever the batch, but for single numbers such as the norm that clips.

    Raises:
      NotImplementedError: this version of jax writes programs in another way.
    """
    state, batch = traced.args_info[0]
    of_state, of_batch = (len(jax.tree.leaves(part)) for part in (state, batch))
    inputs = (FIXED,) * of_state + (EACH,) * of_batch
    try:
        found = _Program().closed(traced.jaxpr, inputs)
    except (AttributeError, KeyError, TypeError) as error:
        raise NotImplementedError(
            f'the programs of jax {jax.__version__} are written another way: {error!r}'
        ) from error
    out = jax.tree.unflatten(jax.tree.structure(traced.out_info), found)
    levels = param_tree.named(moving(out[0]))
    return {name: level == EACH for name, level in levels.items()}


class _Program:
    """The levels of a program's results, worked out once for equal operands."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, _Levels], _Levels] = {}

    def closed(self, jaxpr: Any, inputs: _Levels) -> _Levels:
        """Of a jaxpr, with its constants or without."""
        key = id(jaxpr), inputs
        if key not in self._known:
            inner = getattr(jaxpr, 'jaxpr', jaxpr)
            consts = getattr(jaxpr, 'consts', [])
            self._known[key] = self._open(inner, inputs, [_of(x) for x in consts])
        return self._known[key]

    def _open(
        self, jaxpr: core.Jaxpr, inputs: Sequence[int], consts: Sequence[int]
    ) -> _Levels:
        levels = dict(zip(jaxpr.constvars, consts, strict=True))
        levels |= dict(zip(jaxpr.invars, inputs, strict=True))

        def of(var: Any) -> int:
            return _of(var.val) if isinstance(var, core.Literal) else levels[var]

        for eqn in jaxpr.eqns:
            found = self._results(eqn, tuple(map(of, eqn.invars)))
            for var, level in zip(eqn.outvars, found, strict=True):
                single = math.prod(getattr(var.aval, 'shape', ())) == 1
                levels[var] = min(level, ONE) if single else level
        return tuple(map(of, jaxpr.outvars))

    def _results(self, eqn: Any, given: _Levels) -> Sequence[int]:
        name, params, count = eqn.primitive.name, eqn.params, len(eqn.outvars)
        if name == 'scan':
            return self._scan(params, given)
        if name == 'while':
            return self._while(params, given)
        if name == 'cond':
            found = [self.closed(branch, given[1:]) for branch in params['branches']]
            return [_gated(max(each), given[0]) for each in zip(*found, strict=True)]
        inner = params.get('jaxpr', params.get('call_jaxpr'))
        if inner is not None and name != 'pallas_call':
            body = getattr(inner, 'jaxpr', inner)
            if (len(body.invars), len(body.outvars)) == (len(given), count):
                return self.closed(inner, given)
        if name in _PRODUCTS and ZERO in given:
            return [ZERO]
        if name in _ZERO_BY and not any(given[_ZERO_BY[name]]):
            return [ZERO] * count
        if name in _ZERO_BY and 1 < count == len(given):  # each of its own
            return given
        return [max((FIXED, *given))] * count

    def _scan(self, params: dict[str, Any], given: _Levels) -> _Levels:
        start, count = _consts_and_carry(params)
        stop = start + count
        carry = given[start:stop]
        while True:
            out = self.closed(params['jaxpr'], (*given[:start], *carry, *given[stop:]))
            after = tuple(map(max, carry, out[: len(carry)]))
            if after == carry:
                return (*carry, *out[len(carry) :])
            carry = after

    def _while(self, params: dict[str, Any], given: _Levels) -> _Levels:
        of_cond, of_body = params['cond_nconsts'], params['body_nconsts']
        consts = given[of_cond : of_cond + of_body]
        carry = given[of_cond + of_body :]
        while True:
            (goes_on,) = self.closed(params['cond_jaxpr'], given[:of_cond] + carry)
            out = self.closed(params['body_jaxpr'], consts + carry)
            after = tuple(_gated(max(x), goes_on) for x in zip(carry, out, strict=True))
            if after == carry:
                return carry
            carry = after


def _consts_and_carry(scan: dict[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are its constants, and how many its carry."""
    if 'num_consts' in scan:  # before jax 0.11
        return scan['num_consts'], scan['num_carry']
    consts, carry, _ = scan['ft_in'].unpack()
    return len(consts), len(carry)


def _gated(level: int, gate: int) -> int:
    """The level of a value of which a single number says whether it is taken."""
    return level and max(level, min(gate, ONE))


def _of(value: Any) -> int:
    """The level of a constant; a large one is not read."""
    small = getattr(value, 'size', 1) <= 2**16
    known = small and isinstance(value, bool | int | float | np.generic | np.ndarray)
    return ZERO if known and not np.any(value) else FIXED
