"""The local folder of a path or of a Hugging Face hub name."""

import fnmatch
import pathlib
import re
import shlex
from collections.abc import Sequence

from hax_jax import errors, local_copy, near_names

_PATIENCE = 4.0  # seconds until the hub has to answer
_HUB_NAME = re.compile(r'[\w.-]+(/[\w.-]+)?')


def import_first(path: pathlib.Path, more: str = '') -> str:
    """The words for a checkpoint that has to become a Hugging Face folder first."""
    return (
        'make a Hugging Face folder of it first: python -m launch.import_checkpoint '
        f'{shlex.quote(str(path))}{more} --output=models/imported'
    )


def local_folder(
    path: str, *, field: str, patterns: list[str], one_of: Sequence[list[str]] = ()
) -> pathlib.Path:
    """The folder at `path`; else a download of the hub's files that match `patterns`.

    `one_of` are groups of patterns; the first group that matches a file of the hub is
    downloaded too, because the hub has a model in many formats, each as large as the
    model. If the hub can't be reached, an earlier download serves.

    Raises:
      InputError: there is no folder and no download; names the config's `field`.
    """
    folder = local_copy.folder(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        beside = (folder.parent / 'config.json').is_file()
        remedy = f'give the folder that it lies in, {folder.parent}'
        raise errors.InputError(
            f'{field}={path!r} is a file; {remedy if beside else import_first(folder)}.'
        )
    if not _HUB_NAME.fullmatch(path) or path.startswith('.'):
        raise errors.InputError(
            f'{field}={path!r} is not a folder, nor a hub name; give one or the other.'
            + near_names.meant(path)
        )
    try:
        return pathlib.Path(_download(path, patterns, one_of))
    except Exception as error:  # the hub raises many kinds for one cause
        near = near_names.meant(path)
        raise errors.InputError(
            f'{field}={path!r} is not a folder here, and {_cause(error)} '
            f'(it says: {_said(error)})' + f'.{near}' * bool(near)
        ) from error


def _cause(error: Exception) -> str:
    """Why the hub gave nothing, and what to do."""
    import huggingface_hub

    to_folder = 'copy the files to a folder and give that'
    if not isinstance(error, huggingface_hub.errors.HfHubHTTPError):
        return (
            'the hub can not be reached from this machine; '
            f'start again with a network, or {to_folder}'
        )
    if isinstance(error, huggingface_hub.errors.RepositoryNotFoundError):
        return (
            'the hub has no public model of that name; check the spelling, log in '
            f'with `hf auth login` if it is yours, or {to_folder}'
        )
    return f'the hub refused it; start again later, or {to_folder}'


def _said(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]


def _download(name: str, patterns: list[str], one_of: Sequence[list[str]]) -> str:
    import huggingface_hub  # slow, and a folder does not need it

    try:
        # Not list_repo_files: without a network it retries for 24 s.
        siblings = huggingface_hub.model_info(name, timeout=_PATIENCE).siblings or []
    except Exception as error:
        folder = _cached(name, patterns, one_of)
        if not folder:
            raise
        print(
            f'{name}: using the files in {folder}; the hub can not be asked '
            f'({_said(error)})',
            flush=True,
        )
        return folder
    there = [file.rfilename for file in siblings]
    chosen = next((group for group in one_of if _any_match(there, group)), [])
    return huggingface_hub.snapshot_download(name, allow_patterns=patterns + chosen)


def _cached(name: str, patterns: list[str], one_of: Sequence[list[str]]) -> str:
    """The folder of an earlier download with a file of `one_of`, else ''."""
    import huggingface_hub

    for group in one_of or [[]]:
        try:
            folder = huggingface_hub.snapshot_download(
                name, allow_patterns=patterns + group, local_files_only=True
            )
        except OSError:  # no download, or it is known to lack one of these files
            continue
        names = [file.name for file in pathlib.Path(folder).iterdir()]
        if not group or _any_match(names, group):
            return folder
    return ''


def _any_match(names: list[str], patterns: list[str]) -> bool:
    return any(fnmatch.filter(names, pattern) for pattern in patterns)
