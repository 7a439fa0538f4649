"""What a run stands on: its base, and what its config leaves open until that is known.

Sizes, vocabulary and tokenizer of the model that `model.pretrained` names; the dtype to
compute in; the identity that a new run gets.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from hax_jax import errors, places
from hax_jax.config import convert, schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, pretrained
from hax_jax.model import lora_merge
from hax_jax.runs import checkpoint, run_folder

VOCAB_PADDING = 128  # a model's table may be padded up to a multiple of this
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
    'scale_attn_weights',
    'scale_attn_by_inverse_layer_idx',
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
    if any((folder / name).is_file() for name in ('run.json', run_folder.UNSAVED)):
        run = run_folder.read_run(folder)
        model = lora_merge.merged_model(
            run_folder.model_config(run), run_folder.lora_config(run)
        )
        model = dataclasses.replace(model, pad_vocab_to_multiple_of=1)
        return Source(folder, True, model, str(folder / run_folder.TOKENIZER))
    folder = hf_folder.local_folder(path)
    return Source(folder, False, hf_folder.read_model_config(folder), str(folder))


def resolve(run: schema.Config) -> tuple[schema.Config, str]:
    """The config with the pretrained model's sizes in it, and the tokenizer's path.

    Raises:
      InputError: the config asks for sizes that the pretrained model does not have, or
        for adapters of no such model.
    """
    if not run.model.pretrained:
        if run.lora.rank:
            raise errors.InputError(
                f'lora.rank={run.lora.rank} without model.pretrained: checkpoints '
                'hold the adapters alone, and the random weights under them would be '
                'lost; give a pretrained model, or lora.rank=0.'
            )
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
    errors.refuse(problems)
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
        trained = run_folder.read_run(source.path)['tokenizer'] if source.is_run else ''
        if trained and trained != tokenizer.fingerprint:
            problem = f'is not the one in {source.tokenizer}'
        elif has > size:
            raise errors.InputError(
                f'the tokenizer has {has} ids and the table of {run.model.pretrained} '
                f'{size} rows: {has - size} tokens were added to the tokenizer and not '
                'to the model. Give one without them as tokenizer.path, or grow the '
                'model where they were added, in transformers: '
                'model.resize_token_embeddings(len(tokenizer)), then save_pretrained.'
            )
        elif size - has >= VOCAB_PADDING:
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
        'schema': run_folder.SCHEMA,
        'id': run_folder.new_id(),
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
        tokenizer=schema.TokenizerConfig(path=run_folder.TOKENIZER),
        model=dataclasses.replace(model, pretrained=base.path if base else ''),
        lora=lora_settings,
        train=schema.TrainConfig(num_steps=max(step, 1)),
    )
    (folder / run_folder.TOKENIZER).mkdir()
    tokenizer.save(folder / run_folder.TOKENIZER)
    made = identity(run, base, tokenizer=tokenizer.fingerprint)
    made['imported'] = origin
    with checkpoint.Checkpoints(
        folder / run_folder.CHECKPOINTS, run_id=made['id']
    ) as saved:
        trees = {checkpoint.PARAMS: parameters}
        saved.save(step, trees, metadata={'imported': origin})
    run_folder.write(folder, run, made)
