"""Takes over what others trained: a checkpoint, a model in one file, an adapter.

    python -m launch.import_checkpoint old.pt --output=models/old
    python -m launch.import_checkpoint lora.pt --alpha=32 --output=runs/old --format=run
    python -m launch.import_checkpoint adapter_folder --base=gpt2 --output=models/peft
    python -m launch.import_checkpoint out/ckpt.pt --output=models/nanogpt
    python -m launch.import_checkpoint gpt2_124M.bin --output=models/llm_c
    python -m launch.import_checkpoint model.gguf --output=models/llama_cpp
    python -m launch.import_checkpoint models/124M --output=models/gpt2
    python -m launch.import_checkpoint gpt2_folder --add_tokens='<A>,<B>' --output=...
    python -m launch.import_checkpoint weights.pt --model_config=folder --output=...

A file is of the old project, of nanoGPT, of llm.c or of llama.cpp, by its content; or
tensors alone, whose model a config.json of Hugging Face describes. A folder is peft's
adapter, or OpenAI's own GPT-2 with its hparams.json. With --add_tokens a
whole model, a folder of Hugging Face or a run, gets more tokens.

The output is a Hugging Face folder, adapters merged, which config.model.pretrained and
transformers take; or, with --format=run, a run that launch.train goes on with. It is
read back and compared before it gets its name, so it is written whole or not at all.
"""

from __future__ import annotations

import pathlib
import shlex

from absl import flags

from hax_jax import errors, near_names
from hax_jax.config import schema
from hax_jax.program import entry, later, output_file, results

with later.imports():
    from hax_jax.devices import runtime
    from hax_jax.formats import other_trainers, peft_config
    from hax_jax.runs import import_model, run_folder

_LONG = 1024  # data.seq_len of the configs of GPT-2
_OUTPUT = flags.DEFINE_string('output', '', 'The folder to make; it must not exist.')
_FORMAT = flags.DEFINE_string(
    'format', 'hf', 'hf: a Hugging Face folder. run: a run for launch.train.'
)
_ALPHA = flags.DEFINE_float(
    'alpha', None, 'alpha of LoRA in training, for a .pt file that does not have it.'
)
_N_HEAD = flags.DEFINE_integer(
    'n_head', None, 'Attention heads, for a .pt file that does not have them.'
)
_MODEL_CONFIG = flags.DEFINE_string(
    'model_config', '', 'The config.json, or its folder, of a file of tensors alone.'
)
_ADD_TOKENS = flags.DEFINE_list(
    'add_tokens', [], 'Tokens that a whole model gets: <NAME>,<PLACE>.'
)
_TOKENIZER = flags.DEFINE_string(
    'tokenizer', '', "Folder or hub name; '' is gpt2, or the tokenizer of --base."
)
_BASE = flags.DEFINE_string(
    'base', '', 'Folder, hub name or run that an adapter was trained on.'
)


def main(arguments: list[str]) -> int:
    path, output = _checked(arguments)
    runtime.start()
    if _ADD_TOKENS.value:
        found = import_model.grown(str(path), tokens=_ADD_TOKENS.value)
    elif (path / peft_config.FILE).exists():
        found = import_model.peft(path, base=_BASE.value, tokenizer=_TOKENIZER.value)
    else:
        found = import_model.file(
            path,
            alpha=_ALPHA.value,
            n_head=_N_HEAD.value,
            tokenizer=_TOKENIZER.value,
            model_config=_MODEL_CONFIG.value,
            own_base=output / run_folder.OWN_BASE,
        )
    notes = import_model.write(found, output, format=_FORMAT.value)
    for note in found.notes + notes:
        print(f'note: {note}')
    results.give({'output': output, 'step': found.step, 'notes': found.notes + notes})
    print(f'wrote {output}\nnext: {_next(found, output)}')
    return 0


def _checked(arguments: list[str]) -> tuple[pathlib.Path, pathlib.Path]:
    """(the input, the folder to make).

    Raises:
      InputError: names every flag that is wrong or does not go with the input.
    """
    problems = []
    if len(arguments) != 1:
        raise errors.InputError(
            f'{len(arguments)} inputs are given ({", ".join(arguments) or "none"}); '
            'give one file of a model, or one folder that peft saved.'
        )
    path = pathlib.Path(arguments[0]).expanduser()
    output = pathlib.Path(_OUTPUT.value).expanduser()
    if not _OUTPUT.value:
        problems.append('--output is missing; give the folder to make.')
    else:
        problems += output_file.new_folder('output', output)
    if _FORMAT.value not in schema.IMPORT_FORMATS:
        problems.append(
            f'--format={_FORMAT.value!r} is not accepted; use one of '
            f'{", ".join(schema.IMPORT_FORMATS)}.'
        )
    errors.refuse(problems + _input_problems(path))
    return path, output


def _input_problems(path: pathlib.Path) -> list[str]:
    """A sentence for each reason why the input, or a flag for it, is wrong."""
    problems = []
    if not path.exists():
        problems.append(
            f'{path} does not exist; give the file of a model, or a folder of peft.'
            + near_names.meant(path)
        )
    elif _ADD_TOKENS.value:
        if not path.is_dir() or (path / peft_config.FILE).exists():
            problems.append(
                f'--add_tokens is for the folder of a whole model, and {path} is none; '
                'import it first.'
            )
    elif (path / 'run.json').exists():
        problems.append(
            f'{path} is a run of launch.train, which is not imported: give it as '
            f'model.pretrained, to train from it, as --workdir={path} to launch.sample '
            'and launch.export, or here with --add_tokens=..., to grow it.'
        )
    elif path.is_dir() and not (
        other_trainers.is_openai(path) or (path / peft_config.FILE).exists()
    ):
        problems.append(
            f'{path} has no {peft_config.FILE}, so it is no adapter of peft, and no '
            f"{other_trainers.HPARAMS}, so it is not OpenAI's; a whole model of "
            'Hugging Face is not imported: give it as model.pretrained (or '
            '--add_tokens=... beside it, to grow it).'
        )
    elif (path / peft_config.FILE).exists():
        if not _BASE.value:
            problems.append(
                f'{path} is the folder of an adapter; give the model that it was '
                'trained on as --base=FOLDER (Hugging Face, a hub name, or a run).'
            )
        problems += [
            f'--{name} applies only to .pt files; {path} and its base already define '
            'it. Remove the flag.'
            for name, flag in (('alpha', _ALPHA), ('n_head', _N_HEAD))
            if flag.value is not None
        ]
    elif _BASE.value:
        problems.append(
            f'--base={_BASE.value} applies only to an adapter folder of peft; {path} '
            'is a file, which holds its base. Remove the flag.'
        )
    return problems


def _next(found: import_model.Imported, output: pathlib.Path) -> str:
    """The command that goes on with what was written."""
    name = (
        'gpt2_lora' if found.settings.rank and _FORMAT.value == 'run' else 'gpt2_full'
    )
    command = [f'python -m launch.train --config=configs/{name}.py']
    last = ['--config.data.path=...']
    if found.model.n_positions < _LONG:
        last.insert(0, f'--config.data.seq_len={found.model.n_positions}')
    if _FORMAT.value == 'hf':
        command += [
            f'--config.model.pretrained={shlex.quote(str(output))}',
            '--workdir=...',
        ]
        return ' '.join([*command, *last])
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
    ]
    return ' '.join([*command, *last])


if __name__ == '__main__':
    entry.run(
        main,
        positional=True,
        smaller='use a machine with more memory',
        in_one_process=True,
    )
