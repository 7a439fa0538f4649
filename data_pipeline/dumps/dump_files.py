"""What dump files hold: .jsonl and .ndjson, .zst, .zst_blocks, some lines at a time.

Source: https://github.com/ArthurHeitmann/zst_blocks_format and arctic_shift/scripts.
Dumps are compressed with windows of up to 2 GiB, which zstd must be told to allow; one
such window is then held in memory.
"""

import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator

from hax_jax import errors

SUFFIXES = ('.jsonl', '.ndjson', '.json', '.zst', '.zst_blocks')
_MAX_WINDOW_BYTES = 2**31
_MAX_LINE_BYTES = 2**26  # Reddit's longest objects have some hundred kilobytes
_CHUNK = 2**20
# JSON shrinks to a tenth or less: as much as this becomes a chunk or some.
_COMPRESSED_CHUNK = 2**16


def blocks(
    path: str | pathlib.Path,
    *,
    on_read: Callable[[int], object] = lambda size: None,
) -> Iterator[bytes]:
    """Whole lines, some at a time, without the newline of the last of them.

    `on_read` is told of each number of bytes that is read of the file.

    Raises:
      InputError: the suffix is another, or the file is damaged or cut short: after
        the lines that it still has; or it has a line of over 64 MiB.
    """
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES:
        raise errors.InputError(
            f'{path} is no dump: its name ends in {path.suffix or "nothing"!r}; give '
            f'{", ".join(SUFFIXES)}.'
        )
    if path.suffix == '.zst_blocks':
        yield from _zst_blocks(path, on_read)
    elif path.suffix == '.zst':
        yield from _whole_lines(_zst_chunks(path, on_read), path)
    else:
        yield from _whole_lines(_chunks(path, on_read), path)


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
    path: pathlib.Path,
    on_read: Callable[[int], object],
    size: int = _CHUNK,
) -> Iterator[bytes]:
    with open(path, 'rb') as file:
        while chunk := file.read(size):
            on_read(len(chunk))
            yield chunk


def _zst_chunks(
    path: pathlib.Path, on_read: Callable[[int], object]
) -> Iterator[bytes]:
    """What the frames of a file decompress to, one after the other."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    begun = False
    try:
        for chunk in _chunks(path, on_read, _COMPRESSED_CHUNK):
            while chunk:
                begun = True
                yield frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b''
                if frame.eof:
                    frame, begun = decompressor.decompressobj(), False
    except zstandard.ZstdError as error:
        raise errors.InputError(
            f'{path} is damaged ({error}); download it again.'
        ) from None
    if begun:
        raise _cut_short(path)


def _zst_blocks(
    path: pathlib.Path, on_read: Callable[[int], object]
) -> Iterator[bytes]:
    """The rows of each block: [size][zstd: count, (offset, size) * count, rows]."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    with open(path, 'rb') as file:
        while head := file.read(4):
            if len(head) < 4:
                raise _cut_short(path)
            (size,) = struct.unpack('<I', head)
            packed = file.read(size)
            if len(packed) < size:
                raise _cut_short(path)
            try:
                block = decompressor.decompressobj().decompress(packed)
                (count,) = struct.unpack_from('<I', block)
                begin = 4 + 8 * count
                spans = list(struct.iter_unpack('<II', block[4:begin]))
            except (zstandard.ZstdError, struct.error) as error:
                raise errors.InputError(
                    f'{path} is damaged ({error}); download it again.'
                ) from None
            on_read(4 + size)
            # A newline in a row stands between JSON's own signs: a blank is the same.
            yield b'\n'.join(
                block[begin + offset : begin + offset + length].replace(b'\n', b' ')
                for offset, length in spans
            )


def _cut_short(path: pathlib.Path) -> errors.InputError:
    return errors.InputError(
        f'{path} ends in the middle of what it holds; download it again.'
    )
