"""Which values a config may have, a function a section: each gives what is wrong.

A problem is one sentence that names the field, its value and what is accepted.
"""

import dataclasses
import math
from typing import Any

from hax_jax.config import schema

_UNDER_ONE = 'from 0.0 to under 1.0'


def problems(run: schema.Config) -> list[str]:
    """Everything that is wrong with a run's config; [] if nothing is."""
    return [
        *_data(run.data),
        *_tokenizer(run.tokenizer),
        *_model(run.model),
        *_lora(run.lora),
        *_optimizer(run.optimizer),
        *_train(run.train),
        *_mesh(run.mesh),
        *_from_scratch(run),
    ]


def sampling(settings: schema.SamplingConfig) -> list[str]:
    """Every sampling setting that is out of range."""
    return _out_of_range(
        '',
        settings,
        {
            'max_new_tokens': (settings.max_new_tokens >= 1, 'an integer from 1 on'),
            'temperature': (
                0.0 <= settings.temperature < math.inf,
                '0.0 (greedy) or more',
            ),
            'top_k': (settings.top_k >= 0, '0 (off) or more'),
            'top_p': (0.0 < settings.top_p <= 1.0, 'over 0.0 and up to 1.0 (off)'),
            'seed': (0 <= settings.seed < 2**32, 'from 0 to 2**32 - 1'),
            'min_p': (0.0 <= settings.min_p <= 1.0, '0.0 (off) and up to 1.0'),
            'repetition_penalty': (
                0.0 < settings.repetition_penalty < math.inf,
                'over 0.0; 1.0 is off, more discourages repetition',
            ),
            'no_repeat_ngram': (settings.no_repeat_ngram >= 0, '0 (off) or more'),
            'min_new_tokens': (
                0 <= settings.min_new_tokens <= max(settings.max_new_tokens, 1),
                '0 (off) and up to max_new_tokens',
            ),
            'stop': (
                all(stop and '\ufffd' not in stop for stop in settings.stop),
                'texts that are not empty and hold no U+FFFD',
            ),
        },
    )


def _data(data: schema.DataConfig) -> list[str]:
    found = _out_of_range(
        'data.',
        data,
        {
            'seq_len': (data.seq_len >= 8, '8 or more'),
            'question_weight': (0 <= data.question_weight <= 1, 'from 0.0 to 1.0'),
            'long_answers': (
                data.long_answers in schema.LONG_ANSWERS,
                schema.LONG_ANSWERS,
            ),
            'reader': (data.reader in schema.READERS, schema.READERS),
        },
    )
    if not data.path:
        found.append(
            "data.path='' names no dataset; make one with data_pipeline.build and "
            'give its folder.'
        )
    return found


def _tokenizer(tokenizer: schema.TokenizerConfig) -> list[str]:
    kinds = schema.SENTENCEPIECE_TYPES
    return _out_of_range(
        'tokenizer.',
        tokenizer,
        {
            'vocab_size': (tokenizer.vocab_size >= 300, '300 or more'),
            'model_type': (tokenizer.model_type in kinds, kinds),
        },
    )


def _model(model: schema.ModelConfig) -> list[str]:
    accepted = {
        name: (getattr(model, name) >= 0, '0 (unset) or more')
        for name in (
            'n_layer',
            'n_head',
            'n_embd',
            'n_positions',
            'n_inner',
            'vocab_size',
        )
    }
    accepted |= {
        'activation': (model.activation in schema.ACTIVATIONS, schema.ACTIVATIONS),
        'layer_norm_epsilon': (model.layer_norm_epsilon > 0, 'over 0.0'),
    }
    accepted |= {
        name: (0 <= getattr(model, name) < 1, _UNDER_ONE)
        for name in ('embd_pdrop', 'attn_pdrop', 'resid_pdrop')
    }
    accepted |= {
        'attention': (model.attention in schema.ATTENTIONS, schema.ATTENTIONS),
        'pad_vocab_to_multiple_of': (
            model.pad_vocab_to_multiple_of >= 1,
            '1 (off) or more',
        ),
    }
    found = _out_of_range('model.', model, accepted)
    if model.n_head and model.n_embd % model.n_head:
        found.append(
            f'model.n_embd={model.n_embd} is not divisible by '
            f'model.n_head={model.n_head}; use a multiple of it.'
        )
    return found


def _lora(lora: schema.LoraConfig) -> list[str]:
    found = _out_of_range(
        'lora.',
        lora,
        {
            'rank': (lora.rank >= 0, '0 (off) or more'),
            'alpha': (lora.alpha > 0, 'over 0.0'),
            'dropout': (0 <= lora.dropout < 1, _UNDER_ONE),
        },
    )
    for name in ('rslora', 'dora'):
        if getattr(lora, name) and not lora.rank:
            found.append(
                f'lora.{name}=True with lora.rank=0, which trains every parameter; '
                f'give a rank, or leave lora.{name} out.'
            )
    if lora.rank and not lora.targets:
        found.append('lora.targets=() adapts nothing; name modules or set lora.rank=0.')
    return found


def _optimizer(optimizer: schema.OptimizerConfig) -> list[str]:
    dtypes = schema.STORED_DTYPES
    found = _out_of_range(
        'optimizer.',
        optimizer,
        {
            'schedule': (optimizer.schedule in schema.SCHEDULES, schema.SCHEDULES),
            'learning_rate': (optimizer.learning_rate > 0, 'over 0.0'),
            'final_learning_rate': (
                0 <= optimizer.final_learning_rate <= optimizer.learning_rate,
                'from 0.0 to optimizer.learning_rate',
            ),
            'warmup_steps': (optimizer.warmup_steps >= 0, '0 or more'),
            'warmup_share': (
                0 <= optimizer.warmup_share < 1,
                'from 0.0 (off) to under 1.0',
            ),
            'decay_share': (0 < optimizer.decay_share <= 1, 'over 0.0 and up to 1.0'),
            'b1': (0 <= optimizer.b1 < 1, _UNDER_ONE),
            'b2': (0 <= optimizer.b2 < 1, _UNDER_ONE),
            'eps': (optimizer.eps > 0, 'over 0.0'),
            'weight_decay': (optimizer.weight_decay >= 0, '0.0 or more'),
            'clip_norm': (optimizer.clip_norm >= 0, '0.0 (off) or more'),
            'moment_dtype': (optimizer.moment_dtype in dtypes, dtypes),
        },
    )
    found += [
        f'optimizer.lr_multipliers: {entry!r} is not PATTERN=FACTOR, such as wte.*=0 '
        'or h.0.*=0.5, with a factor of 0 (frozen) or more.'
        for entry in optimizer.lr_multipliers
        if not isinstance(entry, str) or schema.lr_multiplier(entry) is None
    ]
    if optimizer.warmup_steps and optimizer.warmup_share:
        found.append(
            f'optimizer.warmup_steps={optimizer.warmup_steps} and optimizer.'
            f'warmup_share={optimizer.warmup_share}: set one of them, leave the other '
            '0.'
        )
    for name in ('b1', 'b2'):
        # A bfloat16 has 8 bits: it is rounded back to itself where it should lose less
        # than 2**-8 of its size, so such a moment would never fall again.
        value = getattr(optimizer, name)
        if optimizer.moment_dtype == 'bfloat16' and 0.99 < value < 1:
            found.append(
                f'optimizer.{name}={value} with optimizer.moment_dtype=bfloat16: such '
                'a moment would never fall again; use 0.99 or less, or float32.'
            )
    return found


def _train(train: schema.TrainConfig) -> list[str]:
    dtypes, stored = schema.DTYPES, schema.STORED_DTYPES
    profile = train.profile_steps
    accepted = {
        'num_steps': (train.num_steps >= 0, '0 (unset) or more'),
        'num_epochs': (train.num_epochs >= 0, '0.0 (unset) or more'),
        'batch_size': (train.batch_size >= 1, '1 or more'),
        'grad_accum_steps': (train.grad_accum_steps >= 1, '1 or more'),
        'seed': (0 <= train.seed < 2**32, 'from 0 to 2**32 - 1'),
        'num_sample_questions': (train.num_sample_questions >= 0, '0 (off) or more'),
        'sample_max_new_tokens': (train.sample_max_new_tokens >= 1, '1 or more'),
        'keep_last': (train.keep_last >= 1, '1 or more'),
        'keep_best': (train.keep_best >= 0, '0 (off) or more'),
        'compute_dtype': (train.compute_dtype in dtypes, dtypes),
        'param_dtype': (train.param_dtype in stored, stored),
        'z_loss': (train.z_loss >= 0, '0.0 (off) or more'),
        'remat': (train.remat in schema.REMATS, schema.REMATS),
        'patience': (train.patience >= 0, '0 (off) or more'),
        'max_minutes': (train.max_minutes >= 0, '0.0 (off) or more'),
        'layer_metrics_every_steps': (
            train.layer_metrics_every_steps >= 0,
            '0 (off) or more',
        ),
        'profile_steps': (
            not profile or schema.profile_range(profile) is not None,
            "'' (off) or two steps, the first under the last, such as '10:13'",
        ),
    }
    for name in ('log_every_steps', 'eval_every_steps', 'checkpoint_every_steps'):
        accepted[name] = (getattr(train, name) >= 1, '1 or more')
    found = _out_of_range('train.', train, accepted)
    if (train.num_steps > 0) == (train.num_epochs > 0):
        found.append(
            f'train.num_steps={train.num_steps} and train.num_epochs='
            f'{train.num_epochs}: set exactly one of them, leave the other 0.'
        )
    if train.batch_size % max(train.grad_accum_steps, 1):
        found.append(
            f'train.batch_size={train.batch_size} is not divisible by '
            f'train.grad_accum_steps={train.grad_accum_steps}; use a multiple of it.'
        )
    return found


def _mesh(mesh: schema.MeshConfig) -> list[str]:
    return _out_of_range(
        'mesh.',
        mesh,
        {
            'data': (mesh.data == -1 or mesh.data >= 1, '-1 (the rest) or 1 or more'),
            'fsdp': (mesh.fsdp >= 1, '1 or more'),
            'tensor': (mesh.tensor >= 1, '1 or more'),
        },
    )


def _from_scratch(run: schema.Config) -> list[str]:
    """What only a pretrained model could say, and nobody says."""
    if run.model.pretrained:
        return []
    found = [
        f'model.{name}=0 without model.pretrained; give the size or a pretrained model.'
        for name in ('n_layer', 'n_head', 'n_embd', 'n_positions')
        if getattr(run.model, name) == 0
    ]
    if not run.tokenizer.path:
        found.append(
            "tokenizer.path='' without model.pretrained; give a folder, a hub name "
            "such as 'gpt2', or 'train' to make one from the dataset."
        )
    if 0 < run.model.n_positions < run.data.seq_len:
        found.append(
            f'data.seq_len={run.data.seq_len} is over model.n_positions='
            f'{run.model.n_positions}; lower the first or raise the second.'
        )
    return found


def _out_of_range(
    prefix: str, section: Any, accepted: dict[str, tuple[bool, Any]]
) -> list[str]:
    """A line for each field whose check (good, what is accepted) is not good."""
    values = dataclasses.asdict(section)
    return [
        f'{prefix}{name}={values[name]!r} is not accepted; use '
        + (f'one of {what}.' if isinstance(what, tuple) else f'{what}.')
        for name, (good, what) in accepted.items()
        if not good
    ]
