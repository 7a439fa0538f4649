"""Reads an old `.pt` file, or an adapter of peft, for launch.import_checkpoint."""

import dataclasses
import json
import pathlib

import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import model_card, old_checkpoint, peft_adapter, pretrained
from hax_jax.runs import restore, run_folder

_GPT2_VOCAB = 50257
_VOCAB_PADDING = 128  # a table may be padded up to a multiple of this


@dataclasses.dataclass(frozen=True)
class Imported:
    """A model's `parameters`, or those of an adapter that stands on `base`.

    `own_base`: the base is in no other file that hax_jax reads.
    """

    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    settings: schema.LoraConfig
    base: pretrained.Base | None
    own_base: bool
    tokenizer: str
    step: int
    origin: str
    facts: dict[str, str]
    notes: list[str]


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
        notes=found.notes,
    )


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
            f'({found.base_name}); give that one as --base.'
        )
    table = 'wte' if own.model.tie_embeddings else 'lm_head'
    own_head = own.parameters[f'{table}.embedding']
    if found.head is not None and not np.array_equal(found.head, own_head):
        raise errors.InputError(
            f'{folder} stores a head that is not that of {base}: the adapter '
            f'was trained on another model ({found.base_name}); give that as --base.'
        )
    notes = []
    if not found.base_hash:
        notes.append(
            f'the adapter has no hash of its base ({found.base_name or "not named"}), '
            f'so nothing shows that it was trained on {base}'
        )
    source = run_folder.find_source(base)
    name = model_card.short_name(base, is_run=source.is_run)
    return Imported(
        model=own.model,
        parameters=found.parameters,
        settings=found.settings,
        base=own,
        own_base=False,
        tokenizer=tokenizer or source.tokenizer,
        step=0,
        origin=folder.name,
        facts={
            'imported from': f'{folder.name}, an adapter of peft',
            'base': f'{name} (its parameters hash to {own.hash})',
        },
        notes=notes,
    )


def load_tokenizer(found: Imported) -> text.Tokenizer:
    """The tokenizer, if it can be the model's."""
    tokenizer = text.load_tokenizer(found.tokenizer)
    if not 0 <= found.model.vocab_size - tokenizer.vocab_size < _VOCAB_PADDING:
        raise errors.InputError(
            f'the tokenizer {found.tokenizer} has {tokenizer.vocab_size} ids, the '
            f'model {found.model.vocab_size}; give the one that it was trained with as '
            '--tokenizer=FOLDER.'
        )
    return tokenizer
