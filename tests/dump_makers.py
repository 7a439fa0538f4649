"""Dump files as Arctic Shift and Pushshift make them."""

import bz2
import gzip
import json
import lzma
import pathlib
import struct
from collections.abc import Iterable
from typing import Any

import zstandard

_COMPRESSED = {'.gz': gzip.compress, '.bz2': bz2.compress, '.xz': lzma.compress}


def write(
    path: pathlib.Path,
    objects: Iterable[dict[str, Any]],
    *,
    frames: int = 1,
    window_log: int = 0,
) -> pathlib.Path:
    """Writes a dump by its suffix; what is compressed has `frames` frames."""
    lines = [json.dumps(each).encode() for each in objects]
    if path.suffix == '.zst_blocks':
        data = b''.join(block(lines[i : i + 3]) for i in range(0, len(lines), 3))
    elif path.suffix in _COMPRESSED:
        text = b''.join(line + b'\n' for line in lines)
        size = -(-len(text) // frames)
        parts = [text[i : i + size] for i in range(0, len(text), size)]
        data = b''.join(map(_COMPRESSED[path.suffix], parts))
    elif path.suffix == '.zst':
        parameters = zstandard.ZstdCompressionParameters(
            window_log=window_log, enable_ldm=bool(window_log)
        )
        text = b''.join(line + b'\n' for line in lines)
        size = -(-len(text) // frames)
        data = b''
        for i in range(0, len(text), size):
            # As a stream: the frame then has its window and not its content's size.
            compressor = zstandard.ZstdCompressor(
                compression_params=parameters
            ).compressobj()
            data += compressor.compress(text[i : i + size]) + compressor.flush()
    else:
        data = b'\n'.join(lines)
    path.write_bytes(data)
    return path


def block(rows: list[bytes]) -> bytes:
    """A block of .zst_blocks: its size, then compressed: count, spans, rows."""
    head, offset = struct.pack('<I', len(rows)), 0
    for row in rows:
        head += struct.pack('<II', offset, len(row))
        offset += len(row)
    packed = zstandard.ZstdCompressor().compress(head + b''.join(rows))
    return struct.pack('<I', len(packed)) + packed
