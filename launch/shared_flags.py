"""Flags that several programs share."""

from absl import flags

from hax_jax.config import ranges, schema
from hax_jax.program import config_flag

flags.disclaim_key_flags()  # they are shown in the --help of the program

CONFIG = config_flag.ConfigFlag(
    schema.Config,
    subject='what to train',
    example='configs/gpt2_full.py',
    draft='convert.draft',
    override='--config.optimizer.learning_rate=1e-4',
    common='data.path data.seq_len model.pretrained train.num_epochs train.num_steps '
    'train.batch_size train.grad_accum_steps optimizer.learning_rate '
    'optimizer.schedule optimizer.warmup_steps lora.rank lora.alpha lora.targets '
    'train.eval_every_steps train.checkpoint_every_steps train.patience train.seed',
)


def define_step() -> flags.FlagHolder[int | None]:
    return flags.DEFINE_integer(
        'step', None, 'Which checkpoint; the best by validation loss, else the latest.'
    )


def define_base() -> flags.FlagHolder[str]:
    return flags.DEFINE_string(
        'base',
        '',
        'Where the pretrained model lies now, if it moved since the run began.',
    )


def no_sizes(*given: flags.FlagHolder[int]) -> list[str]:
    """A sentence for each flag whose number is under 1, or too large to be meant."""
    return [
        f'--{flag.name}={flag.value} is not accepted; use from 1 to {ranges.MOST:,}.'
        for flag in given
        if not 1 <= flag.value <= ranges.MOST
    ]
