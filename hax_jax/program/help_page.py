"""What --help and --help_config print: flags and fields, each with default and meaning.

absl's own page gives four lines to a flag, and knows no fields of a config.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from absl import flags

from hax_jax.config import convert, meanings

ASKS = ('help', 'h', '?', 'helpshort')  # --helpfull and --helpxml are absl's own
_REPEATED = '; repeat this option to specify a list of values'
_COLUMN = 38  # where meanings begin


def is_asked(argv: Sequence[str], *names: str) -> bool:
    return any(f'-{name}' in argv or f'--{name}' in argv for name in names)


def of_program(
    values: flags.FlagValues = flags.FLAGS,
    *,
    kind: type | None = None,
    common: str = '',
) -> str:
    """The program's docstring, the `common` fields of its config, its own flags."""
    main = sys.modules['__main__']
    parts = [(main.__doc__ or '').strip()]
    if kind:
        names = common.split()
        parts.append(
            'fields of --config, as --config.SECTION.FIELD=VALUE (--help_config lists '
            f'all {len(convert.fields(kind))}):'
        )
        parts[-1] += '\n' + _lines(_fields(kind, names))
    own = list(values.get_key_flags_for_module(sys.argv[0]))
    own += [values['json']] if 'json' in values else []
    rows = [_flag(flag) for flag in sorted(own, key=lambda flag: flag.name)]
    parts.append('flags:\n' + _lines(rows) + '\n\n--helpfull lists all flags.')
    return '\n\n'.join(parts)


def of_config(kind: type) -> str:
    """Every field of a config: its default, its meaning, the values that it accepts."""
    by_name = convert.fields(kind)
    rows = [
        (name, default, f'{meaning} [{convert.accepted(field)}]')
        for (name, default, meaning), field in zip(
            _fields(kind, by_name), by_name.values(), strict=True
        )
    ]
    return 'fields, as --config.SECTION.FIELD=VALUE:\n' + _lines(rows)


def _fields(kind: type, names: Iterable[str]) -> list[tuple[str, str, str]]:
    told, by_name = meanings.of(kind), convert.fields(kind)
    return [(name, _shown(by_name[name].default), told[name]) for name in names]


def _flag(flag: flags.Flag) -> tuple[str, str, str]:
    name = f'--[no]{flag.name}' if flag.boolean else f'--{flag.name}'
    default = '' if flag.boolean or flag.default is None else _shown(flag.default)
    meaning = ' '.join((flag.help or '').split())
    return name, default, meaning.removesuffix(_REPEATED)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ','.join(map(str, value))
    return str(value)


def _lines(rows: Iterable[tuple[str, str, str]]) -> str:
    """A row of (name, default, meaning) a line, or more where they are long."""
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = []
    for name, default, meaning in rows:
        head = f'  {name}' + (f'={default}' if default else '')
        told = textwrap.wrap(meaning, width - _COLUMN) or ['']
        if len(head) >= _COLUMN:
            lines.append(head)
            head = ''
        lines.append(f'{head:{_COLUMN}}{told[0]}'.rstrip())
        lines += [' ' * _COLUMN + line for line in told[1:]]
    return '\n'.join(lines)
