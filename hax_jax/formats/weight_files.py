"""A model's weights by the names a file stores: safetensors, torch's .bin, .msgpack.

Floats become float32 as they are read, one tensor at a time: memory peaks at the model
in float32 and little more than its largest tensor.
"""

import json
import math
import mmap
import pathlib
import re
from typing import Any

import huggingface_hub
import ml_dtypes
import msgpack
import numpy as np
import safetensors
import safetensors.numpy

from hax_jax import errors, files

# A folder is read in the first of these formats that it holds: the pattern of its
# files, and the index of a model that was cut into several files.
_FORMATS = (
    ('*.safetensors', 'model.safetensors.index.json'),
    ('pytorch_model*.bin', 'pytorch_model.bin.index.json'),
    ('flax_model*.msgpack', 'flax_model.msgpack.index.json'),
)
SUFFIXES = ('.safetensors', '.bin', '.msgpack')
# All of their files.
PATTERNS = [pattern for files in _FORMATS for pattern in files]
# The same order, for a hub's list of files: the first group that it has is downloaded.
HUB_PATTERNS = [
    ['model.safetensors'],
    ['model.safetensors.index.json', 'model-*-of-*.safetensors'],
    ['pytorch_model.bin'],
    ['pytorch_model.bin.index.json', 'pytorch_model-*-of-*.bin'],
    ['flax_model.msgpack'],
    ['flax_model.msgpack.index.json', 'flax_model-*-of-*.msgpack'],
]
DTYPES = {  # what a model can be written in
    'float32': np.dtype(np.float32),
    'float16': np.dtype(np.float16),
    'bfloat16': np.dtype(ml_dtypes.bfloat16),
}
_FLAX_ARRAY = 1  # flax.serialization's code of an array
_FLAX_CHUNKED = '__msgpack_chunked_array__'  # an array over 1 GiB, in pieces


def read_folder(folder: pathlib.Path, *, field: str) -> dict[str, np.ndarray]:
    """Stored name -> tensor, of all files of the first format that `folder` holds.

    Raises:
      InputError: there is no such file, one is damaged, one that the index names is
        absent, or a name is in two files. The message begins with `field`.
    """
    names = next(filter(None, (_files(folder, *each, field) for each in _FORMATS)), [])
    if not names:
        raise errors.InputError(
            f'{field}: {folder} has no model.safetensors, pytorch_model.bin or '
            "flax_model.msgpack; save the model with transformers' save_pretrained, "
            'which writes one.'
        )
    tensors: dict[str, np.ndarray] = {}
    where: dict[str, str] = {}
    for name in names:
        found = read_file(folder / name, field=field)
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise errors.InputError(
                f'{field}: {folder} holds {len(twice)} tensors twice: {twice[0]} is in '
                f'{where[twice[0]]} and in {name}; remove the file that is not of this '
                'model.'
            )
        where |= dict.fromkeys(found, name)
        tensors |= found
    return tensors


def read_file(path: pathlib.Path, *, field: str) -> dict[str, np.ndarray]:
    """Stored name -> tensor, of one .safetensors, .bin or .msgpack file.

    Nested names of Flax are joined with '/'.

    Raises:
      InputError: the file is damaged or cut short, holds other things than tensors, or
        is torch's and torch is absent. The message begins with `field`.
    """
    if path.suffix not in SUFFIXES:
        raise errors.InputError(
            f'{field}: {path} is none of {", ".join(SUFFIXES)}; give one of these.'
        )
    read = dict(zip(SUFFIXES, (_safetensors, _torch, _msgpack), strict=True))
    try:
        path.open('rb').close()  # safetensors calls each failure a missing file
        return read[path.suffix](path)
    except ImportError as error:
        raise errors.InputError(
            f"{field}: {path} is torch's, and torch is not here to read it ({error}); "
            '`pip install torch`, or save the model where torch is, with '
            "transformers' save_pretrained, which writes model.safetensors."
        ) from error
    except NotTensorsError as error:
        raise errors.InputError(
            f'{field}: {path} holds {error}, and tensors by name are all that is read; '
            "save the model with transformers' save_pretrained."
        ) from error
    except Exception as error:  # each library has many kinds for one cause
        if errors.is_of_machine(error):
            raise
        reason = (str(error) or repr(error)).splitlines()[0]
        raise errors.InputError(
            f'{field}: {path} is damaged or cut short: {reason}; copy it again.'
        ) from error


class NotTensorsError(Exception):
    """The file is whole, but holds something else; the message says what."""


def write_model(
    folder: pathlib.Path,
    tensors: dict[str, np.ndarray],
    *,
    dtype: str = 'float32',
    max_shard_size: str = '5GB',
) -> None:
    """Writes model.safetensors, or files of `max_shard_size` at most and their index.

    Raises:
      OSError: the disk is full.
    """
    shards = huggingface_hub.split_state_dict_into_shards_factory(
        tensors,
        get_storage_size=lambda array: array.size * DTYPES[dtype].itemsize,
        filename_pattern='model{suffix}.safetensors',
        max_shard_size=max_shard_size,
    )
    for name, keys in shards.filename_to_tensors.items():
        part = {key: tensors[key] for key in keys}
        write(folder / name, part, {'format': 'pt'}, dtype=dtype)
    if shards.is_sharded:
        index = {'metadata': shards.metadata, 'weight_map': shards.tensor_to_filename}
        files.write_json(folder / 'model.safetensors.index.json', index)


def write(
    path: pathlib.Path,
    tensors: dict[str, np.ndarray],
    metadata: dict[str, str],
    *,
    dtype: str = 'float32',
) -> None:
    """Writes tensors as safetensors of `DTYPES[dtype]`; OSError if the disk is full."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would let only its own user read it
    rows = {n: np.ascontiguousarray(x, DTYPES[dtype]) for n, x in tensors.items()}
    try:
        safetensors.numpy.save_file(rows, path, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(f'{path} could not be written: {error}') from error
    path.chmod(mode)


def _files(folder: pathlib.Path, pattern: str, index: str, field: str) -> list[str]:
    """The names of a format's files in `folder`; [] if there are none."""
    names = {file.name for file in folder.glob(pattern)}
    path = folder / index
    if not path.is_file():
        return sorted(names)
    try:
        shards = set(
            json.loads(path.read_text(encoding='utf-8'))['weight_map'].values()
        )
        if any(pathlib.PurePath(name).name != name for name in shards):
            raise ValueError('a file that it names is not beside it')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.InputError(
            f'{field}: {path} is no index of a model in several files: {error!r}; '
            'copy it again.'
        ) from error
    absent = sorted(name for name in shards if not (folder / name).is_file())
    if absent:
        raise errors.InputError(
            f'{field}: {folder} lacks {", ".join(absent)}, which {index} names; copy '
            'the whole folder again.'
        )
    return sorted(names | shards)


def _safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    with safetensors.safe_open(path, framework='numpy') as file:
        names = list(file.keys())
    tensors = {}
    for name in names:
        # Opened anew for each tensor: a mapping keeps in memory all that it has read.
        with safetensors.safe_open(path, framework='numpy') as file:
            try:
                tensors[name] = _float32(file.get_tensor(name))
            except AttributeError as error:  # numpy has no such type, float8 among them
                dtype = file.get_slice(name).get_dtype()
                raise NotTensorsError(f'{name!r} of type {dtype}') from error
    return tensors


def load_torch(path: pathlib.Path, *, mmap: bool) -> Any:
    """The object in a file of torch.save; no code in the file is run.

    With `mmap` tensors are read when they are used; files older than torch 1.6 can't
    be mapped.

    Raises:
      NotTensorsError: it holds objects of classes, which code would have to make.
      ImportError: torch is absent.
      Exception: torch's own, of many kinds: the file is damaged or of another format.
    """
    import torch  # only this format needs it

    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except Exception as error:
        refused = re.search(r'GLOBAL (\S+)', str(error))
        if refused:
            raise NotTensorsError(f'a pickled {refused[1]}') from error
        if 'Weights only' in str(error):  # the rest advises to run the file's code
            raise ValueError('torch.save has not written it') from error
        raise


def _torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    import torch

    # Mapped pages would stay in memory beside the copies, and GPT-2's own file on the
    # hub is too old to be mapped.
    stored = load_torch(path, mmap=False)
    if not isinstance(stored, dict):
        raise NotTensorsError(f'an object of type {type(stored).__name__}')
    tensors = {}
    for name in list(stored):
        tensor = stored.pop(name)
        if not isinstance(tensor, torch.Tensor):
            raise NotTensorsError(f'{name!r} of type {type(tensor).__name__}')
        # numpy has no bfloat16; a float32 tensor stays where it is.
        if tensor.dtype in (torch.float16, torch.bfloat16, torch.float64):
            tensor = tensor.float()
        try:
            tensors[name] = tensor.detach().numpy()
        except (TypeError, RuntimeError) as error:
            raise NotTensorsError(f'{name!r} of type {tensor.dtype}') from error
    return tensors


def _msgpack(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Decoded here: flax.serialization.msgpack_restore holds a model twice and more."""
    with (
        open(path, 'rb') as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):

        def array(code: int, data: bytes) -> np.ndarray:
            content.madvise(mmap.MADV_DONTNEED)  # pages that were read need not stay
            return _flax_array(code, data)

        tree = msgpack.unpackb(content, ext_hook=array)
    if not isinstance(tree, dict):
        raise NotTensorsError(f'an object of type {type(tree).__name__}')
    tensors: dict[str, np.ndarray] = {}
    _flatten(tree, '', tensors)
    return tensors


def _flax_array(code: int, data: bytes) -> np.ndarray:
    """An array of flax.serialization: msgpack of [shape, dtype's name, bytes]."""
    if code != _FLAX_ARRAY:
        raise NotTensorsError(f"Flax's type {code}")
    head = msgpack.Unpacker()
    head.feed(data[:1024])
    if head.read_array_header() != 3:
        raise ValueError('an array is not of a shape, a type and bytes')
    shape, name = head.unpack(), head.unpack()
    dtype = np.dtype(ml_dtypes.bfloat16 if name == 'bfloat16' else name)
    start = len(data) - math.prod(shape) * dtype.itemsize  # the bytes are the last
    if start - head.tell() not in (2, 3, 5):  # the sizes of msgpack's length field
        raise ValueError(f'an array of shape {tuple(shape)} has other bytes')
    array = _float32(np.frombuffer(data, dtype, offset=start).reshape(shape))
    return np.require(array, requirements=['ALIGNED', 'WRITEABLE'])


def _flatten(tree: dict[str, Any], path: str, tensors: dict[str, np.ndarray]) -> None:
    """Adds a tree's arrays to `tensors`, arrays in pieces made whole."""
    for key, value in tree.items():
        name = f'{path}{key}'
        if isinstance(value, dict) and _FLAX_CHUNKED in value:
            pieces = [value['chunks'][str(i)] for i in range(len(value['chunks']))]
            shape = [value['shape'][str(i)] for i in range(len(value['shape']))]
            tensors[name] = np.concatenate(pieces).reshape(shape)
        elif isinstance(value, dict):
            _flatten(value, f'{name}/', tensors)
        elif isinstance(value, np.ndarray):
            tensors[name] = value
        else:
            raise NotTensorsError(f'{name!r} of type {type(value).__name__}')


def _float32(tensor: np.ndarray) -> np.ndarray:
    """The same tensor, in float32 if it is of another float type."""
    if tensor.dtype.name in ('float16', 'bfloat16', 'float64'):
        return tensor.astype(np.float32)
    return tensor
