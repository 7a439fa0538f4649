"""A command line taken apart: `--config`, its overrides, and the rest for absl."""

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from hax_jax import errors
from hax_jax.config import convert

_KINDS = {'int': int, 'float': float, 'bool': bool}  # by absl's name of the parser


@dataclasses.dataclass(frozen=True)
class Override:
    """`--config.field=text` as it was typed; `text` is None where none was given."""

    field: str
    text: str | None
    negated: bool  # --noconfig.field

    def value(self, defaults: dict[str, Any]) -> Any:
        """The text as a value of its field, or itself where that can't be.

        Raises:
          InputError: there is no text, and the field is not true or false.
        """
        default = defaults.get(self.field)
        if self.text is None and isinstance(default, bool):
            return not self.negated
        flag = f'--config.{self.field}'
        typed = flag.replace('--', '--no') if self.negated else flag
        if self.negated and self.text is not None:
            raise errors.InputError(f'{typed} takes no value; give {flag}=false.')
        if self.text is None and self.field in defaults:
            raise errors.InputError(
                f'{typed} has no value; give {flag}=VALUE, '
                f'{convert.ACCEPTED[type(default)]}.'
            )
        return convert.from_text(self.text or '', default)


@dataclasses.dataclass
class Line:
    """A command line, taken apart; `rest` is all but `--config` and its overrides."""

    file: str = ''
    overrides: list[Override] = dataclasses.field(default_factory=list)
    rest: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def expanded(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """`argv` with the arguments that a `--flagfile` holds in its place."""
    try:
        return values.read_flags_from_files(list(argv), force_gnu=False)
    except flags.Error as error:
        raise errors.InputError(in_words(error, values)) from error


def at_home(argument: str) -> str:
    """`--workdir=~/runs` -> `--workdir=/home/me/runs`: bash leaves ~ behind = alone."""
    name, equals, value = argument.partition('=')
    if name.startswith('-') and value.startswith('~/'):
        value = os.path.expanduser(value)  # noqa: PTH111 (it fails without a home)
    return name + equals + value


def in_words(error: flags.Error, values: flags.FlagValues) -> str:
    """absl's error, without the words of Python that it may end with.

    flag --step=x: invalid literal for int() with base 10: 'x'
    -> --step=x is not accepted; use a whole number such as 8.
    """
    cause = error.__context__  # of a value or a file that absl could not read
    if isinstance(error, flags.CantOpenFlagFileError) and isinstance(cause, OSError):
        return f'--flagfile: {errors.cause(cause)}; give a file of flags, one a line.'
    if isinstance(error, flags.UnrecognizedFlagError):
        return _no_flag(error.flagname, values)
    if not isinstance(error, flags.IllegalFlagValueError) or cause is None:
        return str(error)
    given = str(error).removeprefix('flag ').removesuffix(f': {cause}')
    parser = values[given.removeprefix('--').partition('=')[0]].parser
    if isinstance(parser, flags.EnumParser):
        accepted = f'one of {", ".join(parser.enum_values)}'
    else:
        accepted = _in_range(parser) or convert.ACCEPTED[_kind(parser)]
    return f'{given} is not accepted; use {accepted}.'


def _kind(parser: flags.ArgumentParser) -> type:
    return _KINDS.get(parser.flag_type(), str)


def _in_range(parser: flags.ArgumentParser) -> str:
    """'a whole number, 1 or more'; '' for a parser without bounds."""
    least, most = (getattr(parser, f'{x}_bound', None) for x in ('lower', 'upper'))
    number = 'a whole number' if _kind(parser) is int else 'a number'
    if least is not None and most is not None:
        return f'{number} from {least} to {most}'
    if least is not None:
        return f'{number}, {least} or more'
    return '' if most is None else f'{number}, {most} or less'


def read(
    arguments: Sequence[str], values: flags.FlagValues, fields: Iterable[str] = ()
) -> Line:
    """The arguments, taken apart; a flag that `values` does not have is a problem.

    Its remedy may be --config with one of the `fields` of a config.
    """
    line = Line()
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if argument == '--' or not argument.startswith('-'):
            line.rest += [argument, *queue]  # absl stops here too
            break
        name, equals, value = argument.lstrip('-').partition('=')
        given = value if equals else None
        override = re.fullmatch(r'(no)?config\.(.+)', name)
        if override or name == 'config':
            takes_next = not name.startswith('no') and queue and _is_value(queue[0])
            if given is None and takes_next:
                given = queue.pop(0)
            if override:
                line.overrides.append(Override(override[2], given, bool(override[1])))
            else:
                if line.file and given:
                    line.problems += given_twice('--config', [line.file, given])
                line.file = given or ''
            continue
        line.rest.append(argument)
        flag = _find(name, values)
        if flag is None:
            line.problems.append(_no_flag(name, values, fields))
        takes_next = queue and (
            _is_value(queue[0]) if flag is None else not flag.boolean
        )
        if given is None and takes_next:
            line.rest.append(queue.pop(0))
    return line


def given_twice(name: str, values: Sequence[Any]) -> list[str]:
    """A sentence if a flag or field of one value has two different ones, else none."""
    first = values[0]
    other = next((value for value in values if value != first), first)
    if other == first:
        return []
    return [f'{name} is given twice, as {first} and as {other}; give it once.']


def repeated(arguments: Sequence[str], values: flags.FlagValues) -> list[str]:
    """A sentence for each flag that takes one value and is given others too.

    absl keeps the last one. A list is given once, its values with commas. A flag that
    may be repeated, as the name of a folder, is given no empty value.
    """
    given: dict[str, list[str]] = {}
    empty: list[str] = []
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if argument == '--':
            break
        name, equals, text = argument.lstrip('-').partition('=')
        flag = _find(name, values) if argument.startswith('-') else None
        if flag is None:
            continue
        if isinstance(flag, flags.MultiFlag):
            text = text if equals else queue.pop(0) if queue else ''
            if not text:
                empty.append(f'--{name} is empty; give it a value, or leave it out.')
            continue
        if flag.boolean:
            text = _as_parsed(flag, text if equals else str(name in values))
        elif not equals:
            text = queue.pop(0) if queue else ''
        given.setdefault(flag.name, []).append(text)
    found = empty
    for name, texts in given.items():
        if isinstance(values[name].parser, flags.ListParser):
            if len(texts) > 1:
                found.append(
                    f'--{name} is given {len(texts)} times; give it once, its values '
                    f'with commas: --{name}=A,B.'
                )
        else:
            found += given_twice(f'--{name}', texts)
    return found


def _as_parsed(flag: flags.Flag, text: str) -> str:
    """'true' for 't'; the text itself where the flag does not accept it."""
    try:
        return str(flag.parser.parse(text)).lower()
    except ValueError:
        return text


def _no_flag(name: str, values: flags.FlagValues, fields: Iterable[str] = ()) -> str:
    """'--wrkdir is not a flag; did you mean --workdir?'"""
    names = [*values, *(f'config.{field}' for field in fields)]
    return convert.unknown(f'--{name}', [f'--{each}' for each in names], 'a flag')


def _is_value(argument: str) -> bool:
    """Whether an argument can be the value of the flag before it: `-1` can."""
    return not argument.startswith('-') or bool(re.match(r'-[\d.]', argument))


def _find(name: str, values: flags.FlagValues) -> flags.Flag | None:
    if name in values:
        return values[name]
    positive = name.removeprefix('no')
    if positive in values and values[positive].boolean:
        return values[positive]
    return None
