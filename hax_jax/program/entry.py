"""How every program of this project starts and fails: one error, never a traceback."""

import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging

from hax_jax import errors
from hax_jax.program import early_ctrl_c


def run(
    main: Callable[..., int | None],
    *,
    prepare: Callable[[list[str]], list[str]] = list,
    positional: bool = False,
) -> None:
    """Parses absl flags, runs `main` and exits with what it returns (None is 0).

    `prepare` turns the command line into the one that is parsed. With `positional`,
    `main` gets the list of arguments that are no flags, which may stand among the
    flags; without, such an argument is an error.

    A mistake of the user (`InputError`, a loss that is not finite, or a file that the
    system refuses) is printed as one `error:` and exits with 2, Ctrl-C with 130.
    Anything else is a defect of ours and keeps its traceback.
    """

    # End as Ctrl-C does, so that what is half-written goes; training saves first.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, _: sys.exit(128 + number))

    def guarded(argv: list[str]) -> int | None:
        try:
            early_ctrl_c.give_back()
            if len(argv) > 1 and not positional:
                raise errors.InputError(
                    f'{argv[1]!r} is not a flag; give arguments as --name=value.'
                )
            if not flags.FLAGS['verbosity'].present:
                logging.set_verbosity(logging.WARNING)  # Orbax tells of each file
            return main(argv[1:]) if positional else main()
        except (errors.InputError, FloatingPointError) as error:
            say(f'error: {error}')
            return 2
        except OSError as error:
            say(
                f'error: {error}; give a path that this user may read or write, on a '
                'disk that has room.'
            )
            return 2
        except KeyboardInterrupt:
            say('stopped by Ctrl-C')
            return 130

    app.run(guarded, flags_parser=lambda argv: _parse(prepare, argv))


def say(line: str) -> None:
    """Prints to standard error, where no result goes."""
    print(line, file=sys.stderr, flush=True)


def _parse(prepare: Callable[[list[str]], list[str]], argv: list[str]) -> list[str]:
    """absl's own parser, with an unknown or ill-typed flag reported in one line."""
    try:
        # ml_collections reads the overrides of a config from sys.argv itself.
        sys.argv[:] = prepare(argv)
        return flags.FLAGS(sys.argv)
    except (flags.Error, errors.InputError) as error:
        say(f'error: {error}\nTry --help.')
        sys.exit(2)
    except SystemExit:  # after --help, which absl ends with 1
        sys.exit(0)
