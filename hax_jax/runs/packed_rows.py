"""The rows of a config's dataset, where they are packed; else the command to type."""

import functools
import pathlib
import shlex
from collections.abc import Callable, Sequence

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import dataset_folder, text
from hax_jax.runs import run_folder

# Files that give `hax pack` a draft; each field that rows depend on is then set.
_FILES = {'pretrained': 'gpt2_full', 'from scratch': 'scratch_small'}
_DATA = ('path', 'seq_len', 'question_weight', 'long_answers')
_TRAIN = 'train'  # tokenizer.path: a tokenizer that is trained on the dataset


def find(run: schema.Config, tokenizer_path: str) -> pathlib.Path:
    """The folder of the packed rows that a run reads; sizes are resolved.

    `tokenizer_path` is where its tokenizer lies, or 'train'.

    Raises:
      InputError: there is no dataset, or it was not packed for this config; names the
        command that packs it.
    """
    command = f'Pack it with: {shlex.join(["hax", *pack_arguments(run)])}'
    if tokenizer_path == _TRAIN:
        folder, _ = dataset_folder.tokenizer_of(run.data, run.tokenizer)
        if not folder.is_dir():
            raise errors.InputError(
                f'{run.data.path} has no tokenizer of {run.tokenizer.vocab_size} ids '
                f'({run.tokenizer.model_type}) yet: {folder} is missing. {command}'
            )
        tokenizer_path = str(folder)
    tokenizer = text.load_tokenizer(tokenizer_path)
    tokenizer = text.with_tokens(tokenizer, run.tokenizer.add_tokens)
    return dataset_folder.packed(run.data, tokenizer, remedy=command)


def pack_arguments(run: schema.Config) -> list[str]:
    """The words of `hax pack ...`, with every field that a run's rows depend on."""
    fields = {f'data.{name}': getattr(run.data, name) for name in _DATA}
    file, fields['tokenizer.path'] = _FILES['from scratch'], run.tokenizer.path
    if run.model.pretrained:
        file, fields['model.pretrained'] = _FILES['pretrained'], run.model.pretrained
    else:
        fields['model.n_positions'] = run.model.n_positions
    if run.tokenizer.path == _TRAIN:
        fields['tokenizer.vocab_size'] = run.tokenizer.vocab_size
        fields['tokenizer.model_type'] = run.tokenizer.model_type
    if run.tokenizer.add_tokens:
        fields['tokenizer.add_tokens'] = ','.join(run.tokenizer.add_tokens)
    flags = [f'--config.{name}={value}' for name, value in fields.items()]
    return ['pack', f'--config={file}', *flags]


def for_models(
    models: Sequence[str], data: str, seq_len: int
) -> Callable[[schema.DataConfig, text.Tokenizer], pathlib.Path]:
    """A function of (data, tokenizer) that gives the rows' folder, to score models on.

    Where there is none, its InputError names the `hax evaluate` that packs them.
    """
    flags = []
    for given in models:
        path, step = run_folder.split_step(given)
        is_run = (pathlib.Path(path) / 'run.json').exists()
        flags.append(f'--workdir={path}' if is_run else f'--pretrained={path}')
        flags += [f'--step={step}'] * (step is not None)
    flags += [f'--data={data}'] * bool(data) + [f'--seq_len={seq_len}'] * bool(seq_len)
    command = shlex.join(['hax', 'evaluate', *flags])
    return functools.partial(dataset_folder.packed, remedy=f'This packs it: {command}')
