"""How every program of this project starts and fails: one error, never a traceback."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from absl import app, flags, logging

from hax_jax import errors
from hax_jax.config import convert
from hax_jax.program import (
    command_line,
    ending,
    failures,
    help_page,
    interrupts,
    one_process,
    results,
    standard_output,
)

_SMALLER = 'give it smaller data or a smaller model'


def run(
    main: Callable[..., int | None],
    *,
    prepare: Callable[[list[str]], list[str]] = list,
    check: Callable[[], None] = lambda: None,
    positional: bool = False,
    smaller: str = _SMALLER,
    in_one_process: bool = False,
) -> None:
    """Parses absl flags, runs `main` and exits with what it returns (None is 0).

    `prepare` turns the command line into the one that is parsed. `check` raises
    InputError for flags that are wrong by themselves: where `prepare` has something to
    say it is asked too, so that both are said at once; `main` asks it otherwise. With
    `positional`, `main` gets the list of arguments that are no flags, which may stand
    among the flags; without, such an argument is an error. `smaller` says what to do
    when the memory is not enough: 'lower --batch_size'. `in_one_process`: where the
    program is started as several processes, the first one works, and the others end
    with a line.

    A mistake of the user (`InputError`, a loss that is not finite), a file that the
    system refuses, a full disk or memory is printed as one `error:` and exits with 2,
    Ctrl-C with 130 and SIGTERM with 143, each with a line; an output that nobody reads
    any more (`| head`) ends with 141 and no word. Anything else is a defect of ours and
    keeps its traceback.
    """

    interrupts.before_begin()

    def parsed(argv: list[str]) -> list[str]:
        with _explained(smaller):
            _check_streams()
            _check_text(argv)
            return _parse(prepare, [command_line.at_home(x) for x in argv], check)

    def guarded(argv: list[str]) -> int | None:
        with _explained(smaller):
            interrupts.begin()
            if len(argv) > 1 and not positional:
                raise errors.InputError(
                    f'{argv[1]!r} is not a flag; give arguments as --name=value.'
                )
            if not flags.FLAGS['verbosity'].present:
                logging.set_verbosity(logging.WARNING)  # Orbax tells of each file
            if in_one_process and not one_process.is_mine():
                return 0
            with results.printed():
                code = main(argv[1:]) if positional else main()
            ending.finished()
            interrupts.done()
            return code

    app.run(guarded, flags_parser=parsed)


def say(line: str) -> None:
    """Prints to standard error, where no result goes."""
    if not ending.only_warnings:
        interrupts.say(line)


@contextlib.contextmanager
def _explained(smaller: str) -> Iterator[None]:
    """Ends the program with a failure's line and exit code, if it has these."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # what can't be written is an error, not lost at exit
    except BaseException as error:
        found = failures.explained(error, smaller=smaller)
        interrupts.done()
        _end_others(error, found)
        if found is None:
            raise
        with contextlib.suppress(OSError):
            if found[0]:
                say(found[0])
        _flush_or_drop()
        if found[1] > 128:
            # Python's own end crashes threads that still compile, and waits for those
            # that a library was broken off before it ended.
            os._exit(found[1])
        sys.exit(found[1])


def _end_others(error: BaseException, found: tuple[str, int] | None) -> None:
    """Ends all processes of the run, this one too; returns where this one is alone."""
    if found is None and isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(bool(error.code))
        if code == 0:
            return
        found = f'ended by exit code {code}', code
    line, code = found or (None, 1)
    ending.failed(error, line, code)


def _flush_or_drop() -> None:
    """Empties the buffers of the outputs, so that Python has nothing to do at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, errors.OutputError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _check_streams() -> None:
    """Makes the three standard streams safe to use.

    A closed one is None, and its number goes to the next file that is opened, into
    which libraries would then write their messages.

    Raises:
      InputError: standard output is closed.
    """
    has_output = sys.stdout is not None
    for number, name, mode in (
        (0, 'stdin', 'r'),
        (1, 'stdout', 'w'),
        (2, 'stderr', 'w'),
    ):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 (kept open)
            if not _is_open(number):
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)
    if not has_output:
        raise errors.InputError(
            'standard output is closed; give it a file, a pipe or /dev/null.'
        )
    for stream in (sys.stdout, sys.stderr):
        # A file's name or an answer that the encoding does not have ends no program.
        if stream.errors == 'strict':
            stream.reconfigure(errors='backslashreplace')
    standard_output.tell_apart()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _check_text(texts: list[str]) -> None:
    """Raises InputError, naming each text that can be no name of a file."""
    problems = [(text, convert.text_problem(text)) for text in texts]
    found = [f'{text[:100]!r} {problem}' for text, problem in problems if problem]
    errors.refuse(found)


def _of_other_flags(argv: list[str], check: Callable[[], None]) -> list[str]:
    """What `check` says of the flags beside --config and its overrides.

    Nothing where absl does not accept one of them: `prepare` has said so.
    """
    try:
        given = command_line.expanded(argv, flags.FLAGS)
        flags.FLAGS([argv[0], *command_line.read(given[1:], flags.FLAGS).rest])
    except (flags.Error, errors.InputError):
        return []
    return errors.gathered(check)


def _parse(
    prepare: Callable[[list[str]], list[str]],
    argv: list[str],
    check: Callable[[], None],
) -> list[str]:
    """absl's own parser, with an unknown or ill-typed flag reported in one line."""
    try:
        # ml_collections reads the overrides of a config from sys.argv itself.
        try:
            sys.argv[:] = prepare(argv)
        except errors.InputError as error:
            errors.refuse([str(error), *_of_other_flags(argv, check)])
        if help_page.is_asked(sys.argv, *help_page.ASKS):
            print(help_page.of_program())
            sys.exit(0)
        rest = flags.FLAGS(sys.argv)
        given = command_line.expanded(sys.argv, flags.FLAGS)
        errors.refuse(command_line.repeated(given[1:], flags.FLAGS))
    except (flags.Error, errors.InputError) as error:
        said = command_line.in_words(error, flags.FLAGS)
        raise errors.InputError(f'{said}\nTry --help.') from error
    except SystemExit:  # after a help page; absl ends with 1
        sys.exit(0)
    # A --flagfile can hold what a command line can't.
    for value in flags.FLAGS.flag_values_dict().values():
        listed = value if isinstance(value, list) else [value]
        _check_text([each for each in listed if isinstance(each, str)])
    return rest
