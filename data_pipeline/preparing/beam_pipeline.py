"""The options, the shared folder and the errors of every Apache Beam pipeline here.

apache-beam is an optional requirement, so only functions import it.
"""

import contextlib
import dataclasses
import pathlib
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from hax_jax import errors

INSTALL = "pip install 'apache-beam>=2.70'"
_CAUSES = 20  # followed from a runner's error to the first one


@dataclasses.dataclass(frozen=True)
class Options:
    """The runner, and the folder that its workers share with this process.

    `arguments` are Beam's own, e.g. ('--direct_num_workers=2',). `folder` is any path
    that Beam's file systems know (gs://, a shared mount); '' is a hidden folder beside
    the output, for workers of this machine.
    """

    runner: str = 'DirectRunner'
    arguments: tuple[str, ...] = ()
    folder: str = ''


def imported() -> Any:
    """The module apache_beam.

    Raises:
      InputError: it is not installed.
    """
    try:
        import apache_beam
    except ImportError as error:
        raise errors.InputError(
            f'a Beam runner needs Apache Beam ({error}); {INSTALL}, or leave '
            '--beam_runner out to use the processes of this machine.'
        ) from error
    return apache_beam


def parsed(options: Options) -> Any:
    """The `PipelineOptions` of Beam.

    Raises:
      InputError: Beam is not installed, or does not take an argument.
    """
    beam = imported()
    runner = options.runner
    if runner.lower() in ('direct', 'directrunner'):
        # Beam's DirectRunner first downloads another runner, Prism, from GitHub; if
        # that fails, it falls back to this one.
        runner = 'FnApiRunner'
    arguments = [f'--runner={runner}', *options.arguments]
    try:
        found = beam.options.pipeline_options.PipelineOptions(arguments)
        found.get_all_options()  # parses the arguments, which Beam would do later
        return found
    except SystemExit as error:  # argparse has printed what is wrong
        raise errors.InputError(
            f'Apache Beam does not take {" ".join(options.arguments)}; --beam_options '
            "are its own, such as '--direct_num_workers=2'."
        ) from error


@contextlib.contextmanager
def work_folder(options: Options, *, beside: pathlib.Path) -> Iterator[str]:
    """A new folder for one pipeline, deleted at the end.

    Raises:
      InputError: `options.folder` can't be written to.
    """
    if not options.folder:
        beside.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f'.{beside.name}.beam.', dir=beside.parent
        ) as folder:
            yield folder
        return
    file_systems = imported().io.filesystems.FileSystems
    folder = file_systems.join(options.folder, f'hax_jax_{uuid.uuid4().hex}')
    try:
        file_systems.mkdirs(folder)
    except (OSError, ValueError) as error:
        raise errors.InputError(
            f'--beam_folder={options.folder} can not be written to ({error}); give a '
            'folder that this machine and the workers share, such as '
            'gs://BUCKET/FOLDER.'
        ) from error
    try:
        yield folder
    finally:
        file_systems.delete([folder])


@contextlib.contextmanager
def named_errors(what: str) -> Iterator[None]:
    """Turns the failure of a pipeline into one InputError that names its first cause.

    Raises:
      InputError: the pipeline failed; Beam's own error is its cause.
    """
    try:
        yield
    except errors.InputError:
        raise
    except Exception as error:  # runners raise errors of any type
        first: BaseException = error
        for _ in range(_CAUSES):
            first = first.__cause__ or first
        told = str(first).strip().splitlines() or [type(first).__name__]
        raise errors.InputError(
            f'the Beam pipeline failed ({what}): {type(first).__name__}: {told[-1]}. '
            'The log of the runner has the whole error; leave --beam_runner out to '
            'prepare on this machine alone.'
        ) from error
