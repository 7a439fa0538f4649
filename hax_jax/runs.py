"""A run's folder: what it is, and the model in it.

config.json       the config with all overrides, its sizes resolved
run.json          what must not change: model, tokenizer, template, data, base, LoRA
tokenizer/        the tokenizer's files
checkpoints/      Orbax, by step
metrics.jsonl     what happened
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import nnx

from hax_jax import (
    checkpoint,
    config,
    files,
    gpt2,
    layouts,
    lora,
    pretrained,
    records,
    text,
)
from hax_jax import train_state as ts

SCHEMA = 1
CHECKPOINTS = 'checkpoints'
_VOCAB_PADDING = 128  # a model's table may be padded up to a multiple of this
# Of config.ModelConfig: what a pretrained model brings along.
SIZES = (
    'n_layer',
    'n_head',
    'n_embd',
    'n_positions',
    'vocab_size',
    'activation',
    'layer_norm_epsilon',
    'tie_embeddings',
)


@dataclasses.dataclass(frozen=True)
class Source:
    """What `model.pretrained` names, before its weights are read."""

    path: pathlib.Path
    is_run: bool
    model: config.ModelConfig
    tokenizer: str


def find_source(path: str) -> Source:
    """Looks at a run's workdir, or at a Hugging Face folder or hub name.

    Raises:
      InputError: there is nothing of either kind at `path`.
    """
    folder = pathlib.Path(path).expanduser()
    if (folder / 'run.json').is_file():
        model = config.ModelConfig(**read_run(folder)['model'])
        return Source(folder, True, model, str(folder / 'tokenizer'))
    folder = pretrained.local_folder(path)
    return Source(folder, False, pretrained.read_model_config(folder), str(folder))


def resolve(run: config.Config) -> tuple[config.Config, str]:
    """The config with the pretrained model's sizes in it, and the tokenizer's path.

    Raises:
      InputError: the config asks for sizes that the pretrained model does not have.
    """
    if not run.model.pretrained:
        return run, run.tokenizer.path
    source = find_source(run.model.pretrained)
    defaults = config.ModelConfig()
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
        raise config.InputError('\n'.join(problems))
    model = dataclasses.replace(run.model, **sizes)
    resolved = dataclasses.replace(run, model=model)
    return resolved, run.tokenizer.path or source.tokenizer


def with_vocab(run: config.Config, tokenizer: text.Tokenizer) -> config.Config:
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
        raise config.InputError(
            f'the tokenizer {problem}; use the one that the model was trained with '
            "(tokenizer.path='' takes it), or leave model.vocab_size=0."
        )
    model = dataclasses.replace(run.model, vocab_size=size)
    return dataclasses.replace(run, model=model)


def load_base(path: str, *, step: int | None = None) -> pretrained.Base:
    """The model at `path`: a Hugging Face folder or hub name, or a run.

    A run gives its parameters at `step`, else at its best step, adapters merged.
    """
    source = find_source(path)
    if source.is_run:
        parameters, step, _ = _run_parameters(source.path, step=step, base='')
    else:
        parameters = pretrained.load_parameters(source.path, source.model)
    digest = pretrained.fingerprint(parameters)
    return pretrained.Base(path, step, source.model, parameters, digest)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A run's model, adapters merged, on the first device, in the run's dtype."""

    model: gpt2.Gpt2
    model_config: config.ModelConfig
    tokenizer: text.Tokenizer
    step: int
    why: str
    run_config: config.Config


def load(workdir: str, *, step: int | None = None, base: str = '') -> Loaded:
    """The model of a run: at `step`, else at its best step, else at its latest.

    Raises:
      InputError: there is no such run or step, its base is not what it was, or it knows
        another prompt template.
    """
    folder = pathlib.Path(workdir)
    run = read_run(folder)
    if run['template'] != text.TEMPLATE_VERSION:
        raise config.InputError(
            f'{folder} was trained with the prompt template {run["template"]!r}, and '
            f'this version writes {text.TEMPLATE_VERSION!r}; use the version that '
            'trained it.'
        )
    parameters, step, why = _run_parameters(folder, step=step, base=base)
    run_config = read_config(folder)
    # Decoding takes 'xla' anyway: the implementation that trained may not run here.
    model_config = config.ModelConfig(**{**run['model'], 'attention': 'xla'})
    dtype = compute_dtype(run_config)
    model = nnx.eval_shape(
        lambda: gpt2.Gpt2(model_config, dtype=jax.numpy.dtype(dtype), rngs=nnx.Rngs(0))
    )
    graphdef, state = nnx.split(model)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    leaves = [ts.place(parameters[name], device) for name in ts.named(state)]
    state = jax.tree.unflatten(jax.tree.structure(state), leaves)
    return Loaded(
        model=nnx.merge(graphdef, state),
        model_config=model_config,
        tokenizer=text.load_tokenizer(str(folder / 'tokenizer')),
        step=step,
        why=why,
        run_config=run_config,
    )


def compute_dtype(run: config.Config) -> str:
    """What 'auto' means here: bfloat16 on accelerators, float32 on a CPU."""
    if run.train.compute_dtype != 'auto':
        return run.train.compute_dtype
    return 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'


def choose_step(steps: list[checkpoint.StepInfo]) -> tuple[int, str]:
    """The step with the lowest validation loss, else the latest; and why, in words."""
    evaluated = [s for s in steps if s.validation_loss is not None]
    if evaluated:
        best = min(evaluated, key=lambda s: (s.validation_loss, -s.step))
        return best.step, f'the best validation loss, {best.validation_loss:.4f}'
    return steps[-1].step, 'the latest; none was evaluated'


def _run_parameters(
    folder: pathlib.Path, *, step: int | None, base: str
) -> tuple[dict[str, np.ndarray], int, str]:
    """(parameters with the adapter merged in, step, why that step)."""
    run = read_run(folder)
    model = config.ModelConfig(**run['model'])
    settings = lora_config(run)
    shapes = layouts.parameter_shapes(model)
    if settings.rank:
        shapes = lora.adapter_shapes(shapes, settings)
    if not (folder / CHECKPOINTS).is_dir():
        raise config.InputError(
            f'{folder} has no checkpoint yet; let launch.train reach one.'
        )
    with checkpoint.Checkpoints(folder / CHECKPOINTS, read_only=True) as checkpoints:
        steps = checkpoints.steps()
        if not steps:
            raise config.InputError(
                f'{folder} has no whole checkpoint yet; let launch.train reach one.'
            )
        why = 'as asked'
        if step is None:
            step, why = choose_step(steps)
        parameters = checkpoints.load_parameters(step, shapes)
    if settings.rank:
        loaded = load_run_base(folder, base=base)
        parameters = lora.merge(loaded.parameters, parameters, settings)
    return parameters, step, why


def load_run_base(folder: pathlib.Path, *, base: str = '') -> pretrained.Base:
    """The base that a run was started from, checked by its hash.

    Raises:
      InputError: it is gone, or another model lies there now.
    """
    then = read_run(folder)['base']
    path = base or then['path']
    try:
        found = load_base(path, step=then['step'])
    except config.InputError as error:
        raise config.InputError(
            f'{folder} was started from the base {then["path"]}, which must be read '
            f'again (looked at {path}): {error}\n'
            'If it moved, say where with --base=PATH.'
        ) from error
    if found.hash != then['hash']:
        raise config.InputError(
            f'{path} is not the base that {folder} was started from: its parameters '
            f'hash to {found.hash[:16]}, the run has {then["hash"][:16]}; give the '
            'right one with --base=PATH.'
        )
    return found


def identity(
    run: config.Config, cache: records.PackedCache, base: pretrained.Base | None
) -> dict[str, Any]:
    """What a run is, as run.json keeps it. `run` has its sizes resolved."""
    return {
        'schema': SCHEMA,
        'model': dataclasses.asdict(run.model),
        'lora': config.to_dict(run)['lora'],
        'tokenizer': cache.meta['tokenizer'],
        'template': cache.meta['template'],
        'dataset': cache.fingerprint,
        'base': {'path': base.path, 'step': base.step, 'hash': base.hash}
        if base
        else {},
        'changes': [],
    }


def lora_config(run: dict[str, Any]) -> config.LoraConfig:
    """The LoRA settings in a run.json."""
    return config.LoraConfig(
        **{**run['lora'], 'targets': tuple(run['lora']['targets'])}
    )


def read_run(folder: pathlib.Path) -> dict[str, Any]:
    """A run's run.json; InputError if `folder` is no run."""
    run = _read_json(folder / 'run.json')
    if run.get('schema') != SCHEMA:
        raise config.InputError(
            f'{folder}/run.json has schema {run.get("schema")}, this version reads '
            f'{SCHEMA}; use the version that wrote it.'
        )
    return run


def read_config(folder: pathlib.Path) -> config.Config:
    return config.from_dict(_read_json(folder / 'config.json'))


def write(folder: pathlib.Path, run: config.Config, identity: dict[str, Any]) -> None:
    """Writes config.json, then run.json, which makes the folder a run."""
    files.write_json(folder / 'config.json', config.to_dict(run))
    files.write_json(folder / 'run.json', identity)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise config.InputError(
            f'{path.parent} is not a run of launch.train ({error}); give its --workdir.'
        ) from error
    except ValueError as error:
        raise config.InputError(
            f'{path} is damaged ({error}). Its checkpoints may be whole: copy the file '
            'from a backup, or start another run.'
        ) from error
