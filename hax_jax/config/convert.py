"""A run's config, from draft to validated dataclass and to JSON. Imports no JAX.

The draft that flags edit is an `ml_collections.ConfigDict` of the same fields:

    draft = convert.draft()
    draft.optimizer.learning_rate = 1e-4
    run = convert.freeze(draft)      # a validated `Config`
"""

import dataclasses
import math
from typing import Any

import ml_collections

from hax_jax import errors
from hax_jax.config import schema, value_checks


def draft() -> ml_collections.ConfigDict:
    """The default `Config` as a ConfigDict, which flags and config files edit.

    It is locked: a field of another name can't be added to it.
    """
    return ml_collections.ConfigDict(dataclasses.asdict(schema.Config())).lock()


def freeze(draft: ml_collections.ConfigDict) -> schema.Config:
    """The validated `Config` of a draft.

    Raises:
      InputError: names every field that is unknown or out of range.
    """
    return from_dict(draft.to_dict())


def from_dict(values: dict[str, Any]) -> schema.Config:
    """As `freeze`, of nested plain dictionaries (a run's config.json)."""
    problems = []
    sections = {}
    for section in dataclasses.fields(schema.Config):
        given = dict(values.get(section.name, {}))
        fields = {f.name: f for f in dataclasses.fields(section.type)}
        for name in sorted(given.keys() - fields.keys()):
            problems.append(f'{section.name}.{name} is not a field; remove it.')
            del given[name]
        for name, value in given.items():
            default = fields[name].default
            if isinstance(default, tuple) and isinstance(value, (list, tuple)):
                given[name] = tuple(value)
            elif isinstance(default, float) and type(value) is int:
                given[name] = float(value)
            elif isinstance(value, float) and not math.isfinite(value):
                problems.append(
                    f'{section.name}.{name}={value!r} is not a finite number; give one '
                    'such as 0.1 or 1e-4.'
                )
                given[name] = default
            elif type(value) is not type(default):
                problems.append(
                    f'{section.name}.{name}={value!r} is of type '
                    f'{type(value).__name__}; it must be {type(default).__name__}.'
                )
                given[name] = default
        sections[section.name] = section.type(**given)
    for name in sorted(values.keys() - sections.keys()):
        problems.append(f'{name} is not a section of the config; remove it.')
    run = schema.Config(**sections)
    _raise_all(problems + value_checks.problems(run))
    return run


def to_dict(run: schema.Config) -> dict[str, dict[str, Any]]:
    """Nested plain dictionaries, JSON's types alone; `from_dict` takes them back."""
    values = dataclasses.asdict(run)
    values['lora']['targets'] = list(run.lora.targets)
    values['optimizer']['lr_multipliers'] = list(run.optimizer.lr_multipliers)
    return values


def flatten(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{'train': {'seed': 0}} -> {'train.seed': 0}."""
    return {
        f'{section}.{name}': value
        for section, fields in values.items()
        for name, value in fields.items()
    }


def check_sampling(sampling: schema.SamplingConfig) -> None:
    """Raises InputError, naming every setting that is out of range."""
    _raise_all(value_checks.sampling(sampling))


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise errors.InputError('\n'.join(problems))
