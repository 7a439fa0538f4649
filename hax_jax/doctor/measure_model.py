"""Numbers of a model: how its losses move as inputs, places and weights are changed.

All is asked of `Score`, the model's own scoring as the process has it, so a fault in
attention, in the loss or in the weights shows whatever its place in the code.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hax_jax.data import text
from hax_jax.doctor import measure_rows
from hax_jax.doctor.measure_rows import Rows

# (parameters that stand in for the model's own, by name; rows [B, T]) -> nll [B, T].
Score = Callable[[Mapping[str, np.ndarray], Rows], np.ndarray]
Spans = Sequence[tuple[int, int, int]]
_ROW = 4096  # numbers of a parameter that are compared with the file's


def probe(score: Score, rows: Rows, spans: Spans, *, vocab_size: int) -> dict[str, Any]:
    """What the model knows of these rows, and which inputs its losses depend on."""
    rng = np.random.default_rng(0)
    plain = score({}, rows)
    used = _inside(spans, plain.shape)
    numbers: dict[str, Any] = {
        'batch_loss': _mean(plain, used),
        'vocab_size': vocab_size,
        'losses_finite': bool(np.isfinite(plain[used]).all()),
    }
    other = (rows['inputs'] + rng.integers(1, vocab_size, plain.shape)) % vocab_size
    again = np.abs(score({}, rows) - plain)
    numbers['repeat_difference'] = float(again[used].max(initial=0))
    # Another target moves no loss but its own.
    chosen = used & (np.arange(used.shape[1]) % 3 == 1)
    targets = np.where(chosen, other, rows['targets'])
    moved = np.abs(score({}, {**rows, 'targets': targets}) - plain)
    numbers['target_effect'] = _mean(moved, chosen)
    numbers['target_leak'] = _mean(moved, used & ~chosen)
    # A later token moves no earlier loss.
    half = np.zeros_like(used)
    for row, start, end in spans:
        half[row, (start + end) // 2 : end] = True
    later = np.where(half, other, rows['inputs'])
    moved = np.abs(score({}, {**rows, 'inputs': later}) - plain)
    early = used & ~half
    for row in range(len(used)):  # pairs after the first changed place may see it
        first = np.flatnonzero(half[row])
        early[row, first[0] if first.size else None :] = False
    numbers['later_effect'] = _mean(moved, half)
    numbers['leak_backwards'] = _mean(moved, early) if early.any() else 0.0
    # A pair moves no other pair of its row.
    first_of = {row: (start, end) for row, start, end in reversed(spans)}
    changed, others = np.zeros_like(used), np.zeros_like(used)
    for row, start, end in spans:
        if (start, end) == first_of[row]:
            changed[row, start:end] = True
        else:
            others[row, start:end] = True
    if others.any():
        inputs = np.where(changed, other, rows['inputs'])
        moved = np.abs(score({}, {**rows, 'inputs': inputs}) - plain)
        numbers['leak_between'] = _mean(moved, others)
        numbers['own_effect'] = _mean(moved, changed)
    # Earlier tokens of a pair matter, and so do places.
    early_third = np.zeros_like(used)
    rest = np.zeros_like(used)
    for row, start, end in spans:
        third = start + max(1, (end - start) // 3)
        early_third[row, start:third] = True
        rest[row, third:end] = True
    inputs = np.where(early_third, other, rows['inputs'])
    moved = np.abs(score({}, {**rows, 'inputs': inputs}) - plain)
    numbers['context_effect'] = _mean(moved, rest)
    positions = np.where(used, rows['positions'].max() - rows['positions'], 0)
    moved = np.abs(score({}, {**rows, 'positions': positions}) - plain)
    numbers['position_effect'] = _mean(moved, used)
    return numbers


def shifts(score: Score, rows: Rows, spans: Spans) -> dict[str, float]:
    """The mean loss where the target is the input at t + shift, by the rows' inputs."""
    out = {}
    for shift in (-1, 0, 1, 2):
        targets, used = (
            np.zeros_like(rows['targets']),
            np.zeros(rows['inputs'].shape, bool),
        )
        for row, start, end in spans:
            low, high = max(start, start - shift), min(end, end - shift)
            if high > low:
                targets[row, low:high] = rows['inputs'][row, low + shift : high + shift]
                used[row, low:high] = True
        out[str(shift)] = _mean(score({}, {**rows, 'targets': targets}), used)
    return out


def weights(parameters: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Root mean square of each parameter, on its devices."""
    named = dict(sorted(parameters.items()))
    rms = jax.device_get(_rms(named))
    return {
        'rms': {name: float(value) for name, value in rms.items()},
        'dtypes': sorted({str(leaf.dtype) for leaf in named.values()}),
    }


@jax.jit
def _rms(named: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {
        name: jnp.sqrt(jnp.mean(jnp.square(leaf.astype(jnp.float32))))
        for name, leaf in named.items()
    }


def against_file(
    parameters: Mapping[str, jax.Array], file: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Name -> 'zero', 'transposed' or 'other', of parameters that are not the file's.

    The first row of each is compared, and the first column of the file's.
    """
    told = {}
    for name in sorted(parameters.keys() & file.keys()):
        there = np.asarray(file[name], np.float32)
        # One row, read without the others.
        here = np.asarray(parameters[name][:1], np.float32).ravel()[:_ROW]
        row = there[:1].ravel()[:_ROW]
        if _near(here, row):
            continue
        column = there[:, 0][:_ROW] if there.ndim == 2 else row
        if not here.any():
            told[name] = 'zero'
        elif len(column) == len(here) and _near(here, column):
            told[name] = 'transposed'
        else:
            told[name] = 'other'
    return told


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(b) + 1e-12)


def without_parts(
    score: Score, rows: Rows, spans: Spans, parameters: Mapping[str, jax.Array]
) -> dict[str, Any]:
    """Losses with each block left out, and with each square kernel transposed."""
    used = _inside(spans, rows['inputs'].shape)

    def loss(replaced: Mapping[str, np.ndarray]) -> float:
        return _mean(score(replaced, rows), used)

    blocks: dict[str, dict[str, np.ndarray]] = {}
    transposed = {}
    for name, leaf in parameters.items():
        if name.startswith('h.') and '.c_proj.' in name and '.lora_' not in name:
            block = '.'.join(name.split('.')[:2])
            zero = np.zeros(leaf.shape, np.float32)
            blocks.setdefault(block, {})[name] = zero
        square = leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1]
        if name.startswith('h.') and square and name.endswith('.kernel'):
            transposed[name] = loss({name: np.asarray(leaf, np.float32).T})
    out = {
        'loss_without': {name: loss(zero) for name, zero in blocks.items()},
        'loss_transposed': transposed,
        'loss_whole': loss({}),
    }
    return out | tied(score, rows, spans, parameters)


def tied(
    score: Score, rows: Rows, spans: Spans, parameters: Mapping[str, jax.Array]
) -> dict[str, float]:
    """The loss of a model with a head of its own, and with the embeddings in its place.

    Nothing of a model whose head is tied.
    """
    if 'lm_head.embedding' not in parameters:
        return {}
    used = _inside(spans, rows['inputs'].shape)
    wte = np.asarray(parameters['wte.embedding'], np.float32)
    return {
        'loss_whole': _mean(score({}, rows), used),
        'loss_tied': _mean(score({'lm_head.embedding': wte}, rows), used),
    }


def spans_of(rows: Rows, tokenizer: Any, eos_id: int) -> Spans:
    """The pairs of rows: by the template where it is found, else by segment ids."""
    own = measure_rows.own_spans(rows['segment_ids'])
    if tokenizer is None:
        return own
    (head,) = tokenizer.encode([text.HEAD])
    found = measure_rows.template_spans(rows, head, eos_id)
    return found if len(found) >= len(own) / 2 else own


def _inside(spans: Spans, shape: tuple[int, ...]) -> np.ndarray:
    used = np.zeros(shape, bool)
    for row, start, end in spans:
        used[row, start:end] = True
    return used


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else 0.0
