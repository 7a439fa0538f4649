"""Flags that launch.sample and launch.chat share: a SamplingConfig's fields."""

import dataclasses
from typing import Any

from absl import flags

from hax_jax.config import convert, schema

_HELP = {
    'max_new_tokens': 'The longest answer, in tokens.',
    'temperature': '0.0 takes the likeliest token each time.',
    'top_k': 'Draw from this many of the likeliest tokens; 0: from all.',
    'top_p': 'Draw from the likeliest tokens that have this probability together; 1.0 '
    'from all.',
    'seed': 'An answer follows from its letter and this seed, whatever else is in the '
    'file.',
    'min_p': "Draw from tokens that have this share of the likeliest one's "
    'probability.',
    'repetition_penalty': 'Over 1.0 discourages tokens that prompt or answer have had; '
    '1.0 is off.',
    'no_repeat_ngram': 'No run of this many tokens occurs twice in prompt and answer; '
    '0 is off.',
    'min_new_tokens': 'An answer has at least this many tokens before EOS or a stop '
    'string can end it.',
    'stop': 'An answer ends before this text. May be repeated.',
}
_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    tuple: flags.DEFINE_multi_string,
}
_FLAGS = {
    field.name: _DEFINE[type(field.default)](
        field.name, field.default, _HELP[field.name]
    )
    for field in dataclasses.fields(schema.SamplingConfig)
}


def values() -> dict[str, Any]:
    """The flags' values, not yet checked."""
    return {name: flag.value for name, flag in _FLAGS.items()}


def settings() -> schema.SamplingConfig:
    """The validated settings."""
    return convert.from_dict(values(), schema.SamplingConfig)


def problems() -> list[str]:
    """A sentence for each flag whose value is not accepted."""
    return convert.problems(values(), schema.SamplingConfig)
