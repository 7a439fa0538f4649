"""Numbers of a model: how its losses move as its inputs and places are changed.

All is asked of `Score`, the model's own scoring as the process has it, so a fault in
attention or in the loss shows whatever its place in the code.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.measures import measure_rows
from hax_jax.measures.measure_rows import Rows
from hax_jax.model import param_tree
from hax_jax.reference import numpy_gpt2

# (parameters that stand in for the model's own, by name; rows [B, T]) -> nll [B, T].
Score = Callable[[Mapping[str, np.ndarray], Rows], np.ndarray]
Spans = Sequence[tuple[int, int, int]]
SHIFTS = (-1, 0, 1, 2)
PROBED = 2  # changed rows that `probe` scores of a model that is as it should be
_WTE = 'wte.embedding'  # the head's table, where it has none of its own
_ADAPTERS_OFF = 2e-3  # nats a token, under which nobody asks for the mistake
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
    score: Score,
    rows: Rows,
    nll: np.ndarray,
    spans: Spans,
    *,
    vocab_size: int,
    full: bool,
    against: Callable[[Rows], dict[str, Any]] = lambda short: {},
) -> dict[str, Any]:
    """What the model's losses depend on; `nll` [B, T] are the scores of the rows.

    The row of most pairs is scored with other tokens in the second half of its first
    pair, and a short row with the tokens around that pair's end, which `against`
    compares, with its `nll`, with the formula. A model whose losses are the formula's
    depends on what it should; of others, and in `full`, four more changes are scored.
    """
    rng = np.random.default_rng(0)
    chosen, pairs = _chosen(spans)
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

    def scored(*changes: Rows) -> list[np.ndarray]:
        changed = [{**row, **each} for each in changes]
        stacked = {name: np.stack([each[name] for each in changed]) for name in rows}
        return list(score({}, stacked))

    short, end = _short(rows, spans)
    of_later, of_short = scored(
        {'inputs': np.where(later, other, row['inputs'])}, short
    )
    moved = np.abs(of_later - nll[chosen])
    numbers = {
        'vocab_size': vocab_size,
        'later_effect': mean(moved, later),
        'leak_backwards': mean(moved, first & ~later),
    }
    if len(pairs) > 1:
        numbers['leak_between'] = mean(moved, used & ~first)
    numbers |= against({n: x[:end] for n, x in {**short, 'nll': of_short}.items()})
    if not full and numbers.get('is_exact') and is_by_formula(numbers):
        return numbers
    thinned = used & (np.arange(size) % 3 == 1)
    places = np.where(used, row['positions'].max() - row['positions'], 0)
    again, targets, thirds, placed = (
        np.abs(each - nll[chosen])
        for each in scored(
            {},
            {'targets': np.where(thinned, other, row['targets'])},
            {'inputs': np.where(third, other, row['inputs'])},
            {'positions': places},
        )
    )
    return numbers | {
        'repeat_difference': float(again[used].max(initial=0)),
        'target_effect': mean(targets, thinned),
        'target_leak': mean(targets, used & ~thinned),
        'context_effect': mean(thirds, used & ~third),
        'position_effect': mean(placed, used),
    }


def _chosen(spans: Spans) -> tuple[int, list[tuple[int, int]]]:
    """(the row of most pairs, the (start, end) of these)."""
    counts = collections.Counter(row for row, _, _ in spans)
    chosen = max(counts, key=lambda row: counts[row]) if counts else 0
    return chosen, sorted((a, b) for row, a, b in spans if row == chosen)


def _short(rows: Rows, spans: Spans) -> tuple[Rows, int]:
    """The tokens around the end of the chosen row's first pair, and how many they are.

    They stand at the beginning of a row [T], with padding after them.
    """
    chosen, pairs = _chosen(spans)
    row = {name: x[chosen] for name, x in rows.items()}
    start = max(0, (pairs[0][1] if pairs else 0) - _SHORT // 2)
    out = {name: np.zeros_like(x) for name, x in row.items()}
    for name, x in row.items():
        part = x[start : start + _SHORT]
        out[name][: len(part)] = part
    last = np.flatnonzero(out['segment_ids'])
    return out, int(last[-1]) + 1 if last.size else 0


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
    adapters: schema.LoraConfig,
    short: Rows,
    *,
    is_exact: bool,
) -> dict[str, Any]:
    """How far the losses of a short row are from those of GPT-2's formula in NumPy.

    `formula_wrong` are the mistakes, by how far theirs are, where the right is far off.
    """
    if not len(short['nll']):
        return {}
    right = numpy_gpt2.right(model, adapters)
    numbers: dict[str, Any] = {
        'formula_off': _off(parameters, model, short, right),
        'is_exact': is_exact,
    }
    if not is_by_formula(numbers):
        numbers['formula_wrong'] = {
            name: _off(parameters, model, short, formula)
            for name, formula in numpy_gpt2.wrong(model)
        }
    return numbers


def _off(
    parameters: Mapping[str, np.ndarray],
    model: schema.ModelConfig,
    short: Rows,
    formula: numpy_gpt2.Formula,
) -> float:
    nll = numpy_gpt2.nll(parameters, model, short, formula)
    used = nll.size - abs(formula.target_shift)
    low = max(0, -formula.target_shift)
    return float(np.abs(nll - short['nll'])[low : low + used].mean())


def of_adapters(
    score: Score,
    rows: Rows,
    spans: Spans,
    parameters: Mapping[str, np.ndarray],
    model: schema.ModelConfig,
    adapters: schema.LoraConfig,
) -> dict[str, Any]:
    """How adapters act once they have learned: with B drawn, in place of its zeros.

    `adapter_off` is how far the losses of a short row are from those of the formula, in
    nats. Where that is far, `adapter_effect` is how far these are from those without
    adapters, and `adapter_wrong` are the mistakes, by how far theirs are. Each B is as
    large as gives A @ B half of its kernel's root mean square.
    """
    rng = np.random.default_rng(0)
    right = numpy_gpt2.right(model, adapters)
    drawn = {}
    for name, leaf in parameters.items():
        layer, _, kind = name.rpartition('.')
        if kind == 'lora_b':
            own = f'{layer}.kernel' if f'{layer}.kernel' in parameters else _WTE
            a, kernel = (_rms(parameters[each]) for each in (f'{layer}.lora_a', own))
            size = len(leaf) ** 0.5 * max(a * abs(right.adapter_scale), 1e-6)
            drawn[name] = rng.normal(0, 0.5 * kernel / size, leaf.shape).astype(
                np.float32
            )
    row, end = _short(rows, spans)
    stacked = {name: x[None] for name, x in row.items()}
    short = {name: x[:end] for name, x in row.items()}
    short['nll'] = score(drawn, stacked)[0][:end]
    if not drawn or not end:
        return {}
    learned = {**parameters, **drawn}
    off = _off(learned, model, short, right)
    if off <= _ADAPTERS_OFF:
        return {'adapter_off': off}
    without = dataclasses.replace(right, adapter_scale=0.0)
    with_them = {**short, 'nll': numpy_gpt2.nll(learned, model, short, right)}
    return {
        'adapter_off': off,
        'adapter_effect': _off(parameters, model, with_them, without),
        'adapter_wrong': {
            name: _off(learned, model, short, formula)
            for name, formula in numpy_gpt2.wrong_adapters(model, adapters)
        },
    }


def _rms(leaf: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(leaf, np.float32)))))


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
