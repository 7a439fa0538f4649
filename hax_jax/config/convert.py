"""The validator of configs: dicts, drafts and texts to frozen dataclasses and back.

It reads any dataclass of plain fields, or of sections that are such dataclasses. A
field's values have the type of its default and the range of its annotation (`ranges`).
A draft is a ConfigDict of the same fields, which config files and flags edit:

    draft = convert.draft()
    draft.optimizer.learning_rate = 1e-4
    run = convert.freeze(draft)      # a validated `Config`

All problems are reported at once, each in one line. Imports no JAX.
"""

import ast
import contextlib
import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_collections
import msgspec

from hax_jax import errors
from hax_jax.config import schema

_Schema = typing.TypeVar('_Schema')
ACCEPTED = {
    bool: 'true or false',
    int: 'a whole number such as 8',
    float: 'a number such as 0.1 or 1e-4',
    str: 'text',
    tuple: 'names joined by commas such as attn.c_attn,mlp.c_fc',
}
_BOOLS = dict.fromkeys(('true', 't', '1', 'yes', 'y'), True)
_BOOLS |= dict.fromkeys(('false', 'f', '0', 'no', 'n'), False)


def draft(kind: type = schema.Config) -> ml_collections.ConfigDict:
    """The defaults as a ConfigDict. It is locked: no field can be added to it."""
    return ml_collections.ConfigDict(dataclasses.asdict(kind())).lock()


def freeze(
    draft: ml_collections.ConfigDict, kind: type[_Schema] = schema.Config
) -> _Schema:
    """The validated dataclass of a draft. Raises InputError, as `from_dict`."""
    return from_dict(draft.to_dict(), kind)


def from_dict(
    values: Mapping[str, Any], kind: type[_Schema] = schema.Config
) -> _Schema:
    """The validated dataclass of nested dictionaries, such as a run's config.json.

    A field that is not given has its default.

    Raises:
      InputError: names every field that is unknown, of another type or out of range,
        and all that do not fit each other.
    """
    found = problems(values, kind)
    errors.refuse(found)
    made, _ = _read(values, kind)
    return made


def to_dict(made: Any) -> dict[str, Any]:
    """Nested dictionaries of JSON's types alone; `from_dict` takes them back."""
    return msgspec.json.decode(msgspec.json.encode(made))


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """{'train': {'seed': 0}, 'top_k': 3} -> {'train.seed': 0, 'top_k': 3}."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= {f'{name}.{field}': each for field, each in value.items()}
        else:
            flat[name] = value
    return flat


def changed(made: Any) -> dict[str, tuple[Any, Any]]:
    """Field -> (its value, its default), of those that are not their default."""
    values, defaults = (flatten(to_dict(each)) for each in (made, type(made)()))
    return {
        name: (value, defaults[name])
        for name, value in values.items()
        if value != defaults[name]
    }


def from_text(text: str, default: Any) -> Any:
    """The text as a value of the default's type; the text itself where it can't be.

    ('1e-4', 0.1) -> 0.0001; ('t', False) -> True; ('a, b', ()) -> ('a', 'b'). A tuple
    may also be written as Python has it. ('high', 0.1) -> 'high', which `problems`
    reports.
    """
    kind = type(default)
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        if kind is bool:
            return _BOOLS.get(text.lower(), text)
        if kind is not tuple:
            return kind(text)
        if not text.startswith(('(', '[', '"', "'")):
            return tuple(name.strip() for name in text.split(',') if name.strip())
        read = ast.literal_eval(text)
        return (read,) if isinstance(read, str) else tuple(read)
    return text


def problems(
    values: Mapping[str, Any], kind: type = schema.Config, *, others: Sequence[str] = ()
) -> list[str]:
    """The `others`, then everything that is wrong with the values, a sentence each.

    A conflict of fields is left out if an earlier sentence names one of these fields:
    that mistake may be the only one.
    """
    made, wrong = _read(values, kind)
    found = [*others, *wrong]
    by_name = fields(kind)

    def named(sentence: str) -> set[str]:
        return set(re.findall(r'\w+(?:\.\w+)*', sentence)) & by_name.keys()

    reported = set().union(*map(named, found))
    return found + [each for each in made.conflicts() if not named(each) & reported]


def wrong_fields(values: Mapping[str, Any], kind: type = schema.Config) -> list[str]:
    """A sentence for each field that is wrong by itself."""
    return _read(values, kind)[1]


def text_problem(text: str) -> str:
    """Why a text can't be a path or a field; '' where it can.

    The file system takes no zero byte. Bytes that are not UTF-8 reach Python as halves
    of surrogate pairs, which no file of ours can hold.
    """
    if '\0' in text:
        return 'has a zero byte in it; remove it.'
    try:
        text.encode()
    except UnicodeEncodeError:
        return 'is not UTF-8 text; rename the file, or write the text as UTF-8.'
    return ''


def nearest(name: str, names: Iterable[str]) -> str:
    """The nearest of `names`, by the whole name, its last part or its initials.

    optimizer.learnin_rate, learning_rate, lr -> optimizer.learning_rate; '' if none is
    like it. Of flags too: --lr -> --config.optimizer.learning_rate, and of a section
    the path: --data -> --config.data.path, and back where --data is a flag.
    """
    name = name.lstrip('-').removeprefix('config.')
    last = name.split('.')[-1]

    def likeness(other: str) -> tuple[float, float]:
        bare = other.lstrip('-').removeprefix('config.')
        other_last = bare.split('.')[-1]
        initials = ''.join(part[:1] for part in other_last.split('_'))
        whole = difflib.SequenceMatcher(None, name, bare).ratio()
        end = difflib.SequenceMatcher(None, last, other_last).ratio()
        is_path = 1.1 * (bare == f'{name}.path' or name == f'{bare}.path')
        return max(whole, end, 0.9 * (last == initials), is_path), whole

    best = max(names, key=likeness, default='')
    return best if best and likeness(best)[0] >= 0.7 else ''


def unknown(name: str, names: Iterable[str], what: str = 'a field') -> str:
    """'train.sed is not a field; did you mean train.seed?'"""
    near = nearest(name, names)
    remedy = f'did you mean {near}?' if near else 'remove it.'
    return f'{name} is not {what}; {remedy}'


def fields(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields by name, those of a section as 'section.field'."""
    found = {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            for inner in dataclasses.fields(field.type):
                found[f'{field.name}.{inner.name}'] = inner
        else:
            found[field.name] = field
    return found


def _read(values: Mapping[str, Any], kind: type[_Schema]) -> tuple[_Schema, list[str]]:
    """(the dataclass, its problems); a field with a problem has its default."""
    by_name = fields(kind)
    right, wrong = {}, []
    for name, value in flatten(values).items():
        members = [each for each in by_name if each.startswith(f'{name}.')]
        if name in by_name:
            try:
                right[name] = _converted(value, by_name[name])
            except ValueError as accepted:
                wrong.append(f'{name}={shown(value)} is not accepted; use {accepted}.')
        elif not members:
            wrong.append(unknown(name, by_name))
        elif value != {}:
            wrong.append(
                f'{name} is a section; set its fields one by one: {", ".join(members)}.'
            )
    return _made(right, kind), wrong


def shown(value: Any) -> str:
    """A value in a message: ('a', 'b') -> "'a', 'b'", without Python's brackets."""
    several = isinstance(value, list | tuple)
    return ', '.join(map(repr, value)) if several else repr(value)


def _converted(value: Any, field: dataclasses.Field[Any]) -> Any:
    """The value, of its field's type. Raises ValueError, which says what is accepted.

    Two other types are accepted: a whole number for a float, a list for a tuple.
    """
    kind = type(field.default)
    words = ACCEPTED[kind]
    try:
        value = msgspec.convert(value, kind)
        if kind is float and not math.isfinite(value):
            raise ValueError(words)
        for text in value if kind is tuple else [value]:
            if isinstance(text, str) and text_problem(text):
                raise ValueError(f'text: it {text_problem(text).rstrip(".")}')
        words = accepted(field)
        return msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        raise ValueError(words) from error


def accepted(field: dataclasses.Field[Any]) -> str:
    """The values that a field accepts, in words."""
    return _description(field.type) or ACCEPTED[type(field.default)]


def _description(kind: Any) -> str:
    """The words for a type's own range; '' where it has none."""
    if typing.get_origin(kind) is typing.Literal:
        return f'one of {", ".join(map(str, typing.get_args(kind)))}'
    return ''.join(meta.description for meta in getattr(kind, '__metadata__', ()))


def _made(right: Mapping[str, Any], kind: type, prefix: str = '') -> Any:
    return kind(
        **{
            field.name: _made(right, field.type, f'{field.name}.')
            if dataclasses.is_dataclass(field.type)
            else right.get(prefix + field.name, field.default)
            for field in dataclasses.fields(kind)
        }
    )
