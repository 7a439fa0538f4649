"""One subreddit's objects out of blocks of lines: a search of bytes, then msgspec.

Of an object only those fields become Python's that `reddit_shapes` reads.
"""

import collections
import json
import re
from collections.abc import Iterator
from typing import Any, TypedDict

import msgspec

_SURROGATES = re.compile('[\ud800-\udfff]')


class PostFields(TypedDict, total=False):
    """What `reddit_shapes.post` reads; years differ in the types."""

    id: Any
    subreddit: Any
    title: Any
    selftext: Any
    link_flair_text: Any
    author: Any
    score: Any
    num_comments: Any
    created_utc: Any
    permalink: Any
    stickied: Any
    removed_by_category: Any
    _meta: Any


class CommentFields(TypedDict, total=False):
    """What `reddit_shapes.comment` reads, and the post that it is of."""

    id: Any
    link_id: Any
    parent_id: Any
    subreddit: Any
    author: Any
    body: Any
    score: Any
    created_utc: Any
    stickied: Any
    removed_by_category: Any
    _meta: Any


class Reader:
    """Finds the objects of one subreddit.

    Attributes:
      counts: lines that are no JSON, of those that have the subreddit's name.
    """

    def __init__(self, subreddit: str, fields: type) -> None:
        self._subreddit = subreddit.lower()
        self._needle = f'"{self._subreddit}"'.encode()
        self._decode = msgspec.json.Decoder(fields).decode
        self.counts: collections.Counter[str] = collections.Counter()

    def objects(self, block: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """(bytes of its line, object) of each of the subreddit's, in the lines' order.

        Most lines of a month of all Reddit are never made: the name is looked for in
        all of them at once.
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
        """What a line holds, None where it is no JSON.

        Python's own reader takes what JSON forbids and dumps have: half of a pair of
        surrogates, which becomes U+FFFD, and NaN.
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
            name: _SURROGATES.sub('\ufffd', value) if isinstance(value, str) else value
            for name, value in values.items()
        }
