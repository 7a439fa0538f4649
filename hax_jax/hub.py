"""A folder, or a Hugging Face hub name, to a folder on this machine."""

import pathlib
import re

from hax_jax import config

_HUB_NAME = re.compile(r'[\w.-]+(/[\w.-]+)?')


def local_folder(path: str, *, field: str, patterns: list[str]) -> pathlib.Path:
    """The folder at `path`; else the hub's files of that name that match `patterns`.

    Raises:
      InputError: neither is there; the message names the config's `field`.
    """
    folder = pathlib.Path(path).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(path) or path.startswith('.'):
        raise config.InputError(
            f'{field}={path!r} is not a folder, nor a hub name; give one or the other.'
        )
    import huggingface_hub  # asked only when a name is not a folder

    try:
        return pathlib.Path(
            huggingface_hub.snapshot_download(path, allow_patterns=patterns)
        )
    except Exception as error:  # many kinds for one cause: nothing came
        raise config.InputError(
            f'{field}={path!r} is not a folder here, and the hub gave nothing of that '
            'name; check the spelling, or copy the files to a folder and give that. '
            f'The hub said: {(str(error) or repr(error)).splitlines()[0]}'
        ) from error
