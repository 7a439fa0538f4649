"""`--config=FILE` and `--config.SECTION.FIELD=VALUE`, every wrong one reported at once.

    CONFIG = config_flag.ConfigFlag(schema.Config, subject='what to train', ...)
    CONFIG.define()                                  # at the top of a program

    def main() -> None:
        run = CONFIG.value()                         # a validated `schema.Config`

    entry.run(main, prepare=CONFIG.check)

`check` reads the command line before absl does, and hands it on in one form,
`--config.section.field=value`. ml_collections alone stops at the first mistake, with a
traceback, and says nothing of a file that does not load until the config is read.
"""

import dataclasses
import importlib.machinery
import importlib.util
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from hax_jax import errors, near_names
from hax_jax.config import convert, schema
from hax_jax.program import command_line, help_page

_PROJECT = pathlib.Path(__file__).parents[2]
# What ml_collections says of a draft, which takes no new fields.
_NO_FIELD = re.compile(
    r"""(?:Key "(?=\w+" does not exist)|"""
    r"""^[\\'"]+(?=\w+[\\'"]+(?:$|n?\s?Did you mean)))(?P<name>\w+)"""
)
_OF_ANOTHER_TYPE = re.compile(
    r"override field '(?P<name>\w+)'.*original type <class '(?P<has>\w+)'>.*"
    r"to type <class '(?P<asked>\w+)'>"
)

flags.disclaim_key_flags()  # --config is shown in the --help of the program


@dataclasses.dataclass(frozen=True)
class ConfigFlag:
    """A program's `--config`: a file of Python whose `get_config()` gives a draft.

    A program without a `default_file` needs the flag.
    """

    kind: type  # the dataclass that the draft becomes
    subject: str  # the file says 'what to train'
    example: str  # a file that the project has, beside which the others lie
    draft: str  # the function that gives the draft which a file changes
    override: str  # an example of one: '--config.train.seed=1'
    common: str  # the fields that --help shows
    default_file: str = ''

    def define(self) -> None:
        """Defines `--config` for the program that calls it."""
        default = 'without it,' if self.default_file else 'e.g.'
        try:
            config_flags.DEFINE_config_file(
                'config',
                help_string=f'The file that says {self.subject}; {default} '
                f'{self.example}. Any field of it is a flag, e.g. {self.override}.',
            )
        except flags.Error as error:  # it opens a --flagfile before `entry.run`
            said = command_line.in_words(error, flags.FLAGS)
            print(f'error: {said}\nTry --help.', file=sys.stderr)
            sys.exit(2)
        flags.DEFINE_bool('help_config', False, 'List every field and stop.')

    def value(self) -> Any:
        """The validated config of the parsed command line.

        Raises:
          InputError: names every field that is out of range.
        """
        return convert.freeze(flags.FLAGS.config, self.kind)

    def load(self, file: str) -> ml_collections.ConfigDict:
        """The draft that a file's `get_config()` returns; `file.py:text` passes `text`.

        Raises:
          InputError: there is no file, or it does not run or returns no draft.
        """
        if not file:
            raise errors.InputError(
                f'--config is missing; give the file that says {self.subject}, e.g. '
                f'--config={self.example}.'
            )
        path, colon, text = self._found(file).partition(':')
        if not pathlib.Path(path).is_file():
            there = sorted((_PROJECT / self.example).parent.glob('*.py'))
            near = near_names.near_path(path) or convert.nearest(
                pathlib.Path(path).stem, [each.stem for each in there]
            )
            raise errors.InputError(
                f'--config={path} is not a file; '
                + (f'did you mean {near}? There are ' if near else 'there are ')
                + f'{", ".join(each.stem for each in there)}.'
            )
        loader = importlib.machinery.SourceFileLoader('config_file', path)
        spec = importlib.util.spec_from_loader('config_file', loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        try:
            loader.exec_module(module)
            if not callable(getattr(module, 'get_config', None)):
                raise errors.InputError(
                    f'--config={path} has no function get_config(); give it one that '
                    f'returns {self.draft}() with its changes.'
                )
            made = module.get_config(*([text] if colon else []))
        except errors.InputError:
            raise
        except (Exception, SystemExit) as error:  # the cause is in the file
            raise errors.InputError(
                f'--config={path} does not load: {_place(error, path)}'
                f'{_in_words(error, self.kind)} Mend the file.'
            ) from error
        if not isinstance(made, ml_collections.ConfigDict):
            raise errors.InputError(
                f'--config={path}: get_config() returns a {type(made).__name__}; it '
                f'must return {self.draft}() with its changes.'
            )
        has = {x for x in made if isinstance(made[x], ml_collections.ConfigDict)}
        if has and not has & _fields(self.kind):
            what = 'it is a config of training'
            if not has <= _fields(schema.Config):
                what = f'its sections are {", ".join(sorted(has))}'
            raise errors.InputError(
                f'--config={path} does not say {self.subject}: {what}; give one such '
                f'as --config={self.example}.'
            )
        return made

    def _found(self, file: str) -> str:
        """A file as it is; a config of the project by its path there or its name."""
        path, colon, text = file.partition(':')
        folder = _PROJECT / pathlib.Path(self.example).parent
        # A config of another kind is found too, so that `load` says what it is.
        folders = (folder, _PROJECT / 'configs', _PROJECT / 'configs/data')
        named = [each / f'{path}.py' for each in folders]
        for there in (path, _PROJECT / path, *named):
            if path and pathlib.Path(there).is_file():
                return f'{there}{colon}{text}'
        return file

    def check(
        self, argv: Sequence[str], *, values: flags.FlagValues = flags.FLAGS
    ) -> list[str]:
        """The same command line for absl to parse: `--config`, then its overrides.

        A tuple's names may be joined by commas or written as Python has them; a tuple
        that is set again is added to.

        Raises:
          InputError: names every flag and field that does not exist, with the nearest
            that does, and every value that its field does not accept; or says why the
            config file gives no config.
        """
        argv = command_line.expanded(argv, values)
        if help_page.is_asked(argv, 'help_config'):
            print(help_page.of_config(self.kind))
            sys.exit(0)
        if help_page.is_asked(argv, *help_page.ASKS):
            print(help_page.of_program(values, kind=self.kind, common=self.common))
            sys.exit(0)
        if help_page.is_asked(argv, 'helpfull', 'helpxml'):
            return [*argv[:1], *(each for each in argv if 'help' in each)]
        defaults = convert.flatten(convert.draft(self.kind).to_dict())
        line = command_line.read(argv[1:], values, defaults)
        file, problems = self._found(line.file or self.default_file), line.problems
        chosen: dict[str, Any] = {}
        for override in line.overrides:
            try:
                value = override.value(defaults)
            except errors.InputError as error:
                problems.append(str(error))
                continue
            wrong = convert.wrong_fields({override.field: value}, self.kind)
            before = chosen.get(override.field)
            if isinstance(value, tuple) and not wrong:
                value = (before or ()) + value
            elif before is not None:
                wrong += command_line.given_twice(
                    f'--config.{override.field}', [before, value]
                )
            if not wrong:
                chosen[override.field] = value
            problems += wrong
        try:
            draft = convert.flatten(self.load(file).to_dict())
        except errors.InputError as error:
            problems.insert(0, str(error))
        else:
            chosen |= _turned_off(draft, chosen)
            problems = convert.problems(draft | chosen, self.kind, others=problems)
        errors.refuse(problems)
        overrides = [f'--config.{field}={value}' for field, value in chosen.items()]
        return [argv[0], f'--config={file}', *overrides, *line.rest]


def _fields(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _turned_off(draft: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """What the file set and a typed field replaces, off; says so on standard error."""
    off = {}
    for pair in schema.ONE_OF_TWO:
        for typed, other in (pair, pair[::-1]):
            if chosen.get(typed) and other not in chosen and draft.get(other):
                off[other] = type(draft[other])(0)
                print(
                    f'--config.{typed}={chosen[typed]} takes the place of '
                    f"{other}={draft[other]}, which is the config file's",
                    file=sys.stderr,
                )
    return off


def _in_words(error: BaseException, kind: type) -> str:
    """What is wrong, also where ml_collections prints all fields of a section."""
    said = ' '.join(str(error).split())  # of some errors, several lines
    if isinstance(error, AttributeError) and (met := _NO_FIELD.search(said)):
        names = [*convert.fields(kind)]
        names += {name.partition('.')[0] for name in names}
        return convert.unknown(met['name'], names)
    if isinstance(error, TypeError) and (met := _OF_ANOTHER_TYPE.search(said)):
        return f'{met["name"]} is a {met["has"]}; it has to be of type {met["asked"]}.'
    return f'{type(error).__name__}: {said}.'


def _place(error: BaseException, path: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f'line {lines[-1]}: ' if lines else ''
