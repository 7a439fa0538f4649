"""Reads checkpoints of the PyTorch project that hax_jax replaces.

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
import math
import pathlib
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import accounting, peft_adapter, torch_file
from hax_jax.model import lora, naming

_KEYS = {'step': int, 'model_state_dict': dict, 'vocab_size': int}
_OTHER_KEYS = {'optimizer_state_dict', 'hyperparameters', 'block_size', 'batch_size'}
_ADAPTED = re.compile(r'(.*)\.(base_layer\.(weight|bias)|lora_A|lora_B)')
_BLOCK = re.compile(r'model\.transformer\.h\.(\d+)\.')
_EMBEDDINGS = ('model.transformer.wte.weight', 'model.transformer.wpe.weight')
_KINDS = {'lora_a': 'lora_A', 'lora_b': 'lora_B'}
_SHOWN = 8  # how many keys of another file an error lists
_HEAD_DIM = 64  # of each model of GPT-2's family
_FAMILY = (768, 1024, 1280, 1600)  # their n_embd
# The hyperparameters that give a number, in lower case.
_NAMES = {
    'n_head': ('n_head', 'n_heads', 'num_heads'),
    'rank': ('lora_rank', 'lora_r', 'rank', 'r'),
    'alpha': ('lora_alpha', 'alpha'),
    'dropout': ('lora_dropout',),
}


@dataclasses.dataclass(frozen=True)
class OldCheckpoint:
    """The contents of a file. Arrays are float32, by dotted path.

    `parameters` are the whole model's, or the base's of an `adapter`, which may be
    empty. `hyperparameters` are JSON values. `notes` are sentences on what was
    concluded and what was not taken over.
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

    `alpha` and `n_head`, which no tensor shows, are for a file that lacks them.

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
    adapter, base = {}, {}
    for name, array in arrays.items():
        is_own = name.rpartition('.')[2] in _KINDS.values()
        (adapter if is_own else base)[name] = array
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
    parameters, wrong = accounting.gpt2(
        base, model, stored_name=lambda name: _stored_name(name, adapted)
    )
    problems += wrong
    said = stored.get('hyperparameters') or {}
    heads = _heads(said, n_head, model.n_embd, problems, notes)
    settings = schema.LoraConfig()
    if adapted:
        layers = {_layer(module) for module in adapted}
        targets = peft_adapter.target_names(layers, num_layers=model.n_layer)
        settings = _settings(adapter, targets, said, alpha, problems)
        adapter = _by_our_names(adapter, settings, model, problems)
    elif alpha is not None:
        problems.append(f'--alpha={alpha:g}, but there is no adapter; leave it out')
    if problems:
        raise _refused(file, problems)
    return OldCheckpoint(
        step=stored['step'],
        model=dataclasses.replace(model, n_head=heads),
        parameters=_copied(parameters),
        adapter=_copied(adapter),
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
            f'missing: the keys {", ".join(missing)} (the file has {shown}). Tensors '
            'alone need the config.json of their model: --model_config=FOLDER; a file '
            'of nanoGPT has model_args beside its model'
        )
    problems += [
        f'{key!r} is of type {type(stored[key]).__name__}, not {kind.__name__}'
        for key, kind in _KEYS.items()
        if key in stored
        and (not isinstance(stored[key], kind) or isinstance(stored[key], bool))
    ]
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
    """The parts of the file that the import leaves out."""
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
    others = stored.keys() - _KEYS.keys() - _OTHER_KEYS
    return notes + [f'the key {key!r} is not taken over' for key in others]


def _sizes(
    base: dict[str, np.ndarray], head: str, problems: list[str]
) -> schema.ModelConfig:
    """All sizes but n_head, which tensors do not show."""
    for name in _EMBEDDINGS:
        if name not in base:
            problems.append(f'missing: {name}')
        elif base[name].ndim != 2:
            problems.append(f'{name} has shape {base[name].shape}, not two axes')
    if problems:
        return schema.ModelConfig()
    wte, wpe = (base[name] for name in _EMBEDDINGS)
    # The number of blocks, not the highest index: a gap is a missing block.
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
    """The number in the hyperparameters or on the command line; None if in neither."""
    found = {
        str(key): value
        for key, value in said.items()
        if str(key).lower() in _NAMES[what] and value is not None
    }
    for key, value in list(found.items()):
        if type(value) not in (int, float) or not math.isfinite(value):
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
    """The file's n_head or the given one, else that of GPT-2's family."""
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
    """The settings that the adapter's tensors and the hyperparameters show."""
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
        rank=rank, alpha=float(alpha or 1), dropout=float(dropout), targets=targets
    )


def _by_our_names(
    adapter: dict[str, np.ndarray],
    settings: schema.LoraConfig,
    model: schema.ModelConfig,
    problems: list[str],
) -> dict[str, np.ndarray]:
    """The adapter by our names; {} with problems."""
    shapes = lora.adapter_shapes(naming.parameter_shapes(model), settings)
    names = {}
    for ours in shapes:
        layer, _, kind = ours.rpartition('.')
        prefix = 'model.' if layer == lora.HEAD else 'model.transformer.'
        names[ours] = f'{prefix}{layer}.{_KINDS[kind]}'
    expected = {names[ours]: shape for ours, shape in shapes.items()}
    wrong = accounting.problems(adapter, expected)
    problems += wrong
    return {} if wrong else {ours: adapter[names[ours]] for ours in shapes}


def _copied(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float32 copies, which do not change when someone rewrites the mapped file."""
    return {n: np.require(a, np.float32, ['C', 'O']) for n, a in arrays.items()}


def _plain(value: Any) -> Any:
    """A hyperparameter as a JSON value; a type that JSON lacks becomes text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    finite = type(value) is float and math.isfinite(value)
    return value if finite else repr(value)
