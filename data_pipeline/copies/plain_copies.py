"""Files of any kind as UTF-8 text: what is packed or binary is copied as its text.

    a.md.gz .bz2 .xz .zst        unpacked, whatever the name is
    UTF-16, UTF-32               as UTF-8, with a byte order mark or without
    .parquet .arrow .xlsx        a row a line, as JSON
    a JSON list or dict          a row a line
    YAML, XML                    the same, of rows with known names
    Posts.xml                    a question with its answers a line
    messages, a row each         a chat or a tree a line
    exports of messages          a question with its replies a line
    texts of a chat template     a conversation a line

Copies lie in the folder for temporary files (TMPDIR) until nothing needs them.
"""

import bz2
import codecs
import collections
import contextlib
import gzip
import io
import json
import lzma
import pathlib
import re
import shlex
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import zstandard

from data_pipeline.chat_texts import chat_files
from data_pipeline.copies import (
    json_documents,
    json_survey,
    message_tables,
    post_dumps,
    tables,
)
from data_pipeline.exports import reply_threads
from data_pipeline.markup import markup_rows
from hax_jax import counted, errors

_BLOCK = 2**20
_PACKED_BLOCK = 2**16  # of zstd, which may unpack to very much
_HEAD = 2**14
_PREFIX = 'hax_plain_'  # of a copy's name
_MOST_PACKED = 3  # times that a file may be packed: a.jsonl.gz.xz is twice
_UNPACK: dict[bytes, Callable[[str], Any]] = {
    b'\x1f\x8b': gzip.open,
    b'BZh': bz2.open,
    b'\xfd7zXZ\0': lzma.open,
    b']\0\0': lzma.open,  # .lzma
    b'\x28\xb5\x2f\xfd': lambda path: _Zstandard(path),
}
_BOMS = {
    codecs.BOM_UTF32_LE: 'utf-32',
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}
_POINTER = b'version https://git-lfs.github.com/spec/'
_LEAST_ZEROS, _MOST_ZEROS = 0.3, 0.02  # of the bytes at odd and at even places


_CONTROLS = re.compile('[\x00-\x08\x0e-\x1f]')
_OF_DAMAGE = (zlib.error, lzma.LZMAError, zstandard.ZstdError)


class Copy:
    """A temporary file that goes when nothing refers to it.

    `note` says what of the original is not in it.
    """

    def __init__(self, blocks: Iterable[bytes], note: str = '') -> None:
        self.note = note
        number, self.path = tempfile.mkstemp(prefix=_PREFIX)
        weakref.finalize(self, _remove, self.path)
        with open(number, 'wb') as file:
            file.writelines(blocks)


def of(path: str, name: str) -> Copy | None:
    """The file's text as a copy; None for a file that is plain text already.

    Raises:
      InputError: the file is damaged.
    """
    if _head(path).startswith(_POINTER):
        raise errors.InputError(
            f'{name} is a pointer of Git LFS, not the file itself; fetch that with '
            'git lfs pull.'
        )
    copy = None
    for step in (*(_unpacked,) * _MOST_PACKED, *_STEPS):
        if made := step(copy.path if copy else path, name):
            made.note = made.note or (copy.note if copy else '')
            copy = made  # the one before goes
    return copy


def _unpacked(path: str, name: str) -> Copy | None:
    head = _head(path)
    for magic, opened in _UNPACK.items():
        if head.startswith(magic):
            return Copy(_blocks(path, name, opened))
    return None


def _blocks(
    path: str, name: str, opened: Callable[[str], IO[bytes]]
) -> Iterator[bytes]:
    try:
        with opened(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except (OSError, EOFError, *_OF_DAMAGE) as error:
        if errors.is_of_machine(error):
            raise
        raise errors.InputError(
            f'{name} is a damaged compressed file ({error}); copy it again.'
        ) from error


class _Zstandard(io.RawIOBase):
    """A file of zstd frames, unpacked; unlike zstandard's, it fails if cut short."""

    def __init__(self, path: str) -> None:
        self._file = open(path, 'rb')  # noqa: SIM115 (closed with self)
        self._frame, self._left = self._new(), b''

    def read(self, size: int = -1) -> bytes:
        """The text of the next block, of any size; b'' at the end."""
        del size
        while True:
            self._left = self._left or self._file.read(_PACKED_BLOCK)
            if not self._left:
                if self._is_open:
                    raise EOFError('it ends within a frame')
                return b''
            text = self._frame.decompress(self._left)
            self._is_open, self._left = not self._frame.eof, b''
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, self._new()
            if text:
                return text

    def close(self) -> None:
        self._file.close()
        super().close()

    def _new(self) -> Any:
        self._is_open = False
        return zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()


def _transcoded(path: str, name: str) -> Copy | None:
    codec = _wide_codec(_head(path))
    return Copy(_as_utf8(path, name, codec)) if codec else None


def _wide_codec(head: bytes) -> str:
    """The codec of a text in two or four bytes a character, by its first bytes."""
    if found := next((c for bom, c in _BOMS.items() if head.startswith(bom)), ''):
        return found
    if len(head) < 4 or head.startswith(tables.MAGIC):
        return ''
    even, odd = (head[i::2].count(0) / len(head[i::2]) for i in (0, 1))
    if min(even, odd) > _MOST_ZEROS or max(even, odd) < _LEAST_ZEROS:
        return ''
    codec = 'utf-16-le' if odd > even else 'utf-16-be'
    # The head may end within a pair of surrogates.
    text = head[: len(head) // 2 * 2].decode(codec, 'ignore')
    return '' if _CONTROLS.search(text) else codec


def _as_utf8(path: str, name: str, codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                yield decoder.decode(block).encode('utf-8', 'replace')
            yield decoder.decode(b'', final=True).encode('utf-8', 'replace')
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f'{name} begins as {codec.upper()} and is not ({error.reason}, byte '
            f'{error.start}); save it as UTF-8.'
        ) from error


def _tabled(path: str, name: str) -> Copy | None:
    kind = tables.kind(_head(path), path)
    if not kind:
        return None
    copy = Copy(_lines(tables.rows(path, kind, name)))
    copy.note = tables.sheets(path) if kind == 'xlsx' else ''
    return copy


def _marked_up(path: str, name: str) -> Copy | None:
    head = _head(path)
    markup_rows.check(head, name)
    if post_dumps.is_dump(head.decode('utf-8-sig', 'replace')):
        counts = collections.Counter[str]()
        copy = Copy(_lines(post_dumps.rows(path, name, counts)))
        left_out = [counted.of(count, what) for what, count in counts.items() if count]
        copy.note = f'left out: {", ".join(left_out)}' if left_out else ''
        return copy
    rows = markup_rows.rows(path, name)
    return None if rows is None else Copy(_lines(rows))


def _documented(path: str, name: str) -> Copy | None:
    document = json_survey.survey(path)
    if not document:
        return None
    if document.kind == 'threads':
        return Copy(*_threads(path, name))
    others = ', '.join(map(repr, document.others))
    note = f'no rows are read of {others}' if others else ''
    return Copy(_lines(_document_rows(path, document, name)), note)


def _document_rows(
    path: str, document: json_survey.Document, name: str
) -> Iterator[str]:
    try:
        yield from json_documents.rows(path, document)
    except ValueError as error:
        is_copy = pathlib.Path(path).name.startswith(_PREFIX)
        is_list = document.kind in ('list', 'of lists') and not is_copy
        remedy = _remedy(path, name) if is_list else ''
        raise _damaged(name, error, remedy) from error


def _remedy(path: str, name: str) -> str:
    """How to keep what is whole of a list; '' where nothing is."""
    count, size = json_documents.whole_items(path)
    if not count:
        return ''
    given = shlex.quote(name)
    command = f"(head -c {size} {given}; echo ']') > whole.json"
    return f' To go on with its first {counted.of(count, "rows")} alone: {command}'


def _damaged(name: str, error: ValueError, remedy: str = '') -> errors.InputError:
    return errors.InputError(
        f'{name} is JSON that is damaged or cut short: {error}; mend it, or make it '
        f'again.{remedy}'
    )


def _threads(path: str, name: str) -> tuple[Iterator[bytes], str]:
    """(the rows of an export of messages, a note on the others); it is read whole."""
    try:
        value = json.loads(_text(path))
    except ValueError as error:
        raise _damaged(name, error) from error
    made, note = reply_threads.rows(value, name)
    return _lines(json.dumps(row, ensure_ascii=False) for row in made), note


def _joined(path: str, name: str) -> Copy | None:
    joined = message_tables.joined(path, name)
    return Copy(_lines(joined[0]), joined[1]) if joined else None


def _chats(path: str, name: str) -> Copy | None:
    """The conversations of a text with the marks of a chat template, a row each."""
    del name
    if not chat_files.may_be(_head(path).decode('utf-8-sig', 'replace')):
        return None
    text = pathlib.Path(path).read_bytes().decode('utf-8-sig', 'surrogateescape')
    found, note = chat_files.rows(text)
    rows = (json.dumps(row, ensure_ascii=False) for row in found)
    return Copy(_lines(rows), note) if found else None


_STEPS = (_transcoded, _tabled, _marked_up, _documented, _joined, _chats)


def _text(path: str) -> str:
    with json_survey.opened(path) as file:
        return file.read().lstrip('\ufeff')


def _lines(rows: Iterable[str]) -> Iterator[bytes]:
    # Bytes of a document that are not UTF-8 stay; lone surrogates of a table can't.
    for row in rows:
        try:
            yield row.encode('utf-8', 'surrogateescape') + b'\n'
        except UnicodeEncodeError:
            yield row.encode('utf-8', 'replace') + b'\n'


def _head(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read(_HEAD)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        pathlib.Path(path).unlink()
