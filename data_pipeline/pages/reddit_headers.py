"""The header blocks that separate the posts of a Reddit Markdown file."""

import dataclasses
import re
from collections.abc import Iterator

_RULE = r'={20,}$'
_ANY_RULE = r'(?:={3,}|-{3,}|_{3,}|\*{3,})$'
_POST = r'#+ *Reddit Post\b.*'
_NUMBERED = r'#* *Reddit Post *#? *\d+\b.{0,20}$'
_FIELD = r'#* *(?:Score|Date|URL):.*'
# A rule, `# Reddit Post N`, blank and `#` lines, then a rule or the end of the file.
_RULED_HEADER = re.compile(
    rf'^{_RULE}\n{_POST}(?:\n(?:#.*)?$)*+(?:\n(?={_RULE})|\Z)', re.M | re.I
)
# The same without its rules: a number, and a field below it.
_BARE_HEADER = re.compile(
    rf'(?:^{_ANY_RULE}\n)?^{_NUMBERED}(?:\n+{_FIELD})++(?:\n+{_ANY_RULE})?', re.M | re.I
)
_HEADER_LINE = re.compile(
    rf'(?:{_POST}|#+ *|{_ANY_RULE}|{_FIELD}|{_NUMBERED})?', re.IGNORECASE
)
_OTHER_RULE = r'(?:={20,}|#{20,})$'
_OTHER_BLOCK = re.compile(
    rf'^{_OTHER_RULE}(?:\n(?!#{{20,}}$)#.*)++\n{_OTHER_RULE}', re.M
)
_SCORE = re.compile(
    r'Score: *([-−]?)(\d[\d,]{0,12}(?:\.\d{1,6})?)([km]?)\b', re.IGNORECASE
)
_DATE = re.compile(r'Date: *([^|\n]*[^|\s])', re.IGNORECASE)
# Pictures and films have hosts of their own: i.redd.it, v.redd.it.
_POST_URL = re.compile(
    r'/(?:comments|gallery)/(\w+)|(?<![\w.])(?:www\.)?redd\.it/(\w+)'
)
_SUBREDDIT = re.compile(r'/r/(\w+)')


@dataclasses.dataclass(frozen=True)
class Header:
    """One post's header block: lines [start, end) of the file."""

    start: int
    end: int
    score: int
    date: str
    post_id: str
    subreddit: str


def find(lines: list[str]) -> list[Header]:
    """Every header block of cleaned lines.

    A header has a rule above it and below it; two headers may share one. In a file
    without any such header, a number and a field below it are enough; elsewhere they
    are part of a quotation.
    """
    headers: list[Header] = []
    # A rule that closes a header is not in its match: it may open the next one.
    if 'reddit post' not in '\n'.join(lines).lower():
        return []  # much quicker to ask than the patterns
    blocks = [*_blocks(_RULED_HEADER, lines)] or _blocks(_BARE_HEADER, lines)
    for start, end in blocks:
        start = max(start, headers[-1].end) if headers else start
        headers.append(_header('\n'.join(lines[start:end]), start=start, end=end))
    return headers


def other_blocks(lines: list[str]) -> list[int]:
    """The lines of blocks between two rules in which every line begins with `#`.

    `lines` are a post's, below its header: programs that merge files put such blocks
    between posts, but people write them too.
    """
    return [i for block in _blocks(_OTHER_BLOCK, lines) for i in range(*block)]


def explains(line: str) -> bool:
    """Whether a cleaned line is usual in a header."""
    return bool(_HEADER_LINE.fullmatch(line))


def _blocks(pattern: re.Pattern[str], lines: list[str]) -> Iterator[tuple[int, int]]:
    """The lines [start, end) of each match of a pattern of whole lines."""
    text = '\n'.join(lines)
    line = at = 0
    for match in pattern.finditer(text):
        line += text.count('\n', at, match.start())
        at = match.start()
        yield line, line + match[0].count('\n') + 1


def _header(text: str, *, start: int, end: int) -> Header:
    score, date, url = _SCORE.search(text), _DATE.search(text), _POST_URL.search(text)
    forum = _SUBREDDIT.search(text)
    return Header(
        start=start,
        end=end,
        score=_number(score) if score else 0,
        date=date[1] if date else '',
        post_id=(url[1] or url[2]).lower() if url else '',
        subreddit=forum[1] if forum else '',
    )


def _number(score: re.Match[str]) -> int:
    factor = {'': 1, 'k': 1_000, 'm': 1_000_000}[score[3].lower()]
    number = round(float(score[2].replace(',', '')) * factor)
    return -number if score[1] else number
