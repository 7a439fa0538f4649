"""`--config` and its overrides, every wrong one reported at once.

`check` reads the command line before absl does, and hands it on in one form,
`--config.section.field=value`. ml_collections alone stops at the first mistake, with a
traceback, and of a file that does not load it says nothing until the config is read.
"""

import ast
import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ml_collections
from absl import flags

from hax_jax import errors
from hax_jax.config import convert

_HELP = ('help', 'h', '?', 'helpshort', 'helpfull', 'helpxml')
_TRUE, _FALSE = ('true', 't', '1', 'yes', 'y'), ('false', 'f', '0', 'no', 'n')
_NEEDED = {
    bool: 'true or false',
    int: 'a whole number such as 8',
    float: 'a number such as 0.1 or 1e-4',
    tuple: 'names joined by commas such as attn.c_attn,mlp.c_fc',
    str: 'text',
}


@dataclasses.dataclass(frozen=True)
class Schema:
    """What a program's config is: how it begins, is loaded and is validated.

    `load` raises InputError for a file that gives no config, `freeze` for a draft with
    a field that is unknown or out of range, a line each. Without `--config` the program
    takes `default_file`; where that is '', `load` has to refuse.
    """

    draft: Callable[[], ml_collections.ConfigDict]
    freeze: Callable[[ml_collections.ConfigDict], Any]
    load: Callable[[str], ml_collections.ConfigDict]
    default_file: str = ''


def check(
    argv: Sequence[str],
    schema: Schema,
    *,
    values: flags.FlagValues = flags.FLAGS,
) -> list[str]:
    """The same command line for absl to parse: `--config` first, then its overrides.

    A tuple's names may be joined by commas or written as Python has them.

    Raises:
      InputError: names every flag and field that does not exist, with the nearest that
        does, every value of another type, with the type it needs, and every value that
        is out of range; or says why the config file gives no config.
    """
    argv = _expanded(argv, values)
    for argument in argv[1:]:
        if re.fullmatch(r'--?(' + '|'.join(map(re.escape, _HELP)) + ')', argument):
            return [argv[0], argument]
    line = _read(argv[1:], values)
    line.file = line.file or schema.default_file
    problems = line.problems
    try:
        draft = schema.load(line.file)
    except errors.InputError as error:
        problems.append(str(error))
        draft = schema.draft()  # has the names, at least
    fields = convert.flatten(draft.to_dict())
    chosen = {}
    for override in line.overrides:
        try:
            value = _value(override, fields)
        except errors.InputError as error:
            problems.append(str(error))
            continue
        if isinstance(value, tuple):  # a flag that is repeated adds to a tuple
            value = chosen.get(override.field, ()) + value
        chosen[override.field] = value
    problems += _out_of_range(draft, chosen, schema, others=bool(problems))
    if problems:
        raise errors.InputError('\n'.join(problems))
    overrides = [f'--config.{field}={value}' for field, value in chosen.items()]
    return [argv[0], f'--config={line.file}', *overrides, *line.rest]


@dataclasses.dataclass(frozen=True)
class _Override:
    """`--config.field=value` as it was typed; `value` is None where none was given."""

    field: str
    value: str | None
    negated: bool  # --noconfig.field


@dataclasses.dataclass
class _Line:
    """A command line, taken apart."""

    file: str = ''
    overrides: list[_Override] = dataclasses.field(default_factory=list)
    rest: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def _expanded(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """`argv` with the arguments that a `--flagfile` holds in its place."""
    try:
        return values.read_flags_from_files(list(argv), force_gnu=False)
    except flags.Error as error:
        raise errors.InputError(str(error)) from error


def _read(arguments: Sequence[str], values: flags.FlagValues) -> _Line:
    line = _Line()
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if argument == '--' or not argument.startswith('-'):
            line.rest += [argument, *queue]  # absl stops here too
            break
        name, equals, value = argument.lstrip('-').partition('=')
        given = value if equals else None
        override = re.fullmatch(r'(no)?config\.(.+)', name)
        if override:
            if given is None and not override[1] and queue and _is_value(queue[0]):
                given = queue.pop(0)
            line.overrides.append(_Override(override[2], given, bool(override[1])))
        elif name == 'config':
            if given is None and queue and _is_value(queue[0]):
                given = queue.pop(0)
            line.file = given or ''
        else:
            line.rest.append(argument)
            flag = _flag(name, values)
            if flag is None:
                nearest = _nearest(name, values)
                line.problems.append(
                    f'--{name} is not a flag; did you mean --{nearest}?'
                )
            takes_next = queue and (
                _is_value(queue[0]) if flag is None else not flag.boolean
            )
            if given is None and takes_next:
                line.rest.append(queue.pop(0))
    return line


def _is_value(argument: str) -> bool:
    """Whether an argument can be the value of the flag before it: `-1` can."""
    return not argument.startswith('-') or bool(re.match(r'-[\d.]', argument))


def _flag(name: str, values: flags.FlagValues) -> flags.Flag | None:
    if name in values:
        return values[name]
    positive = name.removeprefix('no')
    if positive in values and values[positive].boolean:
        return values[positive]
    return None


def _value(override: _Override, fields: dict[str, Any]) -> Any:
    """The value of an override, of its field's type.

    Raises:
      InputError: there is no such field, or the value is of another type.
    """
    field, given = override.field, override.value
    flag = f'--config.{field}'
    if field not in fields:
        members = [
            f'--config.{name}' for name in fields if name.startswith(f'{field}.')
        ]
        if members:
            raise errors.InputError(
                f'{flag} is a section; set its fields one by one: {", ".join(members)}.'
            )
        nearest = _nearest(field, fields)
        raise errors.InputError(
            f'{flag} is not a field; did you mean --config.{nearest}?'
        )
    kind = type(fields[field])
    needed = _NEEDED[kind]
    if override.negated:
        if kind is not bool:
            raise errors.InputError(
                f'--noconfig.{field} is for true or false; give {flag}=VALUE, {needed}.'
            )
        if given is not None:
            raise errors.InputError(
                f'--noconfig.{field} takes no value; give {flag}=false.'
            )
        return False
    if given is None:
        if kind is bool:
            return True
        raise errors.InputError(f'{flag} has no value; give {needed}.')
    try:
        return _PARSERS[kind](given)
    except (ValueError, SyntaxError) as error:
        raise errors.InputError(
            f'{flag}={given} is not {_article(kind.__name__)}; give {needed}.'
        ) from error


def _article(noun: str) -> str:
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


def _parse_bool(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _parse_names(text: str) -> tuple[str, ...]:
    if not text.startswith(('(', '[', '"', "'")):
        return tuple(name.strip() for name in text.split(',') if name.strip())
    value = ast.literal_eval(text)
    value = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in value):
        raise ValueError(text)
    return value


_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: _parse_bool,
    int: int,
    float: _parse_float,
    tuple: _parse_names,
    str: str,
}


def _nearest(name: str, names: Iterable[str]) -> str:
    """The likeliest of `names`: by all of its letters, its last part's, or initials.

    optimizer.learnin_rate, learning_rate, lr -> optimizer.learning_rate
    """
    last = name.split('.')[-1]

    def likeness(other: str) -> tuple[float, float]:
        other_last = other.split('.')[-1]
        initials = ''.join(part[:1] for part in other_last.split('_'))
        whole = difflib.SequenceMatcher(None, name, other).ratio()
        end = difflib.SequenceMatcher(None, last, other_last).ratio()
        return max(whole, end, 0.9 * (last == initials)), whole

    return max(names, key=likeness)


def _out_of_range(
    draft: ml_collections.ConfigDict,
    chosen: dict[str, Any],
    schema: Schema,
    *,
    others: bool,
) -> list[str]:
    """What `schema.freeze` says of the draft with the overrides in.

    Where there are `others`, only what it says of a field that was set: what else it
    says may come of them.
    """
    changed = draft.copy_and_resolve_references()
    for field, value in chosen.items():
        section, name = field.split('.', 1)
        changed[section][name] = value
    try:
        schema.freeze(changed)
    except errors.InputError as error:
        lines = str(error).split('\n')
        return [line for line in lines if not others or line.split('=')[0] in chosen]
    return []
