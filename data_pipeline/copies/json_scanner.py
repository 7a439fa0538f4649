"""A JSON text that is read forward, value by value, in bounded memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 2**20
_LARGEST = 2**28  # characters of one value: a row, or all that is beside the rows


class Malformed(ValueError):
    """The text is not JSON from some place on."""


class Scanner:
    """A text that is read forward, value by value."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._at, self._passed = '', 0, 0
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no blank, '' at the end."""
        while True:
            while self._at < len(self._text):
                # Zeros are what a crash leaves at the end of a file.
                if self._text[self._at] not in ' \t\r\n\ufeff\0':
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ''

    def skip(self, sign: str) -> None:
        """Steps over a character. Raises Malformed if another stands there."""
        if (found := self.peek()) != sign:
            raise Malformed(f'{found!r} where {sign!r} is due, {self.where()}')
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """(the next value, its text). Raises Malformed."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise Malformed(f'too many brackets, {self.where()}') from None
            except ValueError as error:
                if not self._more():
                    raise Malformed(f'{error}, {self.where()}') from None
                continue
            # A number may go on behind what has been read.
            if end == len(self._text) and self._more():
                continue
            text = self._text[self._at : end]
            self._at = end
            return value, text

    def items(self) -> Iterator[None]:
        """One step for each item of a list, which the caller reads."""
        self.skip('[')
        while (sign := self.peek()) != ']':
            yield
            if (sign := self.peek()) == ',':
                self.skip(',')  # one may stand behind the last item
            elif sign != ']':
                self.skip(']')
        self.skip(']')

    def members(self) -> Iterator[str]:
        """Each key of an object, whose value the caller reads."""
        self.skip('{')
        while self.peek() != '}':
            key, _ = self.value()
            if not isinstance(key, str):
                raise Malformed(f'a key that is no text, {self.where()}')
            self.skip(':')
            yield key
            if self.peek() == ',':
                self.skip(',')
            elif self.peek() != '}':
                self.skip('}')
        self.skip('}')

    def place(self) -> int:
        """The number of characters before the next one."""
        return self._passed + self._at

    def where(self) -> str:
        return f'at character {self.place() + 1:,}'

    def _more(self) -> bool:
        """Reads on; doubles what is held, since a value is parsed again from its start.

        Raises Malformed for a value that is too large.
        """
        if self._ended:
            return False
        held = len(self._text) - self._at
        if held > _LARGEST:
            raise Malformed(f'a value of over {_LARGEST:,} characters, {self.where()}')
        read = self._file.read(max(_CHUNK, held))
        self._ended = not read
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)
