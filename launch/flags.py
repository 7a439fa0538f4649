"""`--config` of what to train, and its overrides, every wrong one reported at once.

CONFIG = launch_flags.define()           # at the top of a program

def main() -> None:
    run = launch_flags.frozen(CONFIG)    # a validated `config.Config`

program.run(main, prepare=launch_flags.check)
"""

import dataclasses
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from hax_jax.config import convert, schema
from hax_jax.program import overrides
from launch import config_file

flags.disclaim_key_flags()  # --config is shown in the --help of the program

_SCHEMA = overrides.Schema(convert.draft, convert.freeze, config_file.load)


def define() -> flags.FlagHolder[ml_collections.ConfigDict]:
    """Defines `--config` for the program that calls it."""
    sections = '\n'.join(
        f'{section.name}: {" ".join(f.name for f in dataclasses.fields(section.type))}'
        for section in dataclasses.fields(schema.Config)
    )
    return config_flags.DEFINE_config_file(
        'config',
        help_string='The file that says what to train, e.g. configs/gpt2_full.py. '
        'Any field of it is set by --config.SECTION.FIELD=VALUE, e.g. '
        '--config.optimizer.learning_rate=1e-4 (their meaning: '
        'hax_jax/config_schema.py):\n' + sections,
    )


def frozen(holder: flags.FlagHolder[ml_collections.ConfigDict]) -> schema.Config:
    """The validated config of the parsed command line.

    Raises:
      InputError: names every field that is out of range.
    """
    return convert.freeze(holder.value)


def check(argv: Sequence[str], *, values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """As `overrides.check`, of a config that says what to train."""
    return overrides.check(argv, _SCHEMA, values=values)
