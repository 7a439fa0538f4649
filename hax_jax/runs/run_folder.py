"""A run's folder: its files, its identity, and the model that it holds.

config.json       the config with all overrides, its sizes resolved
run.json          the run's identity: model, tokenizer, template, data, base, LoRA;
                  sealed, with the digests of config.json and of the tokenizer's files
tokenizer/        the tokenizer's files
checkpoints/      by step, each with its digests (saved_steps.py)
metrics.jsonl     losses, rates and evaluations by step
bad_steps.jsonl   steps that went wrong, with their rows and pairs
validation_scores.json  the best step's loss of each validation pair, to compare runs
samples.jsonl     answers to a few questions of the validation split, by step
base/             the base of an imported adapter, where no other copy of it is known
damaged/          checkpoints that a resumed run passed over
old-1/            an earlier run, moved aside

run.json comes with the first checkpoint that is whole: until then `unsaved` says that
nothing here is of worth, and the same command begins again; it holds the config too.
"""

import functools
import json
import pathlib
import re
import shutil
import sys
import uuid
from typing import Any

from hax_jax import digests, errors, files, local_copy, near_names, places
from hax_jax.config import convert, schema
from hax_jax.data import dataset_folder, text

SCHEMA = 2
_WITHOUT_DIGESTS = 1  # an older schema, whose runs have no digests
UNSAVED = 'unsaved'
_UNSAVED = 'No step is saved here yet: the command that began begins again.\n'
DAMAGED = 'damaged'
CHECKPOINTS = 'checkpoints'
TOKENIZER = 'tokenizer'
OWN_BASE = 'base'


def none_whole(folder: pathlib.Path, passed_over: list[str]) -> str:
    """What to say of a run without a whole checkpoint; `passed_over` has its damage."""
    return '\n'.join(
        [
            f'{folder} has no checkpoint that is whole:',
            *passed_over,
            f'Copy one from a backup into {folder / CHECKPOINTS}.',
        ]
    )


def split_step(given: str) -> tuple[str, int | None]:
    """'runs/a@200' -> ('runs/a', 200), unless a folder has that whole name."""
    match = re.fullmatch(r'(.+)@(\d+)', given)
    if match is None or places.path(given).exists():
        return given, None
    return match[1], int(match[2])


def new_id() -> str:
    """A name for a run that no other run has."""
    return uuid.uuid4().hex


def model_config(run: dict[str, Any]) -> schema.ModelConfig:
    """The model in a run.json: as it is trained, its vocabulary perhaps padded."""
    return schema.ModelConfig(**run['model'])


def lora_config(run: dict[str, Any]) -> schema.LoraConfig:
    """The LoRA settings in a run.json."""
    return schema.LoraConfig(
        **{**run['lora'], 'targets': tuple(run['lora']['targets'])}
    )


def read_run(folder: pathlib.Path, *, takes_step: bool = True) -> dict[str, Any]:
    """A run's run.json, after a look at its own bytes and the tokenizer's.

    `takes_step`: whether the program that asks can be given one step of a run.

    Raises:
      InputError: `folder` is no run, or one of these files is damaged.
    """
    places.check(folder)
    named, _, step = folder.name.rpartition('@')
    whole = folder.with_name(named) if named and not folder.exists() else None
    if whole and not step.isdecimal() and (whole / 'run.json').exists():
        raise errors.InputError(
            f'{folder} is not a run: {whole} is one, and {step!r} is no step of it; a '
            'step is a whole number.'
        )
    if whole and step.isdecimal():
        raise errors.InputError(
            f'{folder} is not a run: the folder is {whole}; '
            + (
                f'name its step apart, as --step={step} (step={step} in Python).'
                if takes_step
                else f'this program looks at a whole run: give --workdir={whole}.'
            )
        )
    run = _read_json(folder / 'run.json')
    if run.get('schema') == _WITHOUT_DIGESTS and not run.keys() & {'id', digests.SEAL}:
        _warn_of_no_digests(folder)
        return {**run, 'id': ''}
    if 'schema' not in run:
        raise _damaged(folder / 'run.json', 'it has no schema')
    if run['schema'] != SCHEMA:
        raise errors.InputError(
            f'{folder}/run.json has schema {run["schema"]}, this version reads '
            f'{_WITHOUT_DIGESTS} and {SCHEMA}; use the version that wrote it.'
        )
    if not digests.is_sealed(run):
        raise _damaged(folder / 'run.json', 'its contents are not what was written')
    problems = digests.problems(folder / TOKENIZER, run['tokenizer_files'])
    if problems:
        raise _damaged(folder / TOKENIZER, '; '.join(problems))
    return run


def read_config(folder: pathlib.Path) -> schema.Config:
    """A run's config.json.

    Raises:
      InputError: `folder` is no run, or the file is damaged.
    """
    path = folder / 'config.json'
    expected = read_run(folder).get('config')
    config = _read_json(path)
    if expected and digests.of_file(path) not in expected:
        raise _damaged(path, 'its contents are not what was written')
    return convert.from_dict(config)


def mark_unsaved(folder: pathlib.Path, config: schema.Config) -> None:
    """Says that a run has begun in the folder, and has no checkpoint yet."""
    text = files.json_text(convert.to_dict(config))
    files.write_text(folder / UNSAVED, _UNSAVED + text)


def read_unsaved(folder: pathlib.Path) -> schema.Config | None:
    """The config of a run without a checkpoint; None where there is no such run."""
    try:
        said = (folder / UNSAVED).read_text(encoding='utf-8')
        return convert.from_dict(json.loads(said.removeprefix(_UNSAVED)))
    except (OSError, ValueError):  # of an older version it has no config
        return None


def load_tokenizer(folder: pathlib.Path, run: dict[str, Any]) -> text.Tokenizer:
    """The tokenizer of the run that `read_run` returned.

    Raises:
      InputError: it is not the one that the run was trained with.
    """
    tokenizer = text.load_tokenizer(str(folder / TOKENIZER))
    if tokenizer.fingerprint != run['tokenizer']:
        raise _damaged(folder / TOKENIZER, 'it is not the tokenizer of run.json')
    return tokenizer


def write(folder: pathlib.Path, run: schema.Config, identity: dict[str, Any]) -> None:
    """Writes run.json, which makes the folder a run, and config.json.

    The tokenizer's files are there already. A kill between the two leaves the old
    config.json, so run.json vouches for that one too.
    """
    path = folder / 'config.json'
    text = files.json_text(convert.to_dict(run))
    accepted = [digests.of_bytes(text.encode())]
    if path.exists():
        accepted.append(digests.of_file(path))
    run_json = {
        **identity,
        'config': accepted,
        'tokenizer_files': digests.of_folder(folder / TOKENIZER),
    }
    files.write_json(folder / 'run.json', digests.sealed(run_json))
    files.write_text(path, text)


def has_tokenizer(folder: pathlib.Path, source: pathlib.Path) -> bool:
    """Whether a run's folder has a tokenizer's files; at gs://, all, byte for byte.

    A copy to gs:// that a kill cut short leaves some of them.
    """
    if not places.is_remote(folder):
        return (folder / TOKENIZER).exists()
    expected = digests.of_folder(source)
    return not digests.problems(folder / TOKENIZER, expected)


def copy_tokenizer(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies a tokenizer's files into a run's folder, whole or not at all."""
    with files.new_folder(folder / TOKENIZER, replace=True) as new:
        shutil.copytree(local_copy.folder(source), new, dirs_exist_ok=True)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    if '\0' in str(path):
        raise errors.InputError(f'{str(path.parent)!r} holds a zero byte: no path has.')
    try:
        return files.read_json_object(path)
    except FileNotFoundError as error:
        raise errors.InputError(_no_run(path)) from error
    except OSError as error:
        raise errors.InputError(
            f'{path.parent} is not a run of launch.train ({errors.cause(error)}); give '
            'its --workdir.'
        ) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _no_run(path: pathlib.Path) -> str:
    """Why a folder without the file at `path` is no run."""
    folder = path.parent
    if (folder / UNSAVED).exists():
        return f'{folder} has no checkpoint yet; let launch.train reach one.'
    if (folder / CHECKPOINTS).exists() or (folder / 'run.json').exists():
        return (
            f'{folder} is a run whose {path.name} is missing; copy it from a backup. '
            'Nothing of the run is used without it.'
        )
    why = f'it has no {path.name}'
    if not folder.exists():
        why = 'it does not exist'
    elif (folder / dataset_folder.MANIFEST).exists():
        why = 'it is a dataset, which data.path names'
    near = near_names.meant(folder)
    return (
        f'{folder} is not a run of launch.train: {why}. Give the --workdir of a run.'
        f'{near}'
    )


def _damaged(path: pathlib.Path, why: str) -> errors.InputError:
    return errors.InputError(
        f'{path} is damaged: {why}. The checkpoints may be whole: copy it from a '
        'backup, or train anew with --restart, which moves the old files aside.'
    )


@functools.cache
def _warn_of_no_digests(folder: pathlib.Path) -> None:
    print(
        f'warning: {folder} is of an older version, which kept no digests: its files '
        'are taken as they are. Going on with the run adds them.',
        file=sys.stderr,
        flush=True,
    )
