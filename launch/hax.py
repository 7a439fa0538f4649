"""One command for every program: `hax train --config=gpt2_lora ...`.

    hax                      # all programs, a line each
    hax train --help
    eval "$(hax --completion)"   # names and flags by the Tab key, in bash

`hax train` is `python -m launch.train`, from any folder.
"""

import ast
import contextlib
import importlib.metadata
import importlib.util
import io
import os
import pathlib
import re
import runpy
import signal
import sys

PROGRAMS = {
    'build': 'data_pipeline.build',
    'collect': 'data_pipeline.collect',
    'extract': 'data_pipeline.extract',
    'data': 'data_pipeline.browse',
    'pack': 'launch.pack',
    'export_chat': 'data_pipeline.export_chat',
    'train': 'launch.train',
    'sample': 'launch.sample',
    'chat': 'launch.chat',
    'evaluate': 'launch.evaluate',
    'compare': 'launch.evaluate',
    'report': 'launch.report',
    'saturation': 'launch.saturation',
    'tune': 'launch.tune',
    'doctor': 'launch.doctor',
    'export': 'launch.export',
    'import': 'launch.import_checkpoint',
    'checkpoints': 'launch.checkpoints',
    'benchmark': 'launch.benchmark',
    'prove_resume': 'launch.prove_resume',
}
_LINES = {'compare': 'Two models, pair by pair: evaluate with two --workdir.'}
_COMPLETION = r"""_hax() {
  local IFS=$'\n' names
  names=$(hax --names "$2" "${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=($(compgen -W "$names" -- "$2"))
  [[ ${COMPREPLY[0]-} == *[=.] ]] && compopt -o nospace
}
complete -o default -F _hax hax"""


def main() -> None:
    name, *rest = sys.argv[1:] or ['--help']
    if name in PROGRAMS:
        asked = ['--two'] if name == 'compare' else []
        sys.argv[:] = [f'hax {name}', *asked, *rest]
        runpy.run_module(PROGRAMS[name], run_name='__main__', alter_sys=True)
        return
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `hax | head` ends without a word
    try:
        _answer(name, rest)
        sys.stdout.flush()
    except OSError as error:
        print(f'error: standard output can not be written to: {error}', file=sys.stderr)
        os._exit(2)  # what is left to write would fail once more


def _answer(name: str, rest: list[str]) -> None:
    if name in ('--help', '-h', 'help'):
        print(_listed())
    elif name == '--version':
        print(importlib.metadata.version('hax_jax'))
    elif name == '--completion':
        print(_COMPLETION)
    elif name == '--names':
        print('\n'.join(_names(rest[1:], rest[0])))
    else:
        print(f'error: {_unknown(name)}\nTry hax --help.', file=sys.stderr)
        sys.exit(2)


def _unknown(name: str) -> str:
    """'trian is not a program of hax; did you mean train?'

    A module's name means its program: import_checkpoint, launch.sample, browse.
    """
    from hax_jax.config import convert

    meant: dict[str, str] = {}
    for program, module in PROGRAMS.items():
        meant.setdefault(module.rpartition('.')[2], program)
    meant |= {program: program for program in PROGRAMS}
    near = convert.nearest(name.removesuffix('.py').replace('/', '.'), meant)
    more = f'; did you mean {meant[near]}?' if near else '.'
    return f'{name} is not a program of hax{more}'


def _listed() -> str:
    lines = [f'  {name:13} {_line(name)}' for name in PROGRAMS]
    return '\n'.join(
        ['usage: hax PROGRAM [--FLAG=VALUE ...]', '', *lines, '', 'hax PROGRAM --help']
    )


def _line(name: str) -> str:
    """What a program does: the first line of its docstring, which is not run."""
    if name in _LINES:
        return _LINES[name]
    spec = importlib.util.find_spec(PROGRAMS[name])
    assert spec is not None and spec.origin is not None
    tree = ast.parse(pathlib.Path(spec.origin).read_text(encoding='utf-8'))
    return (ast.get_docstring(tree) or '').splitlines()[0]


def _names(typed: list[str], current: str) -> list[str]:
    """What `current` may become after the words `typed`: programs, or flags.

    The flags are those of a program's own help page; fields are on that of its config.
    """
    if not typed:
        return list(PROGRAMS)
    if typed[0] not in PROGRAMS:
        return []
    of_config = current.startswith('--config.')
    page = io.StringIO()
    sys.argv[:] = [f'hax {typed[0]}', '--help_config' if of_config else '--help']
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        runpy.run_module(PROGRAMS[typed[0]], run_name='__main__', alter_sys=True)
    if of_config:
        fields = re.findall(r'^  (\w+\.\w+)', page.getvalue(), re.MULTILINE)
        return [f'--config.{field}=' for field in fields]
    flags = re.findall(r'^  --(\[no\])?(\w+)', page.getvalue(), re.MULTILINE)
    names = [f'--{name}' + ('' if boolean else '=') for boolean, name in flags]
    return names + (['--config.'] if '--config=' in names else [])


if __name__ == '__main__':
    main()
