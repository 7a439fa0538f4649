"""A file of torch.save: its dictionary, with numpy arrays for tensors, unread."""

import pathlib
import re
import zipfile
from typing import Any

import ml_dtypes

from hax_jax import config

_REFUSED_CLASS = re.compile(r'GLOBAL (\S+) was not an allowed')  # torch's words


def load(file: pathlib.Path) -> dict[Any, Any]:
    """The dictionary in a file. Arrays are views of the file: copy what shall stay.

    No code of the file is run. bfloat16 is as ml_dtypes has it.

    Raises:
      InputError: it is not such a file, is damaged or cut short, holds something else
        than a dictionary or objects of Python's classes; or there is no torch.
    """
    _check_zip(file)
    try:
        import torch  # 2 s to import, 200 MB to install; only such files need it
    except ImportError as error:
        raise config.InputError(
            f'{file} needs torch to be read: pip install torch (its CPU version will '
            f'do; {error}).'
        ) from error
    try:
        stored = torch.load(file, weights_only=True, mmap=True, map_location='cpu')
    except Exception as error:  # torch raises many kinds
        found = _REFUSED_CLASS.search(str(error))
        if found:
            raise config.InputError(
                f'{file} holds a {found[1]}, and reading that would run code of the '
                'file; where you trust it, load it with torch.load(..., '
                'weights_only=False), turn what is not a number, text, list, '
                'dictionary or tensor into one, and save it again.'
            ) from error
        raise config.InputError(
            f'{file} is a zip, but not of torch.save '
            f'({str(error).splitlines()[0][:200]}); give the right file.'
        ) from error
    if not isinstance(stored, dict):
        raise config.InputError(
            f'{file} holds a {type(stored).__name__}, not a dictionary; give a '
            'checkpoint.'
        )

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: convert(inner) for key, inner in value.items()}
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not dense or value.is_quantized:
            return value
        if value.dtype == torch.bfloat16:  # which numpy lacks
            bits = value.detach().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        return value.detach().numpy()

    return convert(stored)


def _check_zip(file: pathlib.Path) -> None:
    if not file.is_file():
        raise config.InputError(f'{file} is not a file; give one of torch.save.')
    with open(file, 'rb') as opened:
        begins = opened.read(4)
    if not zipfile.is_zipfile(file):
        if begins == b'PK\x03\x04':
            raise config.InputError(f'{file} is cut short; copy it again.')
        raise config.InputError(
            f'{file} is not a zip, as torch.save writes since torch 1.6; if torch.load '
            'reads it, save it again.'
        )
    try:
        with zipfile.ZipFile(file) as opened:
            damaged = opened.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        damaged = str(error)
    if damaged:
        raise config.InputError(f'{file} is damaged ({damaged}); copy it again.')
