"""The objects of one subreddit in blocks of lines, by a search of bytes, then msgspec.

Decodes only the fields that `reddit_shapes` reads.
"""

import collections
import json
from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

import msgspec

from data_pipeline.collecting import reddit_shapes

POST_FIELDS = (*reddit_shapes.POST_FIELDS, '_meta')
COMMENT_FIELDS = (
    *reddit_shapes.COMMENT_FIELDS,
    *('link_id', 'subreddit', 'removed_by_category', '_meta'),
)


class Reader:
    """Finds the objects of one subreddit.

    Attributes:
      counts: lines with the subreddit's name that are no JSON.
    """

    def __init__(self, subreddit: str, fields: Iterable[str]) -> None:
        self._subreddit = subreddit.lower()
        self._needle = f'"{self._subreddit}"'.encode()
        kind = TypedDict('Fields', dict.fromkeys(fields, Any), total=False)
        self._decode = msgspec.json.Decoder(kind).decode
        self.counts: collections.Counter[str] = collections.Counter()

    def objects(self, block: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """(bytes of its line, object) for each object, in the order of the lines.

        Searches the whole block for the name, so it never splits off most lines of a
        month of all Reddit.
        """
        lowered = block.lower()
        end = 0
        while (found := lowered.find(self._needle, end)) >= 0:
            begin = block.rfind(b'\n', end, found) + 1 or end
            end = block.find(b'\n', found)
            if end < 0:
                end = len(block)
            values = self._object(block[begin:end])
            if (
                isinstance(values, dict)
                and str(values.get('subreddit')).lower() == self._subreddit
            ):
                yield end - begin, values

    def _object(self, line: bytes) -> Any:
        """The JSON value of a line, None if it is no JSON.

        Python's own reader accepts two faults of dumps that JSON forbids: NaN, and half
        of a pair of surrogates, which becomes U+FFFD.
        """
        try:
            return self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            self.counts['lines that are no JSON'] += 1
            return None
        if not isinstance(values, dict):
            return None
        return {
            name: reddit_shapes.text(value) if isinstance(value, str) else value
            for name, value in values.items()
        }
