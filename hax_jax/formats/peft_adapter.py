"""PEFT's adapter folders, read and written without peft.

A name that peft stores, and below it ours:

    base_model.model.transformer.h.0.attn.c_attn.lora_A.weight  [r, in]
        h.0.attn.c_attn.lora_a                                  [in, r]
    base_model.model.transformer.h.0.attn.c_attn.lora_B.weight  [out, r]
        h.0.attn.c_attn.lora_b                                  [r, out]
    base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector  [out]
        h.0.attn.c_attn.lora_magnitude                                  [out]
    base_model.model.lm_head.lora_A.weight  [r, D]
        lm_head.lora_a                      [D, r]

`fan_in_fan_out` tells peft how the base's kernels lie; it changes neither A nor B.

Source: peft 0.21, utils/save_and_load.py, tuners/lora/config.py and layer.py.
"""

import dataclasses
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np
import safetensors

from hax_jax import errors, files, sha256sums
from hax_jax.config import schema
from hax_jax.formats import accounting, peft_config, weight_files
from hax_jax.model import lora, naming

_SAFETENSORS = 'adapter_model.safetensors'
_TORCH = 'adapter_model.bin'
_HASH = 'base_hash'  # in the metadata of the safetensors file, which peft leaves alone
_PREFIX = 'base_model.model.'
_KINDS = {
    'lora_a': 'lora_A.weight',
    'lora_b': 'lora_B.weight',
    'lora_magnitude': 'lora_magnitude_vector',
}
_LINEAR = ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
# peft stores the frozen head itself beside an adapter of it.
_FROZEN_HEAD = f'{_PREFIX}lm_head.base_layer.weight'


@dataclasses.dataclass(frozen=True)
class PeftAdapter:
    """An adapter and what its folder says about its base.

    `base_hash` is '' unless `write` made the folder. `head` [V, D] is the base's head,
    where peft stored it beside an adapter of the head; the caller compares them.
    """

    settings: schema.LoraConfig
    parameters: dict[str, np.ndarray]
    base_name: str
    base_hash: str
    head: np.ndarray | None


def target_names(layers: Collection[str], *, num_layers: int) -> tuple[str, ...]:
    """The shortest targets that match these layers alone, in hax_jax and in peft.

    ['h.0.mlp.c_proj', 'h.1.mlp.c_proj', 'h.1.attn.c_attn'] of 2 blocks ->
    ('h.1.attn.c_attn', 'mlp.c_proj'). A bare 'c_proj' would match two layers a block.
    """
    targets = []
    for kind in _LINEAR:
        paths = [f'h.{i}.{kind}' for i in range(num_layers)]
        there = [path for path in paths if path in layers]
        targets += [kind] if there == paths else there
    return (*targets, lora.HEAD) if lora.HEAD in layers else tuple(targets)


def write(
    folder: pathlib.Path,
    settings: schema.LoraConfig,
    adapter: dict[str, np.ndarray],
    model: schema.ModelConfig,
    *,
    base_name: str,
    base_hash: str,
) -> None:
    """Writes the two files that peft loads into `folder`, which exists.

    `adapter` is dotted path -> array, of a vocabulary without padding. peft looks for
    the base at `base_name`; `read` returns `base_hash`.

    Raises:
      ValueError: `adapter` is not what `settings` says, tensor by tensor.
    """
    expected = lora.adapter_shapes(naming.parameter_shapes(model), settings)
    accounting.require(adapter, expected, what='adapters')
    tensors = {_stored_name(name): array.T for name, array in adapter.items()}
    metadata = {'format': 'pt', _HASH: base_hash}
    weight_files.write(folder / _SAFETENSORS, tensors, metadata)
    layers = {name.rpartition('.')[0] for name in adapter}
    alpha = settings.alpha
    values = {
        'peft_type': 'LORA',
        'task_type': 'CAUSAL_LM',
        'base_model_name_or_path': base_name or None,
        'inference_mode': True,
        'r': settings.rank,
        'lora_alpha': int(alpha) if alpha == int(alpha) else alpha,
        'lora_dropout': settings.dropout,
        'target_modules': list(target_names(layers, num_layers=model.n_layer)),
        # Blocks have Conv1D layers; the head is a Linear one.
        'fan_in_fan_out': layers != {lora.HEAD},
        'bias': 'none',
        'use_rslora': settings.rslora,
        'use_dora': settings.dora,
        'init_lora_weights': True,
        'modules_to_save': None,
        'rank_pattern': {},
        'alpha_pattern': {},
    }
    files.write_json(folder / peft_config.FILE, values)


def read(folder: pathlib.Path, model: schema.ModelConfig) -> PeftAdapter:
    """The adapter in a folder that peft or `write` made, for a base of these sizes.

    Its layers are those that have tensors, whatever `target_modules` says.

    Raises:
      InputError: a file is not as the folder's SHA256SUMS has it; else lists every
        field and every tensor that this model can't take over.
    """
    sha256sums.check(folder, [peft_config.FILE, _SAFETENSORS, _TORCH])
    values = peft_config.read(folder)
    stored, base_hash = _read_tensors(folder)
    head = stored.pop(_FROZEN_HEAD, None)
    shapes = naming.parameter_shapes(model)
    names, problems = _match(stored, shapes)
    problems = peft_config.problems(values) + problems
    if problems:
        raise _refused(folder, values, problems)
    layers = {name.rpartition('.')[0] for name in names}
    ranks = {
        layer: peft_config.of_layer(values, 'rank_pattern', layer) for layer in layers
    }
    settings = schema.LoraConfig(
        rank=max(ranks.values()),
        alpha=float(values['lora_alpha']),
        rslora=values.get('use_rslora') or False,
        dora=values.get('use_dora') or False,
        dropout=float(values.get('lora_dropout') or 0.0),
        targets=target_names(layers, num_layers=model.n_layer),
    )
    expected = lora.adapter_shapes(shapes, settings)
    problems = accounting.problems(
        stored,
        {
            names.get(n, _stored_name(n)): _of_rank(n, shape, ranks)[::-1]
            for n, shape in expected.items()
        },
    )
    table = (model.vocab_size, model.n_embd)
    if head is not None and head.shape != table:
        problems.append(f'{_FROZEN_HEAD} has shape {head.shape}, the base has {table}')
    if problems:
        raise _refused(folder, values, problems)
    return PeftAdapter(
        settings=settings,
        parameters={
            name: _folded(name, stored[names[name]].T, ranks, settings, values)
            for name in expected
        },
        base_name=values.get('base_model_name_or_path') or '',
        base_hash=base_hash,
        head=None if head is None else np.asarray(head, np.float32),
    )


def _of_rank(
    name: str, shape: tuple[int, ...], ranks: dict[str, int]
) -> tuple[int, ...]:
    """The shape of a tensor of ours as a layer of another rank stores it."""
    layer = name.rpartition('.')[0]
    if name.endswith('magnitude') or layer not in ranks:
        return shape
    axis = 1 if name.endswith('lora_a') else 0
    return (*shape[:axis], ranks[layer], *shape[axis + 1 :])


def _folded(
    name: str,
    array: np.ndarray,
    ranks: dict[str, int],
    settings: schema.LoraConfig,
    values: dict[str, Any],
) -> np.ndarray:
    """A tensor padded with zeros to the common rank, B with the layer's own scale."""
    layer, _, kind = name.rpartition('.')
    array = np.ascontiguousarray(array, np.float32)
    if kind == 'lora_magnitude':
        return array
    alpha = float(peft_config.of_layer(values, 'alpha_pattern', layer))
    own = dataclasses.replace(settings, rank=ranks[layer], alpha=alpha)
    factor = lora.scale(own) / lora.scale(settings)
    if kind == 'lora_b' and factor != 1:
        array = array * np.float32(factor)
    missing = settings.rank - ranks[layer]
    if not missing:
        return array
    return np.pad(
        array, ((0, 0), (0, missing)) if kind == 'lora_a' else ((0, missing), (0, 0))
    )


def _match(
    stored: Collection[str], shapes: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """(our name -> stored name, problems: stored names of no layer, or there twice)."""
    names: dict[str, str] = {}
    problems = []
    for name in stored:
        ours = _our_name(name, shapes)
        if not ours:
            problems.append(f'extra: {name}{_why_extra(name)}')
        elif ours in names:
            problems.append(f'twice: {name}, also as {names[ours]}')
        else:
            names[ours] = name
    if not names:
        problems.append('no lora_A or lora_B of a layer of this model')
    return names, problems


def _refused(
    folder: pathlib.Path, values: dict[str, Any], problems: list[str]
) -> errors.InputError:
    return errors.InputError(
        f'{folder} is not an adapter that hax_jax can take over on this base:\n'
        + '\n'.join(problems)
        + f'\n{peft_config.remedy(values)}'
    )


def _stored_name(name: str) -> str:
    """`h.0.attn.c_attn.lora_a` -> peft's name."""
    layer, _, kind = name.rpartition('.')
    transformer = '' if layer == lora.HEAD else 'transformer.'
    return f'{_PREFIX}{transformer}{layer}.{_KINDS[kind]}'


def _our_name(name: str, shapes: Collection[str]) -> str:
    """The inverse of `_stored_name`; '' where the model has no such layer.

    An adapter of a GPT2Model, a model without head, has no `transformer.` in its names.
    """
    for ours, theirs in _KINDS.items():
        if name.startswith(_PREFIX) and name.endswith(f'.{theirs}'):
            layer = name.removeprefix(_PREFIX).removesuffix(f'.{theirs}')
            layer = layer.removeprefix('transformer.')
            if layer == lora.HEAD or f'{layer}.kernel' in shapes:
                return f'{layer}.{ours}'
    return ''


def _why_extra(name: str) -> str:
    if '.lora_embedding_' in name:
        return ' (an adapter of the embeddings, which hax_jax does not have)'
    if name.endswith('.bias'):
        return ' (biases are not part of an adapter of hax_jax)'
    return ''


def _read_tensors(folder: pathlib.Path) -> tuple[dict[str, np.ndarray], str]:
    """(tensors by their stored names, the base's hash or '')."""
    for name in (_SAFETENSORS, _TORCH):
        path = folder / name
        if not path.is_file():
            continue
        stored = weight_files.read_file(path, field='adapter')
        if name == _TORCH:
            return stored, ''
        with safetensors.safe_open(path, framework='numpy') as file:
            return stored, (file.metadata() or {}).get(_HASH, '')
    raise errors.InputError(
        f'{folder} has neither {_SAFETENSORS} nor {_TORCH}; give a folder that peft '
        'saved with save_pretrained.'
    )
