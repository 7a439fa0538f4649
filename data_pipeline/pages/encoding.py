"""Bytes to text, as UTF-8 or else cp1252; mojibake repaired."""

import re

import ftfy

from hax_jax import errors

_COMPRESSED = {b'PK\3\4': 'unzip'}
# Typed quotes, dashes, dots and ellipses are no mojibake by themselves.
_MAYBE_MOJIBAKE = re.compile('[^\x00-\x7f‘’“”–—…•]')
# cp1252 has no sign for the last byte of a closing quote, so decoding lost it.
_LOST_QUOTE = re.compile('â€(?:\ufffd|(?=[\\s.,!?;:)]|$))')
# ftfy repairs mojibake and nothing else here: its other changes belong to `characters`,
# change what people typed (quotes, wide letters) or lose letters (lossy sequences).
_MOJIBAKE_ALONE = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    replace_lossy_sequences=False,
    fix_c1_controls=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
)


def repair(text: str) -> tuple[str, int]:
    """The text without mojibake, and how many lines were changed.

    >>> repair('donâ€™t be naïve')
    ('don’t be naïve', 1)
    """
    if text.isascii() or not _MAYBE_MOJIBAKE.search(text):
        return text, 0
    lines = text.split('\n')
    repaired = [_repaired(line) for line in lines]
    times = sum(a != b for a, b in zip(lines, repaired, strict=True))
    return '\n'.join(repaired), times


def _repaired(line: str) -> str:
    line = _LOST_QUOTE.sub('”', line) if 'â€' in line else line
    fixed = line if line.isascii() else ftfy.fix_encoding(line, _MOJIBAKE_ALONE)
    return line if '\n' in fixed else fixed  # a line stays one line


def check_text(raw: bytes, name: str) -> None:
    """Raises InputError for bytes, a file's or its first ones, that are not text."""
    for magic, program in _COMPRESSED.items():
        if raw.startswith(magic) and name.lower().endswith('.xlsx'):
            raise errors.InputError(
                f'{name} is a damaged xlsx file (it has no workbook); save it again.'
            )
        if raw.startswith(magic):
            raise errors.InputError(
                f'{name} is compressed; unpack it with {program} and give the result.'
            )
    if b'\0' in raw:
        raise errors.InputError(
            f'{name} is a binary file (a zero byte at {raw.index(0)}); give text files.'
        )


def decode(raw: bytes, name: str, *, warnings: list[str]) -> str:
    """The text of a file: UTF-8, or cp1252, which adds a warning.

    Raises:
      InputError: the bytes are not text.
    """
    check_text(raw, name)
    try:
        return raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        where = _where(error)
    try:
        text = raw.decode('cp1252')
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f'{name} is neither UTF-8 ({where}) nor cp1252 ({_where(error)}); save it '
            'as UTF-8.'
        ) from None
    warnings.append(f'{name} is not UTF-8 ({where}); it was read as cp1252.')
    return text


def decode_part(raw: bytes) -> tuple[str, str]:
    """The text of a line or a field, and a note on its encoding, '' for UTF-8.

    Bytes that are neither become U+FFFD, because one bad line must not fail a file.

    >>> decode_part(b'caf\\xe9')
    ('café', 'is not UTF-8 (byte 3, 0xe9); it was read as cp1252')
    """
    try:
        return raw.decode('utf-8'), ''
    except UnicodeDecodeError as error:
        note = f'is not UTF-8 ({_where(error)})'
    try:
        return raw.decode('cp1252'), f'{note}; it was read as cp1252'
    except UnicodeDecodeError:
        text = raw.decode('utf-8', errors='replace')
        return text, f'{note} nor cp1252; other bytes became U+FFFD'


def _where(error: UnicodeDecodeError) -> str:
    return f'byte {error.start}, {error.object[error.start]:#04x}'
