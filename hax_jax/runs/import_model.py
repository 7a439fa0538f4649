"""Takes over an old `.pt` file, or an adapter of peft, as a folder of ours."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import (
    accounting,
    gguf_file,
    gguf_tokenizer,
    hf_folder,
    model_card,
    old_checkpoint,
    other_trainers,
    peft_adapter,
    pretrained,
    torch_file,
    weight_files,
)
from hax_jax.model import lora_merge, naming
from hax_jax.runs import origin, restore, run_folder

_GPT2_VOCAB = 50257
_SHIFTED = (
    'the old project shifted labels twice until it mended that: a checkpoint whose log '
    'begins at a loss over 9, or stays near 5, learned to name the token after the '
    'next. Training it further from here is right; the base that it began with is '
    'likely the better start.'
)


@dataclasses.dataclass(frozen=True)
class Imported:
    """A model's `parameters`, or those of an adapter that stands on `base`.

    `own_base`: the base is in no other file that hax_jax reads.
    """

    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    tokenizer: str | text.Tokenizer
    origin: str
    facts: dict[str, str]
    notes: list[str]
    settings: schema.LoraConfig = dataclasses.field(default_factory=schema.LoraConfig)
    base: pretrained.Base | None = None
    own_base: bool = False
    step: int = 0


def file(
    path: pathlib.Path,
    *,
    alpha: float | None,
    n_head: int | None,
    tokenizer: str,
    model_config: str,
    own_base: pathlib.Path,
) -> Imported:
    """Reads a file, or OpenAI's folder, whichever trainer wrote it.

    See `old` and `whole`.
    """
    stored = None
    is_other = path.is_dir() or gguf_file.is_one(path) or other_trainers.is_llm_c(path)
    if not is_other and path.suffix not in weight_files.SUFFIXES:
        stored = torch_file.load(path)
    if is_other or model_config or (stored and other_trainers.is_nanogpt(stored)):
        errors.refuse(
            [
                f'--{name} applies only to .pt files of the old project; {path} '
                'already defines it. Remove the flag.'
                for name, value in (('alpha', alpha), ('n_head', n_head))
                if value is not None
            ]
        )
        return whole(path, stored, tokenizer=tokenizer, model_config=model_config)
    if stored is None:
        raise errors.InputError(
            f'{path} holds tensors alone; give the config.json of its model as '
            '--model_config=FOLDER.'
        )
    return old(path, alpha=alpha, n_head=n_head, tokenizer=tokenizer, own_base=own_base)


def old(
    path: pathlib.Path,
    *,
    alpha: float | None,
    n_head: int | None,
    tokenizer: str,
    own_base: pathlib.Path,
) -> Imported:
    """Reads a .pt file; the base of an adapter will lie in `own_base`.

    `alpha` and `n_head` are for a file that does not have them, `tokenizer` for a model
    that was not trained with GPT-2's.

    Raises:
      InputError: the file is no checkpoint of the old project, or lacks one of these.
    """
    found = old_checkpoint.read(str(path), alpha=alpha, n_head=n_head)
    if not tokenizer and found.model.vocab_size != _GPT2_VOCAB:
        raise errors.InputError(
            f'{path} has a vocabulary of {found.model.vocab_size}, not that of GPT-2; '
            'give the tokenizer that it was trained with as --tokenizer=FOLDER.'
        )
    numbers = {
        name: value
        for name, value in found.hyperparameters.items()
        if isinstance(value, int | float)  # no texts, which may be paths of a machine
    }
    base = None
    if found.adapter:
        base = pretrained.Base(
            path=str(own_base),
            step=None,
            model=found.model,
            parameters=found.parameters,
            hash=pretrained.fingerprint(found.parameters),
        )
    return Imported(
        model=found.model,
        parameters=found.adapter or found.parameters,
        settings=found.lora,
        base=base,
        own_base=bool(found.adapter),
        tokenizer=tokenizer or 'gpt2',
        step=found.step,
        origin=path.name,
        facts={
            'imported from': f'{path.name}, a checkpoint of the old project',
            'training': f'step {found.step}; {json.dumps(numbers)}',
            'template in training': '`QUESTION: ...` and `ANSWER: ...`, with no EOS: '
            'until it is trained further, its answers do not end',
        },
        notes=[*found.notes, _SHIFTED],
    )


def whole(
    path: pathlib.Path,
    stored: dict[Any, Any] | None,
    *,
    tokenizer: str,
    model_config: str,
) -> Imported:
    """A model of nanoGPT, llm.c, OpenAI or llama.cpp, or tensors with a config.json.

    `stored` is the dictionary in a file of torch, else None. `model_config` is the
    config.json, or its folder, of a file that holds tensors alone.

    Raises:
      InputError: the file is none of these, or its tokenizer is not known.
    """
    own: text.Tokenizer | None = None
    if model_config:
        place = pathlib.Path(model_config).expanduser()
        place = place / 'config.json' if place.is_dir() else place
        model = hf_folder.read_model_config(
            place.parent, name=place.name, field='--model_config'
        )
        tensors = stored or weight_files.read_file(path, field='the input')
        tensors, notes = accounting.without_prefix(tensors)
        parameters, problems = accounting.gpt2(tensors, model)
        if problems:
            raise errors.InputError(
                f'{path} does not hold the model of {model_config}:\n'
                + '\n'.join(problems)
                + '\nGive the config.json that belongs to it.'
            )
        parameters = {n: np.array(x, np.float32) for n, x in parameters.items()}
        found = other_trainers.Whole(model, parameters, 0, 'tensors alone', notes)
    elif stored is not None:
        found = other_trainers.read_nanogpt(path, stored)
    elif path.is_dir():
        found = other_trainers.read_openai(path)
        own = None if tokenizer else other_trainers.openai_tokenizer(path)
    elif gguf_file.is_one(path):
        model, parameters = gguf_file.read(path)
        own = None if tokenizer else gguf_tokenizer.read(path)
        if own is not None:  # rows of the table that no token has
            model = dataclasses.replace(model, vocab_size=own.vocab_size)
            parameters = naming.unpad_vocab(parameters, model)
        found = other_trainers.Whole(model, parameters, 0, 'llama.cpp', [])
    else:
        found = other_trainers.read_llm_c(path)
    size = found.model.vocab_size
    if not (tokenizer or own) and not 0 <= size - _GPT2_VOCAB < origin.VOCAB_PADDING:
        raise errors.InputError(
            f'{path} has a vocabulary of {size}, not that of GPT-2; give the tokenizer '
            'that it was trained with as --tokenizer=FOLDER.'
        )
    return Imported(
        model=found.model,
        parameters=found.parameters,
        tokenizer=own or tokenizer or 'gpt2',
        step=found.step,
        origin=path.name,
        facts={
            'imported from': f'{path.name}, {found.trainer}',
            'training': f'step {found.step}',
        },
        notes=found.notes,
    )


def grown(path: str, *, tokens: Sequence[str]) -> Imported:
    """A whole model with more tokens: a new row is the mean of those of its pieces.

    `path` is a Hugging Face folder, a hub name or a run.

    Raises:
      InputError: there is no such model, or a token is one of its own.
    """
    base = restore.load_base(path)
    source = origin.find_source(path)
    before = text.load_tokenizer(source.tokenizer)
    after = text.with_tokens(before, tokens)
    pieces = before.encode(list(tokens))
    parameters = dict(base.parameters)
    for name in ('wte.embedding', 'lm_head.embedding'):
        if name in parameters:
            table = parameters[name][: before.vocab_size]
            rows = [table[ids].mean(0) for ids in pieces]
            parameters[name] = np.concatenate([table, np.stack(rows)])
    return Imported(
        model=dataclasses.replace(base.model, vocab_size=after.vocab_size),
        parameters=parameters,
        tokenizer=after,
        origin=source.path.name,
        facts={
            'imported from': f'{source.path.name}, with {len(tokens)} tokens added',
            'tokens added': ', '.join(map(repr, tokens)),
        },
        notes=[],
    )


def _base_in_words(name: str) -> str:
    """An adapter names a folder by its last part alone, wherever it lies."""
    return f'a folder named {name[2:]}' if name.startswith('./') else name


def peft(folder: pathlib.Path, *, base: str, tokenizer: str) -> Imported:
    """Reads an adapter folder and the model that `base` names.

    Raises:
      InputError: the adapter was trained on another base.
    """
    own = restore.load_base(base)
    found = peft_adapter.read(folder, own.model)
    if found.base_hash and found.base_hash != own.hash:
        raise errors.InputError(
            f'{base} is not the base of {folder}: its parameters hash to '
            f'{own.hash[:16]}, the adapter says {found.base_hash[:16]} '
            f'({_base_in_words(found.base_name)}); give that one as --base.'
        )
    table = 'wte' if own.model.tie_embeddings else 'lm_head'
    own_head = own.parameters[f'{table}.embedding']
    if found.head is not None and not np.array_equal(found.head, own_head):
        raise errors.InputError(
            f'{folder} stores a head that is not that of {base}: the adapter '
            f'was trained on another model ({_base_in_words(found.base_name)}); give '
            'that as --base.'
        )
    notes = []
    if not found.base_hash:
        notes.append(
            f'the adapter has no hash of its base ({found.base_name or "not named"}), '
            f'so nothing shows that it was trained on {base}'
        )
    source = origin.find_source(base)
    name = model_card.short_name(base, is_run=source.is_run)
    return Imported(
        model=own.model,
        parameters=found.parameters,
        settings=found.settings,
        base=own,
        tokenizer=tokenizer or source.tokenizer,
        origin=folder.name,
        facts={
            'imported from': f'{folder.name}, an adapter of peft',
            'base': f'{name} (its parameters hash to {own.hash})',
        },
        notes=notes,
    )


def write(found: Imported, output: pathlib.Path, *, format: str) -> list[str]:
    """Writes a Hugging Face folder ('hf') or a run ('run'), whole or not at all.

    The folder is read back and compared. Returns notes for the user.

    Raises:
      InputError: the tokenizer is not the model's, or `output` can't be made.
      MismatchError: other parameters were read back than written.
    """
    tokenizer = _load_tokenizer(found)
    with files.new_folder(output) as new:
        if format == 'run':
            return _write_run(new, found, tokenizer)
        parameters = found.parameters
        if found.base is not None:
            parameters = lora_merge.merge(
                found.base.parameters, parameters, found.settings
            )
        model = lora_merge.merged_model(found.model, found.settings)
        return _write_hugging_face(new, model, parameters, tokenizer, found)


def _load_tokenizer(found: Imported) -> text.Tokenizer:
    """The tokenizer, if it can be the model's."""
    tokenizer = found.tokenizer
    if isinstance(tokenizer, str):
        try:
            tokenizer = text.load_tokenizer(tokenizer)
        except errors.InputError as error:
            raise errors.InputError(
                f'the tokenizer of the model: {error}\nGive the folder of the one that '
                'it was trained with as --tokenizer=FOLDER.'
            ) from error
    if not 0 <= found.model.vocab_size - tokenizer.vocab_size < origin.VOCAB_PADDING:
        raise errors.InputError(
            f'the tokenizer {found.tokenizer} has {tokenizer.vocab_size} ids, the '
            f'model {found.model.vocab_size}; give the one that it was trained with as '
            '--tokenizer=FOLDER.'
        )
    return tokenizer


def _write_run(
    new: pathlib.Path, found: Imported, tokenizer: text.Tokenizer
) -> list[str]:
    """Fills the folder with a run, and reads it back; returns notes."""
    notes = []
    if found.own_base:
        own = new / run_folder.OWN_BASE
        own.mkdir()
        beside = 'beside it: this is the base'
        notes = _write_hugging_face(
            own, found.model, found.base.parameters, tokenizer, found, adapter=beside
        )
    origin.write_imported(
        new,
        model=found.model,
        lora_settings=found.settings,
        parameters=found.parameters,
        base=found.base,
        tokenizer=tokenizer,
        step=found.step,
        origin=found.origin,
    )
    pretrained.require_same(restore.parts(str(new)).parameters, found.parameters)
    return notes


def _write_hugging_face(
    folder: pathlib.Path,
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    found: Imported,
    *,
    adapter: str = 'merged',
) -> list[str]:
    """Writes the folder, and reads it back; returns notes. The card says `adapter`."""
    facts = dict(found.facts)
    if found.settings.rank:
        facts['LoRA'] = f'{model_card.lora_in_words(found.settings)}, {adapter}'
    if found.notes:
        facts['notes'] = '; '.join(found.notes)
    card = model_card.make(
        f'{found.origin}, taken over by hax_jax', facts, n_positions=model.n_positions
    )
    notes = hf_folder.write(folder, model, parameters, tokenizer, card=card)
    again = hf_folder.read_parameters(folder, hf_folder.read_model_config(folder))
    pretrained.require_same(again, parameters)
    return notes
