"""Settings of a conversation, changed by words: `temperature 0.9`."""

import dataclasses
import difflib

from hax_jax import errors
from hax_jax.config import convert, schema

_FIELDS = {field.name: field for field in dataclasses.fields(schema.SamplingConfig)}


def change(
    settings: schema.SamplingConfig, name: str, value: str
) -> schema.SamplingConfig:
    """`settings` with one field read from `value`; `stop` adds one, or `off` has none.

    Raises:
      InputError: there is no such field, or the value is not one that it accepts.
    """
    if name not in _FIELDS:
        near = difflib.get_close_matches(name, _FIELDS, n=1)
        meant = f' Did you mean /{near[0]}?' if near else ''
        raise errors.InputError(
            f'/{name} is neither a command nor a setting.{meant} /help shows all.'
        )
    if not value:
        raise errors.InputError(
            f'/{name} needs a value; it is {getattr(settings, name)!r} now.'
        )
    if name == 'stop':
        read = () if value == 'off' else (*settings.stop, value)
    else:
        kind = type(_FIELDS[name].default)
        try:
            read = kind(value)
        except ValueError as error:
            what = 'a whole number' if kind is int else 'a number'
            raise errors.InputError(f'/{name} {value}: give {what}.') from error
    changed = dataclasses.replace(settings, **{name: read})
    convert.check_sampling(changed)
    return changed


def listing(settings: schema.SamplingConfig) -> str:
    """One line a setting: `/temperature 0.7`."""
    values = dataclasses.asdict(settings)
    return '\n'.join(f'/{name} {value!r}' for name, value in values.items())
