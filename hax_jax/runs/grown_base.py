"""The base of a run whose config adds tokens: grown once, beside the dataset.

`tokenizer.add_tokens` with `model.pretrained` means the model in `<data>/grown/<key>/`,
a Hugging Face folder: the pretrained one with a row more for each token. The key
follows from the base's parameters, its tokenizer and the tokens. From there on the
folder is the run's base: an adapter on it has its rows, and finds it again.
"""

import dataclasses
import pathlib
import shlex

from hax_jax import errors, files, local_copy
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.runs import import_model, origin, packed_rows, restore


def make(run: schema.Config) -> schema.Config:
    """The run on its grown base, which is made where it is missing.

    A run that adds no tokens, or has no base, is as it was.

    Raises:
      InputError: there is no such base, or a token can't be added.
    """
    if not _is_asked(run):
        return run
    folder = _folder(run)
    with files.locked(folder.with_suffix('.lock'), wait=True):
        if not folder.exists():
            tokens = run.tokenizer.add_tokens
            print(
                f'adding {len(tokens)} tokens to {run.model.pretrained}: {folder}',
                flush=True,
            )
            if run.lora.rank:
                print(
                    'note: LoRA does not train their rows, which stay the means of '
                    'their pieces; train the model in full first to change that',
                    flush=True,
                )
            found = import_model.grown(run.model.pretrained, tokens=tokens)
            import_model.write(found, folder, format='hf')
    return _on(run, folder)


def find(run: schema.Config) -> schema.Config:
    """As `make`, of a base that was grown before.

    Raises:
      InputError: it was not; names the command that makes it.
    """
    if not _is_asked(run):
        return run
    folder = _folder(run)
    if not folder.is_dir():
        command = shlex.join(['hax', *packed_rows.pack_arguments(run)])
        raise errors.InputError(
            f'{run.model.pretrained} has no rows for tokenizer.add_tokens yet: '
            f'{folder} is missing. Make it, and the packed rows, with: {command}'
        )
    return _on(run, folder)


def _is_asked(run: schema.Config) -> bool:
    return bool(run.tokenizer.add_tokens and run.model.pretrained)


def _folder(run: schema.Config) -> pathlib.Path:
    tokenizer = text.load_tokenizer(origin.find_source(run.model.pretrained).tokenizer)
    made_from = {
        'base': restore.load_base(run.model.pretrained).hash,
        'tokenizer': tokenizer.fingerprint,
        'tokens': list(run.tokenizer.add_tokens),
    }
    key = records.sha256(made_from)[:16]
    return local_copy.folder(run.data.path) / 'grown' / key


def _on(run: schema.Config, folder: pathlib.Path) -> schema.Config:
    return dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, pretrained=str(folder)),
        tokenizer=dataclasses.replace(run.tokenizer, add_tokens=()),
    )
