"""Numbers of a model: how its losses move as its inputs and places are changed.

All is asked of `Score`, the model's own scoring as the process has it, so a fault in
attention or in the loss shows whatever its place in the code.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.doctor import measure_rows
from hax_jax.doctor.measure_rows import Rows
from hax_jax.model import param_tree
from hax_jax.reference import numpy_gpt2

# (parameters that stand in for the model's own, by name; rows [B, T]) -> nll [B, T].
Score = Callable[[Mapping[str, np.ndarray], Rows], np.ndarray]
Spans = Sequence[tuple[int, int, int]]
SHIFTS = (-1, 0, 1, 2)
PROBED = 6  # changed rows that `probe` scores
_SHORT = 96  # tokens of the row that NumPy reads too


def scorer(
    eval_step: Callable[[Any, Any, Any], Mapping[str, jax.Array]],
    state: Any,
    *,
    size: int,
) -> Score:
    """Scores any number of rows with the run's eval step, `size` rows at a time."""
    params, frozen = (param_tree.named(tree) for tree in (state.params, state.frozen))
    sharding = mesh_lib.batch_sharding(state.step.sharding.mesh)

    def with_those(named: dict[str, Any], replaced: Mapping[str, np.ndarray]) -> Any:
        return {
            name: jax.device_put(replaced[name].astype(leaf.dtype), leaf.sharding)
            if name in replaced
            else leaf
            for name, leaf in named.items()
        }

    def score(replaced: Mapping[str, np.ndarray], rows: Rows) -> np.ndarray:
        trees = (
            param_tree.like(tree, with_those(named, replaced))
            for tree, named in ((state.params, params), (state.frozen, frozen))
        )
        trained, still = trees
        out = []
        for start in range(0, len(rows['inputs']), size):
            part = {
                name: jax.device_put(
                    _dtype(
                        name, np.resize(x[start : start + size], (size, x.shape[1]))
                    ),
                    sharding,
                )
                for name, x in rows.items()
            }
            out.append(np.asarray(eval_step(trained, still, part)['nll']))
        return np.concatenate(out)[: len(rows['inputs'])]

    return score


def _dtype(name: str, rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float32 if name == 'loss_weights' else np.int32)


def probe(
    score: Score, rows: Rows, nll: np.ndarray, spans: Spans, *, vocab_size: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(what the model's losses depend on, a short row and its `nll`: [T] each).

    `nll` [B, T] are the scores of the rows. The row of most pairs is scored once more
    with each change, as one batch of `PROBED` rows. The short row has the tokens around
    the end of its first pair.
    """
    rng = np.random.default_rng(0)
    counts = collections.Counter(row for row, _, _ in spans)
    chosen = max(counts, key=lambda row: counts[row]) if counts else 0
    pairs = sorted((a, b) for row, a, b in spans if row == chosen)
    row = {name: x[chosen] for name, x in rows.items()}
    size = len(row['inputs'])
    other = (row['inputs'] + rng.integers(1, vocab_size, size)) % vocab_size
    used, first, later, third = (np.zeros(size, bool) for _ in range(4))
    for start, end in pairs:
        used[start:end] = True
        third[start : start + max(1, (end - start) // 3)] = True
    for start, end in pairs[:1]:
        first[start:end] = True
        later[(start + end) // 2 : end] = True
    thinned = used & (np.arange(size) % 3 == 1)
    places = np.where(used, row['positions'].max() - row['positions'], 0)
    changed = {
        'again': {},
        'targets': {'targets': np.where(thinned, other, row['targets'])},
        'later': {'inputs': np.where(later, other, row['inputs'])},
        'third': {'inputs': np.where(third, other, row['inputs'])},
        'places': {'positions': places},
        'short': _around(row, pairs[0][1] if pairs else 0),
    }
    stacked = {
        name: np.stack([{**row, **each}[name] for each in changed.values()])
        for name in rows
    }
    scored = dict(zip(changed, score({}, stacked), strict=True))
    moved = {name: np.abs(each - nll[chosen]) for name, each in scored.items()}
    numbers = {
        'vocab_size': vocab_size,
        'repeat_difference': float(moved['again'][used].max(initial=0)),
        'target_effect': mean(moved['targets'], thinned),
        'target_leak': mean(moved['targets'], used & ~thinned),
        'later_effect': mean(moved['later'], later),
        'leak_backwards': mean(moved['later'], first & ~later),
        'context_effect': mean(moved['third'], used & ~third),
        'position_effect': mean(moved['places'], used),
    }
    if len(pairs) > 1:
        numbers['leak_between'] = mean(moved['later'], used & ~first)
    short = {name: x[-1] for name, x in stacked.items()} | {'nll': scored['short']}
    end = np.flatnonzero(short['segment_ids'])
    end = int(end[-1]) + 1 if end.size else 0
    return numbers, {name: x[:end] for name, x in short.items()}


def _around(row: Rows, place: int) -> Rows:
    """The row's tokens around a place at its beginning, and padding after them."""
    start = max(0, place - _SHORT // 2)
    out = {name: np.zeros_like(x) for name, x in row.items()}
    for name, x in row.items():
        part = x[start : start + _SHORT]
        out[name][: len(part)] = part
    return out


def shifts(score: Score, rows: Rows, spans: Spans) -> dict[str, float]:
    """The mean loss where the target is the input at t + shift, by the rows' inputs."""
    targets = {shift: np.zeros_like(rows['targets']) for shift in SHIFTS}
    used = {shift: np.zeros(rows['inputs'].shape, bool) for shift in SHIFTS}
    for shift in SHIFTS:
        for row, start, end in spans:
            low, high = max(start, start - shift), min(end, end - shift)
            if high > low:
                said = rows['inputs'][row, low + shift : high + shift]
                targets[shift][row, low:high] = said
                used[shift][row, low:high] = True
    nll = score(
        {},
        {
            name: np.concatenate(list(targets.values()))
            if name == 'targets'
            else np.tile(x, (len(SHIFTS), 1))
            for name, x in rows.items()
        },
    )
    parts = np.split(nll, len(SHIFTS))
    return {
        str(shift): mean(part, used[shift])
        for shift, part in zip(SHIFTS, parts, strict=True)
    }


def is_by_formula(numbers: Mapping[str, Any]) -> bool:
    """Whether the losses were found to be those of GPT-2's formula.

    Two right computations of a model may differ by some nats a token: in healthy runs
    by 1e-6 in float32 on a CPU, and by up to 0.03 in bfloat16.
    """
    if 'formula_off' not in numbers:
        return False
    return numbers['formula_off'] <= (2e-3 if numbers['is_exact'] else 0.1)


def against_formula(
    parameters: Mapping[str, np.ndarray],
    model: schema.ModelConfig,
    short: Rows,
    *,
    adapter_scale: float,
    is_exact: bool,
) -> dict[str, Any]:
    """How far the losses of a short row are from those of GPT-2's formula in NumPy.

    `formula_wrong` are the mistakes, by how far theirs are, where the right is far off.
    """
    arrays = {n: x for n, x in parameters.items() if 'lora_magnitude' not in n}

    def off(formula: numpy_gpt2.Formula) -> float:
        nll = numpy_gpt2.nll(arrays, model, short, formula, adapter_scale=adapter_scale)
        used = nll.size - abs(formula.target_shift)
        low = max(0, -formula.target_shift)
        return float(np.abs(nll - short['nll'])[low : low + used].mean())

    if not len(short['nll']):
        return {}
    numbers: dict[str, Any] = {'formula_off': off(numpy_gpt2.right(model))}
    numbers['is_exact'] = is_exact
    if not is_by_formula(numbers):
        numbers['formula_wrong'] = {
            name: off(formula) for name, formula in numpy_gpt2.wrong(model)
        }
    return numbers


def spans_of(rows: Rows, tokenizer: Any, eos_id: int) -> Spans:
    """The pairs of rows: by the template where it is found, else by segment ids."""
    own = measure_rows.own_spans(rows['segment_ids'])
    if tokenizer is None:
        return own
    (head,) = tokenizer.encode([text.HEAD])
    found = measure_rows.template_spans(rows, head, eos_id)
    return found if len(found) >= len(own) / 2 else own


def inside(spans: Spans, shape: tuple[int, ...]) -> np.ndarray:
    used = np.zeros(shape, bool)
    for row, start, end in spans:
        used[row, start:end] = True
    return used


def mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else 0.0
