"""A run's folder: its files, its identity, and the model that it holds.

config.json       the config with all overrides, its sizes resolved
run.json          the run's identity: model, tokenizer, template, data, base, LoRA;
                  sealed, with the digests of config.json and of the tokenizer's files
tokenizer/        the tokenizer's files
checkpoints/      by step, each with its digests (checkpoint.py)
metrics.jsonl     losses, rates and evaluations by step
bad_steps.jsonl   steps that went wrong, with their rows and pairs
samples.jsonl     answers to a few questions of the validation split, by step
base/             the base of an imported adapter, where no other copy of it is known
damaged/          checkpoints that a resumed run passed over
old-1/            an earlier run, moved aside

run.json comes with the first checkpoint that is whole: until then `unsaved` says that
nothing here is of worth, and the same command begins again.
"""

import dataclasses
import functools
import pathlib
import shutil
import sys
import uuid
from typing import Any

import jax
import numpy as np

from hax_jax import digests, errors, files, local_copy, places
from hax_jax.config import convert, schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, pretrained
from hax_jax.model import lora_merge
from hax_jax.runs import checkpoint

SCHEMA = 2
_WITHOUT_DIGESTS = 1  # an older schema, whose runs have no digests
UNSAVED = 'unsaved'
DAMAGED = 'damaged'
CHECKPOINTS = 'checkpoints'
TOKENIZER = 'tokenizer'
OWN_BASE = 'base'
_VOCAB_PADDING = 128  # a model's table may be padded up to a multiple of this
# The fields of schema.ModelConfig that a pretrained model decides.
SIZES = (
    'n_layer',
    'n_head',
    'n_embd',
    'n_positions',
    'n_inner',
    'vocab_size',
    'activation',
    'layer_norm_epsilon',
    'tie_embeddings',
)


@dataclasses.dataclass(frozen=True)
class Source:
    """The model that `model.pretrained` names, before its weights are read."""

    path: pathlib.Path
    is_run: bool
    model: schema.ModelConfig
    tokenizer: str


def find_source(path: str) -> Source:
    """Looks at a run's workdir, or at a Hugging Face folder or hub name.

    Raises:
      InputError: there is nothing of either kind at `path`.
    """
    folder = places.path(path).expanduser()
    if (folder / 'run.json').is_file():
        run = read_run(folder)
        model = lora_merge.merged_model(model_config(run), lora_config(run))
        model = dataclasses.replace(model, pad_vocab_to_multiple_of=1)
        return Source(folder, True, model, str(folder / TOKENIZER))
    folder = hf_folder.local_folder(path)
    return Source(folder, False, hf_folder.read_model_config(folder), str(folder))


def resolve(run: schema.Config) -> tuple[schema.Config, str]:
    """The config with the pretrained model's sizes in it, and the tokenizer's path.

    Raises:
      InputError: the config asks for sizes that the pretrained model does not have.
    """
    if not run.model.pretrained:
        return run, run.tokenizer.path
    source = find_source(run.model.pretrained)
    defaults = schema.ModelConfig()
    problems, sizes = [], {}
    for name in SIZES:
        given, has = getattr(run.model, name), getattr(source.model, name)
        sizes[name] = has
        if given not in (has, getattr(defaults, name)):
            problems.append(
                f'model.{name}={given!r}, but {run.model.pretrained} has {has!r}; '
                'leave it out of the config.'
            )
    if run.data.seq_len > source.model.n_positions:
        problems.append(
            f'data.seq_len={run.data.seq_len} is over the {source.model.n_positions} '
            f'positions of {run.model.pretrained}; lower it.'
        )
    if problems:
        raise errors.InputError('\n'.join(problems))
    model = dataclasses.replace(run.model, **sizes)
    resolved = dataclasses.replace(run, model=model)
    return resolved, run.tokenizer.path or source.tokenizer


def with_vocab(run: schema.Config, tokenizer: text.Tokenizer) -> schema.Config:
    """The config with `model.vocab_size` known: the tokenizer's, where it is 0.

    Raises:
      InputError: the tokenizer is not the model's.
    """
    has, size = tokenizer.vocab_size, run.model.vocab_size or tokenizer.vocab_size
    problem = ''
    if run.model.pretrained:
        source = find_source(run.model.pretrained)
        trained = read_run(source.path)['tokenizer'] if source.is_run else ''
        if trained and trained != tokenizer.fingerprint:
            problem = f'is not the one in {source.tokenizer}'
        elif not 0 <= size - has < _VOCAB_PADDING:
            problem = f'has {has} ids and {run.model.pretrained} has {size}'
    elif size < has:
        problem = f'has {has} ids and model.vocab_size={size} leaves no room for all'
    if problem:
        raise errors.InputError(
            f'the tokenizer {problem}; use the one that the model was trained with '
            "(tokenizer.path='' takes it), or leave model.vocab_size=0."
        )
    model = dataclasses.replace(run.model, vocab_size=size)
    return dataclasses.replace(run, model=model)


def compute_dtype(run: schema.Config, *, platform: str | None = None) -> str:
    """The run's compute dtype; 'auto' is bfloat16 on accelerators, float32 on a CPU.

    `platform` None is that of this process's devices.
    """
    if run.train.compute_dtype != 'auto':
        return run.train.compute_dtype
    on_cpu = (platform or jax.default_backend()) == 'cpu'
    return 'float32' if on_cpu else 'bfloat16'


def by_worth(steps: list[checkpoint.StepInfo]) -> list[checkpoint.StepInfo]:
    """Steps in the order in which they are taken, if whole.

    The lowest validation loss first, the later of two equal ones; then those that were
    not evaluated, the latest first. Damaged records lead, so that all are spoken of.
    """

    def rank(info: checkpoint.StepInfo) -> tuple[bool, bool, float, int]:
        loss = info.validation_loss
        return not info.problem, loss is None, loss or 0.0, -info.step

    return sorted(steps, key=rank)


def in_words(info: checkpoint.StepInfo) -> str:
    """Why this is the first whole step of `by_worth`."""
    if info.validation_loss is None:
        return 'the latest that is whole; it was not evaluated'
    return f'the best validation loss, {info.validation_loss:.4f}'


def none_whole(folder: pathlib.Path, passed_over: list[str]) -> str:
    """What to say of a run without a whole checkpoint; `passed_over` has its damage."""
    return '\n'.join(
        [
            f'{folder} has no checkpoint that is whole:',
            *passed_over,
            f'Copy one from a backup into {folder / CHECKPOINTS}.',
        ]
    )


def identity(
    run: schema.Config,
    base: pretrained.Base | None,
    *,
    tokenizer: str,
    template: str = text.TEMPLATE_VERSION,
    dataset: str = '',
) -> dict[str, Any]:
    """The run.json of a run whose sizes are resolved.

    `tokenizer` and `dataset` are fingerprints; an imported run has no dataset yet.
    """
    found = {'path': base.path, 'step': base.step, 'hash': base.hash} if base else {}
    return {
        'schema': SCHEMA,
        'id': new_id(),
        'model': dataclasses.asdict(run.model),
        'lora': convert.to_dict(run)['lora'],
        'tokenizer': tokenizer,
        'template': template,
        'dataset': dataset,
        'base': found,
        'changes': [],
    }


def write_imported(
    folder: pathlib.Path,
    *,
    model: schema.ModelConfig,
    lora_settings: schema.LoraConfig,
    parameters: dict[str, np.ndarray],
    base: pretrained.Base | None,
    tokenizer: text.Tokenizer,
    step: int,
    origin: str,
) -> None:
    """Fills an empty folder with a run made elsewhere, at `step`, without moments.

    `parameters` are all of the model's, or the adapter's, which stands on `base`.
    launch.train goes on with it, on whatever dataset it is given first.
    """
    run = schema.Config(
        data=schema.DataConfig(
            path=f'unknown: imported from {origin}', seq_len=model.n_positions
        ),
        tokenizer=schema.TokenizerConfig(path=TOKENIZER),
        model=dataclasses.replace(model, pretrained=base.path if base else ''),
        lora=lora_settings,
        train=schema.TrainConfig(num_steps=max(step, 1)),
    )
    (folder / TOKENIZER).mkdir()
    tokenizer.save(folder / TOKENIZER)
    made = identity(run, base, tokenizer=tokenizer.fingerprint)
    made['imported'] = origin
    with checkpoint.Checkpoints(folder / CHECKPOINTS, run_id=made['id']) as saved:
        trees = {checkpoint.PARAMS: parameters}
        saved.save(step, trees, metadata={'imported': origin})
    write(folder, run, made)


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


def read_run(folder: pathlib.Path) -> dict[str, Any]:
    """A run's run.json, after a look at its own bytes and the tokenizer's.

    Raises:
      InputError: `folder` is no run, or one of these files is damaged.
    """
    places.check(folder)
    run = _read_json(folder / 'run.json')
    if run.get('schema') == _WITHOUT_DIGESTS and not run.keys() & {'id', digests.SEAL}:
        _warn_of_no_digests(folder)
        return {**run, 'id': ''}
    if run.get('schema') != SCHEMA:
        raise errors.InputError(
            f'{folder}/run.json has schema {run.get("schema")}, this version reads '
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
            f'{path.parent} is not a run of launch.train ({error}); give its --workdir.'
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
    return f'{folder} is not a run of launch.train: it has no {path.name}.'


def _damaged(path: pathlib.Path, why: str) -> errors.InputError:
    return errors.InputError(
        f'{path} is damaged: {why}. The checkpoints may be whole: copy it from a '
        'backup, or begin anew.'
    )


@functools.cache
def _warn_of_no_digests(folder: pathlib.Path) -> None:
    print(
        f'warning: {folder} is of an older version, which kept no digests: its files '
        'are taken as they are. Going on with the run adds them.',
        file=sys.stderr,
        flush=True,
    )
