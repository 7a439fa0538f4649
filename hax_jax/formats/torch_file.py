"""The dictionary in a file of torch.save, its tensors as numpy arrays on disk."""

import pathlib
import zipfile
from typing import Any

import ml_dtypes

from hax_jax import errors
from hax_jax.formats import weight_files


def load(file: pathlib.Path) -> dict[Any, Any]:
    """The dictionary in a file. Arrays are views of the file: copy those to keep.

    Runs no code of the file. bfloat16 arrays have ml_dtypes' type.

    Raises:
      InputError: the file is not torch.save's, is damaged or cut short, or holds other
        things than a dictionary of plain values and tensors; or torch is absent.
    """
    _check_zip(file)
    try:
        stored = weight_files.load_torch(file, mmap=True)
    except ImportError as error:
        raise errors.InputError(
            f'{file} needs torch to be read: pip install torch (its CPU version will '
            f'do; {error}).'
        ) from error
    except weight_files.NotTensorsError as error:
        raise errors.InputError(
            f'{file} holds {error}, and reading that would run code of the file, which '
            'is never done; save it again where it was made, of numbers, texts, lists, '
            'dictionaries and tensors alone.'
        ) from error
    except Exception as error:  # torch raises many kinds
        if errors.is_of_machine(error):
            raise
        raise errors.InputError(
            f'{file} is a zip, but not of torch.save '
            f'({str(error).splitlines()[0][:200]}); give the right file.'
        ) from error
    if not isinstance(stored, dict):
        raise errors.InputError(
            f'{file} holds a {type(stored).__name__}, not a dictionary; give a '
            'checkpoint.'
        )

    import torch  # it has just read the file

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: convert(inner) for key, inner in value.items()}
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
        if not dense or value.is_quantized:
            return value
        if value.dtype == torch.bfloat16:  # numpy has no such type
            bits = value.detach().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        return value.detach().numpy()

    return convert(stored)


def _check_zip(file: pathlib.Path) -> None:
    if not file.is_file():
        raise errors.InputError(f'{file} is not a file; give one of torch.save.')
    if not file.stat().st_size:
        raise errors.InputError(f'{file} is empty; copy it again.')
    with open(file, 'rb') as opened:
        begins = opened.read(4)
    if not zipfile.is_zipfile(file):
        if begins == b'PK\x03\x04':
            raise errors.InputError(f'{file} is cut short; copy it again.')
        raise errors.InputError(
            f'{file} is no file of torch.save (since torch 1.6 that is a zip); give '
            'a .pt, .pth or .bin file, or a folder. If torch.load reads it, save it '
            'again.'
        )
    try:
        with zipfile.ZipFile(file) as opened:
            damaged = opened.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        damaged = str(error)
    if damaged:
        raise errors.InputError(f'{file} is damaged ({damaged}); copy it again.')
