"""Takes over a checkpoint of the old project, or an adapter that peft trained.

    python -m launch.import_checkpoint old.pt --output=models/old
    python -m launch.import_checkpoint lora.pt --alpha=32 --output=runs/old --format=run
    python -m launch.import_checkpoint adapter_folder --base=gpt2 --output=models/peft

The output is a Hugging Face folder, adapters merged, which config.model.pretrained and
transformers take; or, with --format=run, a run that launch.train goes on with. It is
read back and compared before it gets its name: written whole or not at all.
"""

import dataclasses
import json
import os
import pathlib
import shlex

import numpy as np
from absl import flags

from data_pipeline import program
from hax_jax import (
    config,
    export,
    files,
    lora,
    model_card,
    old_checkpoint,
    peft_adapter,
    pretrained,
    restore,
    runs,
    runtime,
    text,
)

_OUTPUT = flags.DEFINE_string('output', '', 'The folder to make; it must not exist.')
_FORMAT = flags.DEFINE_string(
    'format', 'hf', 'hf: a Hugging Face folder. run: a run for launch.train.'
)
_ALPHA = flags.DEFINE_float(
    'alpha', None, 'alpha of LoRA in training, where a .pt file does not say it.'
)
_N_HEAD = flags.DEFINE_integer(
    'n_head', None, 'Attention heads, where a .pt file does not say them.'
)
_TOKENIZER = flags.DEFINE_string(
    'tokenizer', '', "Folder or hub name; '' is gpt2, or what lies in --base."
)
_BASE = flags.DEFINE_string(
    'base', '', 'Of an adapter: folder, hub name or run that it was trained on.'
)
_FORMATS = ('hf', 'run')
_GPT2_VOCAB = 50257
_VOCAB_PADDING = 128  # a table may be padded up to a multiple of this


@dataclasses.dataclass(frozen=True)
class Imported:
    """What was read: all `parameters`, or those of an `adapter` and its `base`.

    `own_base` says that the base is in no other file that hax_jax reads.
    """

    model: config.ModelConfig
    parameters: dict[str, np.ndarray]
    settings: config.LoraConfig
    base: pretrained.Base | None
    own_base: bool
    tokenizer: str
    step: int
    origin: str
    facts: dict[str, str]
    notes: list[str]


def main(arguments: list[str]) -> int:
    path, output = _checked(arguments)
    runtime.start()
    found = _peft(path) if path.is_dir() else _old(path, output)
    tokenizer = _tokenizer(found)
    with files.new_folder(output) as new:
        if _FORMAT.value == 'hf':
            notes = _write_merged(new, found, tokenizer)
        else:
            notes = _write_run(new, found, tokenizer)
    for note in found.notes + notes:
        print(f'note: {note}')
    print(f'wrote {output}\nnext: {_next(found, output)}')
    return 0


def _checked(arguments: list[str]) -> tuple[pathlib.Path, pathlib.Path]:
    """(what to read, the folder to make). Raises InputError, naming all that is wrong.

    Which flags go with which kind of input is part of it.
    """
    problems = []
    if len(arguments) != 1:
        raise config.InputError(
            f'{len(arguments)} inputs are given ({", ".join(arguments) or "none"}); '
            'give one .pt file of the old project, or one folder that peft saved.'
        )
    path = pathlib.Path(arguments[0]).expanduser()
    output = pathlib.Path(_OUTPUT.value).expanduser()
    if not _OUTPUT.value:
        problems.append('--output is missing; give the folder to make.')
    else:
        problems += export.output_problems(output)
    if _FORMAT.value not in _FORMATS:
        problems.append(
            f'--format={_FORMAT.value!r} is not accepted; use one of '
            f'{", ".join(_FORMATS)}.'
        )
    if not path.exists():
        problems.append(f'{path} does not exist; give a .pt file or a folder of peft.')
    elif path.is_dir() and not (path / peft_adapter.CONFIG).exists():
        problems.append(
            f'{path} has no {peft_adapter.CONFIG}, so it is no adapter of peft; a '
            'whole model is not imported: give it as model.pretrained.'
        )
    elif path.is_dir():
        if not _BASE.value:
            problems.append(
                f'{path} is a folder, of an adapter alone; give the model that it was '
                'trained on as --base=FOLDER (Hugging Face, a hub name, or a run).'
            )
        problems += [
            f'--{name} is for a .pt file; {path} and its base say it: leave it out.'
            for name, flag in (('alpha', _ALPHA), ('n_head', _N_HEAD))
            if flag.value is not None
        ]
    elif _BASE.value:
        problems.append(
            f'--base={_BASE.value} is for the adapter folder that peft saved; {path} '
            'is none, and a .pt file holds its base: leave --base out.'
        )
    if problems:
        raise config.InputError('\n'.join(problems))
    return path, output


def _old(path: pathlib.Path, output: pathlib.Path) -> Imported:
    """What a .pt file holds."""
    found = old_checkpoint.read(str(path), alpha=_ALPHA.value, n_head=_N_HEAD.value)
    if not _TOKENIZER.value and found.model.vocab_size != _GPT2_VOCAB:
        raise config.InputError(
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
            path=str(output / runs.OWN_BASE),
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
        tokenizer=_TOKENIZER.value or 'gpt2',
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


def _peft(folder: pathlib.Path) -> Imported:
    """What an adapter folder holds, and the base that --base names.

    Raises:
      InputError: the base shows not to be the adapter's own.
    """
    base = restore.load_base(_BASE.value)
    found = peft_adapter.read(folder, base.model)
    if found.base_hash and found.base_hash != base.hash:
        raise config.InputError(
            f'{_BASE.value} is not the base of {folder}: its parameters hash to '
            f'{base.hash[:16]}, the adapter says {found.base_hash[:16]} '
            f'({found.base_name}); give that one as --base.'
        )
    table = 'wte' if base.model.tie_embeddings else 'lm_head'
    own_head = base.parameters[f'{table}.embedding']
    if found.head is not None and not np.array_equal(found.head, own_head):
        raise config.InputError(
            f'{folder} stores a head that is not that of {_BASE.value}: the adapter '
            f'was trained on another model ({found.base_name}); give that as --base.'
        )
    notes = []
    if not found.base_hash:
        notes.append(
            f'the adapter has no hash of its base ({found.base_name or "not named"}): '
            f'that it is {_BASE.value} is taken on your word'
        )
    source = runs.find_source(_BASE.value)
    name = model_card.short_name(_BASE.value, is_run=source.is_run)
    return Imported(
        model=base.model,
        parameters=found.parameters,
        settings=found.settings,
        base=base,
        own_base=False,
        tokenizer=_TOKENIZER.value or source.tokenizer,
        step=0,
        origin=folder.name,
        facts={
            'imported from': f'{folder.name}, an adapter of peft',
            'base': f'{name} (its parameters hash to {base.hash})',
        },
        notes=notes,
    )


def _tokenizer(found: Imported) -> text.Tokenizer:
    """The tokenizer, if it can be the model's."""
    tokenizer = text.load_tokenizer(found.tokenizer)
    if not 0 <= found.model.vocab_size - tokenizer.vocab_size < _VOCAB_PADDING:
        raise config.InputError(
            f'the tokenizer {found.tokenizer} has {tokenizer.vocab_size} ids, the '
            f'model {found.model.vocab_size}; give the one that it was trained with as '
            '--tokenizer=FOLDER.'
        )
    return tokenizer


def _write_merged(
    new: pathlib.Path, found: Imported, tokenizer: text.Tokenizer
) -> list[str]:
    """Fills the folder with the whole model, and reads it back; returns notes."""
    parameters = found.parameters
    if found.base is not None:
        parameters = lora.merge(found.base.parameters, parameters, found.settings)
    model = lora.merged_model(found.model, found.settings)
    return _write_hugging_face(new, model, parameters, tokenizer, found)


def _write_run(
    new: pathlib.Path, found: Imported, tokenizer: text.Tokenizer
) -> list[str]:
    """Fills the folder with a run, and reads it back; returns notes."""
    notes = []
    if found.own_base:
        own = new / runs.OWN_BASE
        own.mkdir()
        parameters = found.base.parameters
        notes = _write_hugging_face(own, found.model, parameters, tokenizer, found)
    runs.write_imported(
        new,
        model=found.model,
        lora_settings=found.settings,
        parameters=found.parameters,
        base=found.base,
        tokenizer=tokenizer,
        step=found.step,
        origin=found.origin,
    )
    _require_same(restore.parts(str(new)).parameters, found.parameters)
    return notes


def _write_hugging_face(
    folder: pathlib.Path,
    model: config.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    found: Imported,
) -> list[str]:
    facts = dict(found.facts)
    if found.settings.rank:
        merged = 'merged' if _FORMAT.value == 'hf' else 'beside it: this is the base'
        facts['LoRA'] = f'{_lora(found.settings)}, {merged}'
    if found.notes:
        facts['notes'] = '; '.join(found.notes)
    card = model_card.make(
        f'{found.origin}, taken over by hax_jax',
        facts,
        max_new_tokens=export.max_new_tokens(model),
    )
    notes = export.write_hugging_face(folder, model, parameters, tokenizer, card=card)
    again = pretrained.load_parameters(folder, pretrained.read_model_config(folder))
    _require_same(again, parameters)
    return notes


def _require_same(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    if pretrained.fingerprint(found) != pretrained.fingerprint(expected):
        raise export.MismatchError('other parameters were read back than written.')


def _lora(settings: config.LoraConfig) -> str:
    kind = 'DoRA' if settings.dora else 'LoRA'
    root = 'sqrt(rank)' if settings.rslora else 'rank'
    return (
        f'{kind} of rank {settings.rank}, alpha {settings.alpha:g}, scaled by alpha / '
        f'{root}, on {", ".join(settings.targets)}'
    )


def _next(found: Imported, output: pathlib.Path) -> str:
    """The command that goes on with what was written."""
    name = (
        'gpt2_lora' if found.settings.rank and _FORMAT.value == 'run' else 'gpt2_full'
    )
    command = [f'python -m launch.train --config=configs/{name}.py']
    if _FORMAT.value == 'hf':
        command += [
            f'--config.model.pretrained={shlex.quote(str(output))}',
            '--workdir=...',
        ]
        return ' '.join([*command, '--config.data.path=...'])
    settings = found.settings
    path = shlex.quote(str(output if found.base is None else found.base.path))
    workdir = shlex.quote(str(output))
    command += [f'--workdir={workdir}', f'--config.model.pretrained={path}']
    if settings.rank:
        command += [
            f'--config.lora.{name}={value}'
            for name, value in (
                ('rank', settings.rank),
                ('alpha', settings.alpha),
                ('rslora', str(settings.rslora).lower()),
                ('dora', str(settings.dora).lower()),
                ('targets', ','.join(settings.targets)),
            )
        ]
    command += [
        '--config.train.num_epochs=0',
        f'--config.train.num_steps={found.step + 1000}',
        '--config.data.path=...',
    ]
    return ' '.join(command)


if __name__ == '__main__':
    # transformers would say at its import that without PyTorch it has no models.
    os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')
    program.run(main, positional=True)
