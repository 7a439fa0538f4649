"""Numbers of a model's weights: what they are, and what changes of them would help.

A repair undoes a mistake that is known to be made with weights; in a model that is
whole, none lowers the loss.
"""

import collections
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hax_jax.config import schema
from hax_jax.measures.measure_model import Score, Spans, inside, mean
from hax_jax.measures.measure_rows import Rows

_ROW = 4096  # numbers of a parameter that are compared with the file's


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
    parameters: Mapping[str, jax.Array | np.ndarray], file: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Name -> 'zero', 'transposed' or 'other', of parameters that are not the file's.

    The first row of each is compared, and the first column of the file's.
    """
    told = {}
    for name in sorted(parameters.keys() & file.keys()):
        there = np.asarray(file[name], np.float32)
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


def contents(parameters: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Which arrays of a model on the host are flat, as new, or those of another block.

    `new_norms` have scales of 1 and biases of 0, as before training; `zero_biases` are
    those of other layers and of trained norms. Of a kernel at most `_ROW` numbers are
    read, evenly spread, and all of them where these are equal.
    """
    samples = {name: _spread(leaf) for name, leaf in parameters.items()}
    flat = [
        name
        for name, leaf in parameters.items()
        if (leaf.ndim > 1 and np.ptp(samples[name]) == 0 and np.ptp(leaf) == 0)
        or (name.endswith('.scale') and not np.any(leaf))
    ]
    norms = [n.removesuffix('.scale') for n in parameters if n.endswith('.scale')]
    blocks: dict[str, list[str]] = collections.defaultdict(list)
    sizes: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for name, sample in samples.items():
        if name.startswith('h.') and name.endswith('.kernel') and name not in flat:
            _, number, kind = name.split('.', 2)
            sizes[kind][name] = float(np.sqrt(np.mean(np.square(sample))))
            if kind == 'attn.c_attn.kernel':
                blocks[sample.tobytes()].append(number)
    new_norms = [
        name
        for name in norms
        if (parameters[f'{name}.scale'] == 1).all()
        and not np.any(parameters.get(f'{name}.bias', 0))
    ]
    biases = [
        name
        for name in parameters
        if name.endswith('.bias') and name.removesuffix('.bias') not in new_norms
    ]
    usual = {  # the lower middle: of two kernels the larger one is odd
        kind: sorted(each.values())[(len(each) - 1) // 2]
        for kind, each in sizes.items()
    }
    return {
        'flat_arrays': {name: float(samples[name][0]) for name in flat},
        'norms': len(norms),
        'new_norms': new_norms,
        'biases': len(biases),
        'zero_biases': [name for name in biases if not np.any(parameters[name])],
        'same_blocks': [each for each in blocks.values() if len(each) > 1],
        'sizes': {
            name: size / usual[kind]
            for kind, each in sizes.items()
            if len(each) > 1
            for name, size in each.items()
        },
    }


def _spread(leaf: np.ndarray) -> np.ndarray:
    flat = np.ravel(leaf)
    return np.asarray(flat[:: max(1, flat.size // _ROW)], np.float32)


def repairs(
    score: Score,
    rows: Rows,
    spans: Spans,
    parameters: Mapping[str, jax.Array],
    model: schema.ModelConfig,
) -> dict[str, Any]:
    """Losses with each block left out, and with each of the repairs.

    `loss_repaired` has the mistake, and the loss and how many standard errors it is
    lower (paired by token) once that is undone.
    """
    used = inside(spans, rows['inputs'].shape)
    whole = score({}, rows)
    blocks: dict[str, dict[str, np.ndarray]] = {}
    for name, leaf in parameters.items():
        if name.startswith('h.') and '.c_proj.' in name and '.lora_' not in name:
            block = '.'.join(name.split('.')[:2])
            zero = np.zeros(leaf.shape, np.float32)
            blocks.setdefault(block, {})[name] = zero
    repaired = {}
    for name, replaced, changed in _repairs(parameters, rows, model):
        gain = (whole - score(replaced, {**rows, **changed}))[used]
        error = max(float(gain.std()) / max(gain.size, 1) ** 0.5, 1e-9)
        lower = float(gain.mean()) if np.isfinite(gain).all() else -1e9
        repaired[name] = (mean(whole, used) - lower, lower / error)
    return {
        'loss_without': {
            name: mean(score(zero, rows), used) for name, zero in blocks.items()
        },
        'loss_repaired': repaired,
        'loss_whole': mean(whole, used),
    }


def _repairs(
    parameters: Mapping[str, jax.Array], rows: Rows, model: schema.ModelConfig
) -> Iterator[tuple[str, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """(the mistake, the parameters and the rows that undo it)."""

    def host(name: str) -> np.ndarray:
        return np.asarray(parameters[name], np.float32)

    plain = [n for n in parameters if n.startswith('h.') and '.lora_' not in n]
    for name in plain:
        shape = parameters[name].shape
        if name.endswith('.kernel') and len(shape) == 2 and shape[0] == shape[1]:
            yield f'{name} is transposed', {name: host(name).T}, {}
    for i in range(model.n_layer - 1):
        swapped = {}
        for name in plain:
            _, number, kind = name.split('.', 2)
            other = {i: i + 1, i + 1: i}.get(int(number))
            if other is not None:
                swapped[name] = host(f'h.{other}.{kind}')
        yield f'blocks {i} and {i + 1} are swapped', swapped, {}
    for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        turned = {}
        for name in plain:
            if '.attn.c_attn.' in name:
                thirds = np.split(host(name), 3, axis=-1)
                turned[name] = np.concatenate([thirds[j] for j in order], axis=-1)
        said = ', '.join(
            ('queries', 'keys', 'values')[order.index(j)] for j in range(3)
        )
        yield f'c_attn has its thirds in the order {said}', turned, {}
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for name in parameters:
        if name.endswith(('.kernel', '.scale')):
            kinds[name.split('.', 2)[2] if name in plain else name].append(name)
    for kind, names in kinds.items():
        for times in (10.0, 0.1):
            changed = {name: host(name) / times for name in names}
            yield f'{kind} is {times:g} times as large as it was', changed, {}
    wte, wpe = 'wte.embedding', 'wpe.embedding'
    for name, kind in ((wte, 'token embeddings (wte)'), (wpe, 'positions (wpe)')):
        for times in (10.0, 0.1):
            said = f'{kind} are {times:g} times as large as they were'
            yield said, {name: host(name) / times}, {}
    for by in (1, -1):
        places = rows['positions'].astype(np.int64)
        moved = np.clip(places + by, 0, model.n_positions - 1)
        yield f'position embeddings (wpe) are shifted by {by}', {}, {'positions': moved}
        ids = {
            name: np.clip(rows[name].astype(np.int64) + by, 0, model.vocab_size - 1)
            for name in ('inputs', 'targets')
        }
        yield f'token embeddings (wte) are shifted by {by}', {}, ids


def tied(
    score: Score, rows: Rows, spans: Spans, parameters: Mapping[str, jax.Array]
) -> dict[str, float]:
    """The loss of a model with a head of its own, and with the embeddings in its place.

    Nothing of a model whose head is tied.
    """
    if 'lm_head.embedding' not in parameters:
        return {}
    used = inside(spans, rows['inputs'].shape)
    wte = np.asarray(parameters['wte.embedding'], np.float32)
    return {
        'loss_whole': mean(score({}, rows), used),
        'loss_tied': mean(score({'lm_head.embedding': wte}, rows), used),
    }
