"""The lines of dump files: .jsonl and .ndjson, .zst, .zst_blocks, one at a time.

Source: https://github.com/ArthurHeitmann/zst_blocks_format and arctic_shift/scripts.
Dumps are compressed with windows of up to 2 GiB, which zstd must be told to allow; one
such window is then held in memory.
"""

import collections.abc
import pathlib
import struct

from hax_jax import config

SUFFIXES = ('.jsonl', '.ndjson', '.json', '.zst', '.zst_blocks')
_MAX_WINDOW_BYTES = 2**31
_CHUNK = 2**20


def lines(path: str | pathlib.Path) -> collections.abc.Iterator[bytes]:
    """Each line that is not blank, without its newline, of a file by its suffix.

    Raises:
      InputError: the suffix is another, or the file is damaged or cut short: after
        the lines that it still has.
    """
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES:
        raise config.InputError(
            f'{path} is no dump: its name ends in {path.suffix or "nothing"!r}; give '
            f'{", ".join(SUFFIXES)}.'
        )
    if path.suffix == '.zst_blocks':
        rows = _block_rows(path)
    elif path.suffix == '.zst':
        rows = _split(_zst_chunks(path))
    else:
        rows = _split(_chunks(path))
    for row in rows:
        if row.strip():
            yield row


def _split(
    chunks: collections.abc.Iterable[bytes],
) -> collections.abc.Iterator[bytes]:
    rest = b''
    for chunk in chunks:
        first, newline, others = chunk.partition(b'\n')
        if not newline:
            rest += chunk
            continue
        yield rest + first
        *whole, rest = others.split(b'\n')
        yield from whole
    yield rest


def _chunks(path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _zst_chunks(path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    """What the frames of a file decompress to, one after the other."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    begun = False
    try:
        for chunk in _chunks(path):
            while chunk:
                begun = True
                yield frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b''
                if frame.eof:
                    frame, begun = decompressor.decompressobj(), False
    except zstandard.ZstdError as error:
        raise config.InputError(
            f'{path} is damaged ({error}); download it again.'
        ) from None
    if begun:
        raise _cut_short(path)


def _block_rows(path: pathlib.Path) -> collections.abc.Iterator[bytes]:
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
                raise config.InputError(
                    f'{path} is damaged ({error}); download it again.'
                ) from None
            for offset, length in spans:
                yield block[begin + offset : begin + offset + length]


def _cut_short(path: pathlib.Path) -> config.InputError:
    return config.InputError(
        f'{path} ends in the middle of what it holds; download it again.'
    )
