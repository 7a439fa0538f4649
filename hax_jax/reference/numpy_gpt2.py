"""GPT-2's losses in NumPy, apart from the model's own code, and of GPT-2s gone wrong.

A `Formula` is GPT-2's own, or differs in one place. Where a model does not compute what
the right formula gives, the wrong one that gives the same losses names the mistake.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
import scipy.special

from hax_jax.config import schema

Parameters = Mapping[str, np.ndarray]
Row = Mapping[str, np.ndarray]  # inputs, targets, positions, segment_ids: [T] each


@dataclasses.dataclass(frozen=True)
class Formula:
    """What a GPT-2 computes; the defaults beside those of a config are right."""

    activation: str
    epsilon: float
    score_scale: float  # of attention's scores
    by_block: bool = False  # and divided by the block's number, from 1
    causal: bool = True
    by_segment: bool = True
    qkv: tuple[int, int, int] = (0, 1, 2)  # the thirds of c_attn as q, k, v
    later: int = 0  # positions are so many more
    has_places: bool = True
    row_places: bool = False  # positions are places in the row
    has_last_norm: bool = True
    norms_after: bool = False
    embedding_scale: float = 1.0
    target_shift: int = 0
    without: tuple[str, ...] = ()  # parts of blocks: 'attn', 'mlp', 'h.3', 'residual'
    adapter_scale: float = 1.0  # of A @ B


def right(
    model: schema.ModelConfig, adapters: schema.LoraConfig | None = None
) -> Formula:
    """The formula of a config."""
    width = model.n_embd / model.n_head
    root = 1.0
    if adapters and adapters.rank:
        root = adapters.rank**0.5 if adapters.rslora else adapters.rank
    return Formula(
        adapter_scale=adapters.alpha / root if adapters else 1.0,
        activation=model.activation,
        epsilon=model.layer_norm_epsilon,
        score_scale=width**-0.5 if model.scale_attn_weights else 1.0,
        by_block=model.scale_attn_by_inverse_layer_idx,
    )


def wrong(model: schema.ModelConfig) -> Iterator[tuple[str, Formula]]:
    """(what is wrong, the formula) of mistakes that are known to be made."""
    plain, width = right(model), model.n_embd / model.n_head

    def but(**changes: object) -> Formula:
        return dataclasses.replace(plain, **changes)

    yield 'attention has no causal mask', but(causal=False)
    yield 'attention does not heed segment ids', but(by_segment=False)
    yield 'attention heeds no mask', but(causal=False, by_segment=False)
    for name, scale in (
        ("are not divided by the root of a head's width", 1.0),
        ("are divided by the root of a head's width twice", 1 / width),
        ("are divided by a head's width, not its root,", width**-1.0),
        ("are divided by the root of the model's width", model.n_embd**-0.5),
    ):
        if not math.isclose(scale, plain.score_scale):
            yield f'attention scores {name}', but(score_scale=scale)
    if model.n_layer > 1:
        yield (
            "attention scores are divided by the block's number, or should be",
            but(by_block=not plain.by_block),
        )
    for name in ('gelu_new', 'gelu', 'relu', 'none'):
        if name != plain.activation:
            yield f"the MLP's activation is {name}", but(activation=name)
    for epsilon in (1e-12, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0):
        if not math.isclose(epsilon, plain.epsilon):
            yield f'the epsilon of the layer norms is {epsilon:g}', but(epsilon=epsilon)
    for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        said = ', '.join(
            ('queries', 'keys', 'values')[order.index(i)] for i in (0, 1, 2)
        )
        yield f'c_attn is read in the order {said}', but(qkv=order)
    for later in (1, -1, 2):
        yield f'positions are off by {later}', but(later=later)
    yield 'positions are not used', but(has_places=False)
    yield 'positions do not restart with each pair', but(row_places=True)
    yield 'the last norm (ln_f) is left out', but(has_last_norm=False)
    yield 'norms come after their layer, not before', but(norms_after=True)
    root = model.n_embd**0.5
    for scale in (root, 1 / root, 10.0, 0.1, 2.0, 0.5):
        yield f'token embeddings are scaled by {scale:.3g}', but(embedding_scale=scale)
    for shift in (1, 2, -1):
        yield f'the loss shifts its targets by {shift} more', but(target_shift=shift)
    yield 'attention is left out', but(without=('attn',))
    yield 'the MLPs are left out', but(without=('mlp',))
    yield 'the residual stream is left out', but(without=('residual',))
    for i in range(min(model.n_layer, 16)):
        yield f'block {i} is left out', but(without=(f'h.{i}',))


def wrong_adapters(
    model: schema.ModelConfig, adapters: schema.LoraConfig
) -> Iterator[tuple[str, Formula]]:
    """(what is wrong, the formula) of mistakes that are known to be made with LoRA."""
    plain, rank, alpha = right(model, adapters), adapters.rank, adapters.alpha
    for name, scale in (
        ('are not used', 0.0),
        ('are not scaled', 1.0),
        ('are scaled by alpha, not divided by their rank', alpha),
        ('are scaled by alpha / rank', alpha / rank),
        ('are scaled by alpha / sqrt(rank)', alpha / rank**0.5),
        ('are scaled by 1 / rank', 1 / rank),
        ('are scaled twice', plain.adapter_scale**2),
        ('are subtracted', -plain.adapter_scale),
    ):
        if not math.isclose(scale, plain.adapter_scale):
            yield f'adapters {name}', dataclasses.replace(plain, adapter_scale=scale)


def nll(
    parameters: Parameters, model: schema.ModelConfig, row: Row, formula: Formula
) -> np.ndarray:
    """The nats [T] of each target of one row.

    Source: Radford et al. 2019 with its code's names; adapters as part of their
    kernels, Hu et al. 2021, DoRA's, Liu et al. 2024.
    """
    parameters = {**parameters, **_adapted(parameters, formula.adapter_scale)}
    table = _array(parameters, 'wte.embedding')
    inputs = np.clip(row['inputs'], 0, len(table) - 1)
    positions = row['positions'] + formula.later
    if formula.row_places:
        positions = np.arange(len(inputs))
    x = table[inputs] * np.float32(formula.embedding_scale)  # [T, D]
    if formula.has_places:
        places = _array(parameters, 'wpe.embedding')
        x = x + places[np.clip(positions, 0, len(places) - 1)]
    seen = np.ones((len(inputs), len(inputs)), bool)
    if formula.by_segment:
        seen &= row['segment_ids'][:, None] == row['segment_ids'][None]
    if formula.causal:
        seen &= np.tri(len(inputs), dtype=bool)
    blocks = (i for i in range(model.n_layer) if f'h.{i}' not in formula.without)
    for i in blocks:
        for part in ('attn', 'mlp'):
            if part in formula.without:
                continue
            norm, layer = f'h.{i}.ln_{1 if part == "attn" else 2}', f'h.{i}.{part}'
            fed = x if formula.norms_after else _norm(parameters, norm, x, formula)
            if part == 'attn':
                y = _attention(parameters, layer, fed, seen, model, formula, i)
            else:
                wide = _affine(parameters, f'{layer}.c_fc', fed)
                y = _activation(formula.activation, wide)
                y = _affine(parameters, f'{layer}.c_proj', y)
            x = y if 'residual' in formula.without else x + y
            if formula.norms_after:
                x = _norm(parameters, norm, x, formula)
    if formula.has_last_norm:
        x = _norm(parameters, 'ln_f', x, formula)
    if 'lm_head.embedding' in parameters:
        table = _array(parameters, 'lm_head.embedding')
    logits = (x @ table.T)[:, : model.vocab_size]  # [T, V]
    top = logits.max(-1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(logits - top).sum(-1))
    targets = np.clip(row['targets'], 0, model.vocab_size - 1)
    targets = np.roll(targets, -formula.target_shift)
    return total - logits[np.arange(len(targets)), targets]


def _array(parameters: Parameters, name: str) -> np.ndarray:
    return np.asarray(parameters[name]).astype(np.float32, copy=False)


def _affine(parameters: Parameters, layer: str, x: np.ndarray) -> np.ndarray:
    kernel, bias = (
        _array(parameters, f'{layer}.{each}') for each in ('kernel', 'bias')
    )
    return x @ kernel + bias


def _adapted(parameters: Parameters, scale: float) -> dict[str, np.ndarray]:
    """The kernels, and the head's table, that have adapters, with what these add."""
    kernels = {}
    for name in parameters:
        layer, _, kind = name.rpartition('.')
        if kind != 'lora_a':
            continue
        is_head = layer == 'lm_head'
        place = 'lm_head.embedding' if is_head else f'{layer}.kernel'
        found = 'wte.embedding' if place not in parameters else place
        a, b = (_array(parameters, f'{layer}.lora_{each}') for each in 'ab')
        if not b.any() and f'{layer}.lora_magnitude' not in parameters:
            continue  # it adds nothing
        kernel = _array(parameters, found)
        kernel = (kernel.T if is_head else kernel) + scale * a @ b
        if f'{layer}.lora_magnitude' in parameters:
            length = np.maximum(np.linalg.norm(kernel, axis=0), 1e-30)
            kernel = kernel * (_array(parameters, f'{layer}.lora_magnitude') / length)
        kernels[place] = kernel.T if is_head else kernel
    return kernels


def _norm(
    parameters: Parameters, name: str, x: np.ndarray, formula: Formula
) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + formula.epsilon)
    scale, bias = (_array(parameters, f'{name}.{each}') for each in ('scale', 'bias'))
    return centred / spread * scale + bias


def _attention(
    parameters: Parameters,
    layer: str,
    x: np.ndarray,
    seen: np.ndarray,
    model: schema.ModelConfig,
    formula: Formula,
    block: int,
) -> np.ndarray:
    size = len(x)
    qkv = _affine(parameters, f'{layer}.c_attn', x)
    thirds = np.split(qkv.reshape(size, 3, model.n_head, -1), 3, axis=1)
    q, k, v = (thirds[i][:, 0].swapaxes(0, 1) for i in formula.qkv)  # [N, T, H]
    scores = q @ k.swapaxes(1, 2) * np.float32(formula.score_scale)  # [N, T, T]
    if formula.by_block:
        scores /= block + 1
    scores = np.where(seen, scores, np.float32(-1e9))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = (weights @ v).swapaxes(0, 1).reshape(size, -1)
    return _affine(parameters, f'{layer}.c_proj', out)


def _activation(name: str, x: np.ndarray) -> np.ndarray:
    if name == 'relu':
        return np.maximum(x, 0)
    if name == 'gelu_new':
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(inner))
    if name == 'gelu':
        return 0.5 * x * (1 + scipy.special.erf(x / math.sqrt(2)))
    return x
