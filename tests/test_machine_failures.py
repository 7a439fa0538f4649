"""A machine that has no file handle or memory left tells nothing of a file's bytes."""

import contextlib
import gzip
import os
import pathlib
import resource
from collections.abc import Callable, Iterator

import flax.serialization
import gguf
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
import tiny_runs

from data_pipeline.copies import plain_copies, tables
from hax_jax import digests, errors, files
from hax_jax.data import records
from hax_jax.formats import gguf_file, weight_files
from hax_jax.program import failures


@contextlib.contextmanager
def no_handle_left() -> Iterator[None]:
    """Each file that is opened in the block is refused with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.open(os.devnull, os.O_RDONLY)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _safetensors(folder: pathlib.Path) -> Callable[[], object]:
    safetensors.numpy.save_file({'a': np.ones(3)}, folder / 'm.safetensors')
    return lambda: weight_files.read_file(folder / 'm.safetensors', field='base')


def _msgpack(folder: pathlib.Path) -> Callable[[], object]:
    stored = flax.serialization.to_bytes({'a': np.ones(3)})
    (folder / 'm.msgpack').write_bytes(stored)
    return lambda: weight_files.read_file(folder / 'm.msgpack', field='base')


def _gguf(folder: pathlib.Path) -> Callable[[], object]:
    writer = gguf.GGUFWriter(folder / 'm.gguf', 'llama')
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    def read() -> None:
        with contextlib.suppress(errors.InputError):  # it is no GPT-2
            gguf_file.read(folder / 'm.gguf')

    return read


def _packed(folder: pathlib.Path) -> Callable[[], object]:
    cache = tiny_runs.write_cache(folder / 'cache')
    return lambda: records.open_cache(cache.path)


def _rows(folder: pathlib.Path) -> Callable[[], object]:
    cache = tiny_runs.write_cache(folder / 'cache')
    return lambda: records.open_cache(cache.path).features('train')


def _sealed(folder: pathlib.Path) -> Callable[[], object]:
    files.write_json(folder / 'run.json', digests.sealed({'a': 1}))
    return lambda: digests.read_sealed(folder / 'run.json')


def _table(folder: pathlib.Path) -> Callable[[], object]:
    path = str(folder / 'a.parquet')
    pyarrow.parquet.write_table(pa.table({'question': ['Why?']}), path)
    return lambda: list(tables.rows(path, 'parquet', 'a.parquet'))


def _compressed(folder: pathlib.Path) -> Callable[[], object]:
    path = folder / 'a.jsonl.gz'
    path.write_bytes(gzip.compress(b'{}\n'))
    return lambda: list(plain_copies._blocks(str(path), 'a.jsonl.gz', gzip.open))


_READERS = [_safetensors, _msgpack, _gguf, _packed, _rows, _sealed, _table, _compressed]


@pytest.mark.parametrize('make', _READERS)
def test_a_file_that_no_handle_is_left_for_is_not_called_damaged(
    make: Callable[[pathlib.Path], Callable[[], object]], tmp_path: pathlib.Path
) -> None:
    read = make(tmp_path)
    read()
    with (
        no_handle_left(),
        pytest.raises(OSError, match='Too many open files') as caught,
    ):
        read()
    line, code = failures.explained(caught.value, smaller='')
    assert 'raise the limit (ulimit -n' in line
    assert code == 2


def test_neither_is_one_that_no_memory_is_left_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError('Unable to allocate 6.23 GiB')

    read = _safetensors(tmp_path)
    monkeypatch.setattr(safetensors, 'safe_open', fail)
    with pytest.raises(MemoryError, match='Unable to allocate'):
        read()


def test_what_tells_of_the_machine() -> None:
    of_machine = [MemoryError(), PermissionError(13, 'no'), OSError(24, 'too many')]
    assert all(map(errors.is_of_machine, of_machine))
    of_file = [ValueError(), OSError(5, 'input/output'), FileNotFoundError(2, 'gone')]
    assert not any(map(errors.is_of_machine, of_file))
