"""PEFT's adapter folders, in and out, without peft.

What peft stores, and what it is here:

    base_model.model.transformer.h.0.attn.c_attn.lora_A.weight  [r, in]
        h.0.attn.c_attn.lora_a                                  [in, r]
    base_model.model.transformer.h.0.attn.c_attn.lora_B.weight  [out, r]
        h.0.attn.c_attn.lora_b                                  [r, out]
    base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector  [out]
        h.0.attn.c_attn.lora_magnitude                                  [out]
    base_model.model.lm_head.lora_A.weight  [r, D]
        lm_head.lora_a                      [D, r]

`fan_in_fan_out` tells peft how the base's kernels lie; A and B lie the same for both.

Source: peft 0.21, utils/save_and_load.py, tuners/lora/config.py and layer.py.
"""

import dataclasses
import pathlib
from collections.abc import Collection

import numpy as np
import safetensors
import safetensors.numpy

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.formats import peft_config, tensor_files
from hax_jax.model import lora, naming

SAFETENSORS = 'adapter_model.safetensors'
TORCH = 'adapter_model.bin'
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
    """An adapter and what its folder says of its base.

    `base_hash` is '' unless `write` made the folder. `head` [V, D] is the base's head
    where peft stored it beside an adapter of the head: it must be that of the base.
    """

    settings: schema.LoraConfig
    parameters: dict[str, np.ndarray]
    base_name: str
    base_hash: str
    head: np.ndarray | None


def target_names(layers: Collection[str], *, num_layers: int) -> tuple[str, ...]:
    """The shortest targets that name these layers alone, in hax_jax and in peft.

    ['h.0.mlp.c_proj', 'h.1.mlp.c_proj', 'h.1.attn.c_attn'] of 2 blocks ->
    ('h.1.attn.c_attn', 'mlp.c_proj'). A bare 'c_proj' would name two layers a block.
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
    """Writes the two files that peft loads into `folder`, which is there.

    `adapter` is dotted path -> array, of a vocabulary without padding. `base_name` is
    where peft looks for the base; `base_hash` is `read`'s to give back.

    Raises:
      ValueError: `adapter` is not what `settings` says, tensor by tensor.
    """
    expected = lora.adapter_shapes(naming.parameter_shapes(model), settings)
    found = {name: array.shape for name, array in adapter.items()}
    if found != expected:
        raise ValueError(
            f'the adapter has {sorted(found.items() - expected.items())}, its settings '
            f'say {sorted(expected.items() - found.items())}.'
        )
    tensors = {}
    for name, array in adapter.items():
        tensors[_theirs(name)] = np.ascontiguousarray(array.T, np.float32)
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
        'fan_in_fan_out': layers
        != {lora.HEAD},  # blocks are Conv1D, the head is Linear
        'bias': 'none',
        'use_rslora': settings.rslora,
        'use_dora': settings.dora,
        'init_lora_weights': True,
        'modules_to_save': None,
        'rank_pattern': {},
        'alpha_pattern': {},
    }
    metadata = {'format': 'pt', _HASH: base_hash}
    try:
        safetensors.numpy.save_file(tensors, folder / SAFETENSORS, metadata)
    except safetensors.SafetensorError as error:  # the disk is full
        raise OSError(
            f'{folder / SAFETENSORS} could not be written: {error}'
        ) from error
    files.write_json(folder / peft_config.FILE, values)


def read(folder: pathlib.Path, model: schema.ModelConfig) -> PeftAdapter:
    """The adapter in a folder that peft or `write` made, for a base of these sizes.

    The layers are those whose tensors are there, whatever `target_modules` says.

    Raises:
      InputError: lists all that this model can't take over, field by field and tensor
        by tensor.
    """
    values = peft_config.read(folder)
    problems = peft_config.problems(values)
    stored, base_hash = _read_tensors(folder)
    head = stored.pop(_FROZEN_HEAD, None)
    found: dict[str, tuple[str, np.ndarray]] = {}
    shapes = naming.parameter_shapes(model)
    for name, tensor in stored.items():
        ours = _ours(name, shapes)
        if not ours:
            problems.append(f'extra: {name}{_why_extra(name)}')
        elif ours in found:
            problems.append(f'twice: {name}, also as {found[ours][0]}')
        else:
            found[ours] = name, tensor
    layers = {name.rpartition('.')[0] for name in found}
    if not layers:
        problems.append('no lora_A or lora_B of a layer of this model')
    if problems:
        raise _refused(folder, problems)
    settings = schema.LoraConfig(
        rank=values['r'],
        alpha=float(values['lora_alpha']),
        rslora=values.get('use_rslora') or False,
        dora=values.get('use_dora') or False,
        dropout=float(values.get('lora_dropout') or 0.0),
        targets=target_names(layers, num_layers=model.n_layer),
    )
    expected = lora.adapter_shapes(shapes, settings)
    problems += [
        f'missing: {_theirs(n)}' for n in sorted(expected.keys() - found.keys())
    ]
    problems += [
        f'extra: {found[n][0]}' for n in sorted(found.keys() - expected.keys())
    ]
    parameters = {}
    for name, shape in expected.items():
        if name not in found:
            continue
        theirs, tensor = found[name]
        if tensor.shape != shape[::-1]:
            problems.append(f'{theirs} has shape {tensor.shape}, wanted {shape[::-1]}')
        elif not np.issubdtype(tensor.dtype, np.floating):
            problems.append(f'{theirs} holds {tensor.dtype}, not floats')
        elif not np.isfinite(tensor).all():
            problems.append(f'{theirs} holds numbers that are not finite')
        else:
            parameters[name] = np.ascontiguousarray(tensor.T, np.float32)
    if head is not None and head.shape != (model.vocab_size, model.n_embd):
        problems.append(
            f'{_FROZEN_HEAD} has shape {head.shape}, the base has '
            f'{(model.vocab_size, model.n_embd)}'
        )
    if problems:
        raise _refused(folder, problems)
    return PeftAdapter(
        settings=settings,
        parameters=parameters,
        base_name=values.get('base_model_name_or_path') or '',
        base_hash=base_hash,
        head=None if head is None else np.asarray(head, np.float32),
    )


def _refused(folder: pathlib.Path, problems: list[str]) -> errors.InputError:
    return errors.InputError(
        f'{folder} is not an adapter that hax_jax can take over on this base:\n'
        + '\n'.join(problems)
        + '\nGive the base that it was trained on; or merge it into that with peft '
        '(merge_and_unload, save_pretrained; with an adapter of the head, untie the '
        "base's head first) and give the merged folder as model.pretrained."
    )


def _theirs(name: str) -> str:
    """`h.0.attn.c_attn.lora_a` -> peft's name of it."""
    layer, _, kind = name.rpartition('.')
    transformer = '' if layer == lora.HEAD else 'transformer.'
    return f'{_PREFIX}{transformer}{layer}.{_KINDS[kind]}'


def _ours(name: str, shapes: Collection[str]) -> str:
    """The inverse of `_theirs`; '' where the model has no such layer.

    An adapter of a GPT2Model, which has no head, lacks the `transformer.`.
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
    for name in (SAFETENSORS, TORCH):
        path = folder / name
        if not path.is_file():
            continue
        stored = tensor_files.read_file(path, field='adapter')
        if name == TORCH:
            return stored, ''
        with safetensors.safe_open(path, framework='numpy') as file:
            return stored, (file.metadata() or {}).get(_HASH, '')
    raise errors.InputError(
        f'{folder} has neither {SAFETENSORS} nor {TORCH}; give a folder that peft '
        'saved with save_pretrained.'
    )
