"""Checkpoints of the PyTorch project that hax_jax replaces, in.

A `.pt` file is torch's zip of a dictionary: `step, model_state_dict,
optimizer_state_dict` (absent when compressed), `hyperparameters, vocab_size,
block_size, batch_size`. Names are Hugging Face's under `model.`; in a LoRA checkpoint
each adapted layer, the head too, has its own tensors under `base_layer`:

    model.transformer.h.0.attn.c_attn.base_layer.weight  [in, out], and .bias
    model.transformer.h.0.attn.c_attn.lora_A             [in, r]
    model.transformer.h.0.attn.c_attn.lora_B             [r, out]
    model.lm_head.base_layer.weight [V, D], lora_A [D, r], lora_B [r, V]
"""

import dataclasses
import pathlib
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import peft_adapter, torch_file
from hax_jax.model import lora, naming

_KEYS = {'step': int, 'model_state_dict': dict, 'vocab_size': int}
_OTHER_KEYS = {'optimizer_state_dict', 'hyperparameters', 'block_size', 'batch_size'}
_ADAPTED = re.compile(r'(.*)\.(base_layer\.(weight|bias)|lora_A|lora_B)')
_BLOCK = re.compile(r'model\.transformer\.h\.(\d+)\.')
_EMBEDDINGS = ('model.transformer.wte.weight', 'model.transformer.wpe.weight')
_KINDS = {'lora_a': 'lora_A', 'lora_b': 'lora_B'}
_SHOWN = 8  # keys of a file that is something else
_HEAD_DIM = 64  # of each model of GPT-2's family
_FAMILY = (768, 1024, 1280, 1600)  # their n_embd
# How hyperparameters may name a number, in lower case.
_NAMES = {
    'n_head': ('n_head', 'n_heads', 'num_heads'),
    'rank': ('lora_rank', 'lora_r', 'rank', 'r'),
    'alpha': ('lora_alpha', 'alpha'),
    'dropout': ('lora_dropout',),
}


@dataclasses.dataclass(frozen=True)
class OldCheckpoint:
    """What a file holds: dotted path -> float32 array, as everywhere in hax_jax.

    `parameters` are all, or the base's beside an `adapter`, which may be empty.
    `hyperparameters` are as JSON has them. `notes` are sentences on what was concluded
    and what was not taken over.
    """

    step: int
    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    adapter: dict[str, np.ndarray]
    lora: schema.LoraConfig
    hyperparameters: dict[str, Any]
    notes: list[str]


def read(path: str, *, alpha: float | None, n_head: int | None) -> OldCheckpoint:
    """The checkpoint in a file of the old project.

    `alpha` and `n_head`, which no tensor shows, are for a file that does not say them.

    Raises:
      InputError: the file is no checkpoint, or damaged; or it lists all tensors that
        are missing, extra or misshapen, by the file's names, and all numbers that are
        unknown or contradict each other.
    """
    file = pathlib.Path(path).expanduser()
    stored = torch_file.load(file)
    problems, notes = _problems_of_keys(stored), _notes(stored)
    if problems:
        raise _refused(file, problems)
    arrays = stored['model_state_dict']
    adapted = {m[1] for name in arrays if (m := _ADAPTED.fullmatch(name))}
    own = {name for name in arrays if name.rpartition('.')[2] in _KINDS.values()}
    base = {name: array for name, array in arrays.items() if name not in own}
    model = _sizes(base, _stored_name('lm_head.embedding', adapted), problems)
    if problems:
        raise _refused(file, problems)
    if not model.tie_embeddings:
        notes.append('the head differs from the embeddings: it is untied')
    if stored['vocab_size'] != model.vocab_size:
        problems.append(
            f'vocab_size={stored["vocab_size"]} in the file, but {_EMBEDDINGS[0]} has '
            f'{model.vocab_size} rows'
        )
    parameters: dict[str, np.ndarray] = {}
    try:
        parameters = naming.accounted(
            base,
            model,
            what=str(file),
            stored_name=lambda name: _stored_name(name, adapted),
        )
    except errors.InputError as error:
        problems += str(error).split('\n')[1:]
    said = stored.get('hyperparameters') or {}
    heads = _heads(said, n_head, model.n_embd, problems, notes)
    adapter = {name: arrays[name] for name in own}
    settings = schema.LoraConfig()
    if adapted:
        layers = {_layer(module) for module in adapted}
        targets = peft_adapter.target_names(layers, num_layers=model.n_layer)
        settings = _settings(adapter, targets, said, alpha, problems)
        adapter = _accounted_adapter(adapter, settings, model, problems)
    elif alpha is not None:
        problems.append(f'--alpha={alpha:g}, but there is no adapter; leave it out')
    if problems:
        raise _refused(file, problems)
    return OldCheckpoint(
        step=stored['step'],
        model=dataclasses.replace(model, n_head=heads),
        parameters=_own_memory(parameters),
        adapter=_own_memory(adapter),
        lora=settings,
        hyperparameters={str(name): _plain(value) for name, value in said.items()},
        notes=notes,
    )


def _refused(file: pathlib.Path, problems: list[str]) -> errors.InputError:
    return errors.InputError(
        f'{file} is not a checkpoint of the old project that can be taken over:\n'
        + '\n'.join(problems)
        + '\nGive another file, or copy it again if it should be whole.'
    )


def _problems_of_keys(stored: dict[str, Any]) -> list[str]:
    problems = []
    missing = [key for key in _KEYS if key not in stored]
    if missing:
        have = [str(key) for key in stored]
        shown = ', '.join(have[:_SHOWN]) or 'nothing'
        shown += f' and {len(have) - _SHOWN} more' * (len(have) > _SHOWN)
        problems.append(
            f'missing: the keys {", ".join(missing)} (the file has {shown}). Weights '
            'that transformers saved are not imported: put them beside their '
            'config.json and give that folder as model.pretrained'
        )
    for key, kind in _KEYS.items():
        if key in missing:
            continue
        if not isinstance(stored[key], kind) or isinstance(stored[key], bool):
            has = type(stored[key]).__name__
            problems.append(f'{key!r} is of type {has}, not {kind.__name__}')
    tensors = stored.get('model_state_dict')
    problems += [
        f'{name} in model_state_dict is a {type(tensor).__name__}, not a dense tensor'
        for name, tensor in (tensors.items() if isinstance(tensors, dict) else ())
        if not isinstance(name, str) or not isinstance(tensor, np.ndarray)
    ]
    if not isinstance(stored.get('hyperparameters', {}), dict | None):
        has = type(stored['hyperparameters']).__name__
        problems.append(f"'hyperparameters' is of type {has}, not dict")
    return problems


def _notes(stored: dict[str, Any]) -> list[str]:
    notes = []
    state = stored.get('optimizer_state_dict')
    if isinstance(state, dict):
        num = len(state.get('state', {}))
        notes.append(
            f'the optimizer state of {num} tensors is not taken over: AdamW begins anew'
        )
    if 'block_size' in stored:
        notes.append(
            f'block_size={stored["block_size"]} was the length of its training rows; '
            'the model keeps all its positions'
        )
    for key in stored.keys() - _KEYS.keys() - _OTHER_KEYS:
        notes.append(f'the key {key!r} is not taken over')
    return notes


def _sizes(
    base: dict[str, np.ndarray], head: str, problems: list[str]
) -> schema.ModelConfig:
    """The sizes that tensors show: all but n_head."""
    for name in _EMBEDDINGS:
        if name not in base:
            problems.append(f'missing: {name}')
        elif base[name].ndim != 2:
            problems.append(f'{name} has shape {base[name].shape}, not two axes')
    if problems:
        return schema.ModelConfig()
    wte, wpe = (base[name] for name in _EMBEDDINGS)
    # Counted, not the highest: a gap is a missing block.
    blocks = {m[1] for name in base if (m := _BLOCK.match(name))}
    own_head = head in base and base[head].shape == wte.shape
    return schema.ModelConfig(
        n_layer=len(blocks),
        n_embd=wte.shape[1],
        n_positions=wpe.shape[0],
        vocab_size=wte.shape[0],
        tie_embeddings=not own_head or np.array_equal(base[head], wte),
    )


def _stored_name(name: str, adapted: Collection[str]) -> str:
    """`h.0.ln_1.scale` -> `model.transformer.h.0.ln_1.weight`, with any base_layer."""
    module, _, kind = f'model.{naming.hugging_face(name)}'.rpartition('.')
    return f'{module}.base_layer.{kind}' if module in adapted else f'{module}.{kind}'


def _layer(module: str) -> str:
    """`model.transformer.h.0.attn.c_attn` -> `h.0.attn.c_attn`."""
    return module.removeprefix('model.').removeprefix('transformer.')


def _stated(
    said: dict[Any, Any], what: str, given: int | float | None, problems: list[str]
) -> int | float | None:
    """The number that the hyperparameters or the command line give, if one does."""
    found = {
        str(key): value
        for key, value in said.items()
        if str(key).lower() in _NAMES[what] and value is not None
    }
    for key, value in list(found.items()):
        if type(value) not in (int, float) or value - value != 0:
            problems.append(f'hyperparameters: {key}={value!r} is not a number')
            del found[key]
    if given is not None:
        found[f'--{what}'] = given
    if len(set(found.values())) > 1:
        both = ', '.join(f'{key}={value}' for key, value in found.items())
        problems.append(f'contradictory: {both}; leave out the one that is wrong')
    return next(iter(found.values()), None)


def _heads(
    said: dict[Any, Any],
    given: int | None,
    n_embd: int,
    problems: list[str],
    notes: list[str],
) -> int:
    """n_head: the file's or the given one, else that of GPT-2's family."""
    heads = _stated(said, 'n_head', given, problems)
    if heads is None and n_embd in _FAMILY:
        heads = n_embd // _HEAD_DIM
        notes.append(f'n_head={heads}: not in the file, but GPT-2 of this width has it')
    if heads is None:
        problems.append(
            f'n_head is not in the file, and n_embd={n_embd} is of no published GPT-2; '
            'give --n_head'
        )
    elif heads != int(heads) or heads < 1 or n_embd % heads:
        problems.append(f'n_head={heads} does not divide n_embd={n_embd}')
    return int(heads or 0)


def _settings(
    adapter: dict[str, np.ndarray],
    targets: tuple[str, ...],
    said: dict[Any, Any],
    given_alpha: float | None,
    problems: list[str],
) -> schema.LoraConfig:
    """What the adapter's tensors and the hyperparameters say."""
    by_rank: dict[int, list[str]] = {}
    for name, array in adapter.items():
        axis = -1 if name.endswith('A') else 0
        by_rank.setdefault(array.shape[axis] if array.ndim else 0, []).append(name)
    rank = max(by_rank, key=lambda rank: len(by_rank[rank]), default=1)
    for other in by_rank.keys() - {rank}:
        problems.append(
            f'rank {other} in {", ".join(sorted(by_rank[other]))}, {rank} elsewhere'
        )
    stated = _stated(said, 'rank', None, problems)
    if stated is not None and stated != rank:
        problems.append(f'rank {stated} in hyperparameters, {rank} in the tensors')
    alpha = _stated(said, 'alpha', given_alpha, problems)
    if alpha is None:
        problems.append(
            'the hyperparameters do not say the alpha of LoRA; give --alpha as it was '
            'in training: the adapter is scaled by alpha / rank, so another one makes '
            'another model'
        )
    elif not alpha > 0:
        problems.append(f'alpha={alpha} is not over 0')
    dropout = _stated(said, 'dropout', None, problems) or 0.0
    if not 0 <= dropout < 1:
        problems.append(f'dropout={dropout} of LoRA is not from 0.0 to under 1.0')
    return schema.LoraConfig(
        rank=rank,
        alpha=float(alpha or 1),
        dropout=float(dropout),
        targets=targets,
    )


def _accounted_adapter(
    adapter: dict[str, np.ndarray],
    settings: schema.LoraConfig,
    model: schema.ModelConfig,
    problems: list[str],
) -> dict[str, np.ndarray]:
    """The adapter by our names, against what the settings ask of this model."""
    shapes = lora.adapter_shapes(naming.parameter_shapes(model), settings)
    names = {}
    for ours in shapes:
        layer, _, kind = ours.rpartition('.')
        prefix = 'model.' if layer == 'lm_head' else 'model.transformer.'
        names[ours] = f'{prefix}{layer}.{_KINDS[kind]}'
    theirs = set(names.values())
    problems += [f'missing: {name}' for name in sorted(theirs - adapter.keys())]
    problems += [f'extra: {name}' for name in sorted(adapter.keys() - theirs)]
    problems += [
        f'{names[ours]} has shape {adapter[names[ours]].shape}, the model {shape}'
        for ours, shape in shapes.items()
        if names[ours] in adapter and adapter[names[ours]].shape != shape
    ]
    return {ours: adapter[names[ours]] for ours in shapes if names[ours] in adapter}


def _own_memory(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float32 arrays that stay what they are when someone rewrites the mapped file."""
    return {n: np.require(a, np.float32, ['C', 'O']) for n, a in arrays.items()}


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON has it; what JSON lacks becomes text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    plain = value is None or isinstance(value, bool | int | str)
    return (
        value if plain or (type(value) is float and value - value == 0) else repr(value)
    )
