"""Takes over a checkpoint of the old project, or an adapter that peft trained.

    python -m launch.import_checkpoint old.pt --output=models/old
    python -m launch.import_checkpoint lora.pt --alpha=32 --output=runs/old --format=run
    python -m launch.import_checkpoint adapter_folder --base=gpt2 --output=models/peft

The output is a Hugging Face folder, adapters merged, which config.model.pretrained and
transformers take; or, with --format=run, a run that launch.train goes on with. It is
read back and compared before it gets its name: written whole or not at all.
"""

import os
import pathlib
import shlex

import numpy as np
from absl import flags

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import runtime
from hax_jax.formats import hf_folder, model_card, peft_config, pretrained
from hax_jax.model import lora_merge
from hax_jax.program import entry, output_file
from hax_jax.runs import restore, run_folder
from launch import import_sources

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


def main(arguments: list[str]) -> int:
    path, output = _checked(arguments)
    runtime.start()
    if path.is_dir():
        found = import_sources.peft(path, base=_BASE.value, tokenizer=_TOKENIZER.value)
    else:
        found = import_sources.old(
            path,
            alpha=_ALPHA.value,
            n_head=_N_HEAD.value,
            tokenizer=_TOKENIZER.value,
            own_base=output / run_folder.OWN_BASE,
        )
    tokenizer = import_sources.load_tokenizer(found)
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
        raise errors.InputError(
            f'{len(arguments)} inputs are given ({", ".join(arguments) or "none"}); '
            'give one .pt file of the old project, or one folder that peft saved.'
        )
    path = pathlib.Path(arguments[0]).expanduser()
    output = pathlib.Path(_OUTPUT.value).expanduser()
    if not _OUTPUT.value:
        problems.append('--output is missing; give the folder to make.')
    else:
        problems += output_file.new_folder('output', output)
    if _FORMAT.value not in _FORMATS:
        problems.append(
            f'--format={_FORMAT.value!r} is not accepted; use one of '
            f'{", ".join(_FORMATS)}.'
        )
    if not path.exists():
        problems.append(f'{path} does not exist; give a .pt file or a folder of peft.')
    elif path.is_dir() and not (path / peft_config.FILE).exists():
        problems.append(
            f'{path} has no {peft_config.FILE}, so it is no adapter of peft; a '
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
        raise errors.InputError('\n'.join(problems))
    return path, output


def _write_merged(
    new: pathlib.Path, found: import_sources.Imported, tokenizer: text.Tokenizer
) -> list[str]:
    """Fills the folder with the whole model, and reads it back; returns notes."""
    parameters = found.parameters
    if found.base is not None:
        parameters = lora_merge.merge(found.base.parameters, parameters, found.settings)
    model = lora_merge.merged_model(found.model, found.settings)
    return _write_hugging_face(new, model, parameters, tokenizer, found)


def _write_run(
    new: pathlib.Path, found: import_sources.Imported, tokenizer: text.Tokenizer
) -> list[str]:
    """Fills the folder with a run, and reads it back; returns notes."""
    notes = []
    if found.own_base:
        own = new / run_folder.OWN_BASE
        own.mkdir()
        parameters = found.base.parameters
        notes = _write_hugging_face(own, found.model, parameters, tokenizer, found)
    run_folder.write_imported(
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
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    found: import_sources.Imported,
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
        n_positions=model.n_positions,
    )
    notes = hf_folder.write(folder, model, parameters, tokenizer, card=card)
    again = hf_folder.read_parameters(folder, hf_folder.read_model_config(folder))
    _require_same(again, parameters)
    return notes


def _require_same(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    if pretrained.fingerprint(found) != pretrained.fingerprint(expected):
        raise errors.MismatchError('other parameters were read back than written.')


def _lora(settings: schema.LoraConfig) -> str:
    kind = 'DoRA' if settings.dora else 'LoRA'
    root = 'sqrt(rank)' if settings.rslora else 'rank'
    return (
        f'{kind} of rank {settings.rank}, alpha {settings.alpha:g}, scaled by alpha / '
        f'{root}, on {", ".join(settings.targets)}'
    )


def _next(found: import_sources.Imported, output: pathlib.Path) -> str:
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
    entry.run(main, positional=True)
