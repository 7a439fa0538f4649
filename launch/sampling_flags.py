"""Flags that launch.sample and launch.chat share: a SamplingConfig's fields."""

import dataclasses
from typing import Any

from absl import flags

from hax_jax.config import convert, meanings, schema

_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    tuple: flags.DEFINE_multi_string,
}
_MEANINGS = meanings.of(schema.SamplingConfig)
_FLAGS = {
    field.name: _DEFINE[type(field.default)](
        field.name, field.default, _MEANINGS[field.name]
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
