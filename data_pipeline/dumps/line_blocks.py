"""The lines of dump files (.jsonl, .ndjson, .zst, .zst_blocks, .gz, …), in blocks.

Dumps are compressed with windows of up to 2 GiB, which zstd allows only on request;
memory then holds one such window.
Source: https://github.com/ArthurHeitmann/zst_blocks_format and arctic_shift/scripts.
"""

import bz2
import lzma
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import zstandard

from hax_jax import errors

_MAX_WINDOW_BYTES = 2**31
# What decompresses one frame, by the end of a file's name; gzip's bits are 31.
_FRAMES: dict[str, Callable[[], Any]] = {
    '.zst': lambda: zstandard.ZstdDecompressor(
        max_window_size=_MAX_WINDOW_BYTES
    ).decompressobj(),
    '.gz': lambda: zlib.decompressobj(31),
    '.bz2': bz2.BZ2Decompressor,
    '.xz': lzma.LZMADecompressor,
}
SUFFIXES = ('.jsonl', '.ndjson', '.json', *_FRAMES, '.zst_blocks')
_DAMAGE = (zstandard.ZstdError, struct.error, zlib.error, lzma.LZMAError)
_MAX_LINE_BYTES = 2**26  # Reddit's longest objects have some hundred kilobytes
_CHUNK = 2**20
_COMPRESSED_CHUNK = 2**16  # JSON shrinks to a tenth or less


def blocks(
    path: str | pathlib.Path, *, on_read: Callable[[int], object] = lambda size: None
) -> Iterator[bytes]:
    """Blocks of whole lines, each without its last newline.

    Calls `on_read` with each number of bytes read from the file.

    Raises:
      InputError: another suffix, a line of over 64 MiB, or a file that is damaged or
        cut short (then after the lines that it still has).
    """
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES:
        raise errors.InputError(
            f'{path} is no dump: its name ends in {path.suffix or "nothing"!r}; give '
            f'{", ".join(SUFFIXES)}.'
        )
    try:
        if path.suffix == '.zst_blocks':
            yield from _zst_blocks(path, on_read)
        else:
            read = _decompressed if path.suffix in _FRAMES else _chunks
            yield from _whole_lines(read(path, on_read), path)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # bz2's of damage has none
            raise
        raise errors.InputError(
            f'{path} is damaged ({error}); download it again.'
        ) from None


def lines(path: str | pathlib.Path) -> Iterator[bytes]:
    """Each line that is not blank, without its newline. Raises as `blocks` does."""
    for block in blocks(path):
        for line in block.split(b'\n'):
            if line.strip():
                yield line


def _whole_lines(chunks: Iterable[bytes], path: pathlib.Path) -> Iterator[bytes]:
    """[b'a\\nb', b'c\\nd}'] -> b'a', b'bc', b'd}'"""
    begun: list[bytes] = []
    size = 0
    for chunk in chunks:
        end = chunk.rfind(b'\n')
        if end < 0:
            begun.append(chunk)
            size += len(chunk)
            if size > _MAX_LINE_BYTES:
                raise errors.InputError(
                    f'{path} has a line of over {_MAX_LINE_BYTES:,} bytes; give a dump '
                    'with an object a line.'
                )
            continue
        yield b''.join((*begun, chunk[:end]))
        begun = [chunk[end + 1 :]]
        size = len(begun[0])
    last = b''.join(begun)
    yield last
    if last.lstrip().startswith(b'{') and not last.rstrip().endswith(b'}'):
        raise _cut_short(path)


def _chunks(
    path: pathlib.Path, on_read: Callable[[int], object], size: int = _CHUNK
) -> Iterator[bytes]:
    with open(path, 'rb') as file:
        while chunk := file.read(size):
            on_read(len(chunk))
            yield chunk


def _decompressed(
    path: pathlib.Path, on_read: Callable[[int], object]
) -> Iterator[bytes]:
    """The decompressed frames of a file, one after the other."""
    make = _FRAMES[path.suffix]
    frame, begun = make(), False
    for chunk in _chunks(path, on_read, _COMPRESSED_CHUNK):
        while chunk:
            begun = True
            yield frame.decompress(chunk)
            chunk = frame.unused_data if frame.eof else b''
            if frame.eof:
                frame, begun = make(), False
    if begun:
        raise _cut_short(path)


def _zst_blocks(
    path: pathlib.Path, on_read: Callable[[int], object]
) -> Iterator[bytes]:
    """The rows of each block: [size][zstd: count, (offset, size) * count, rows]."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    with open(path, 'rb') as file:
        while head := file.read(4):
            size = int.from_bytes(head, 'little')
            packed = file.read(size)
            if len(head) < 4 or len(packed) < size:
                raise _cut_short(path)
            block = decompressor.decompressobj().decompress(packed)
            (count,) = struct.unpack_from('<I', block)
            begin = 4 + 8 * count
            spans = list(struct.iter_unpack('<II', block[4:begin]))
            on_read(4 + size)
            # JSON allows a newline only between tokens, where a blank is the same.
            yield b'\n'.join(
                block[begin + offset : begin + offset + length].replace(b'\n', b' ')
                for offset, length in spans
            )


def _cut_short(path: pathlib.Path) -> errors.InputError:
    return errors.InputError(
        f'{path} ends in the middle of what it holds; download it again.'
    )
