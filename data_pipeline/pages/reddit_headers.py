"""The header blocks that separate the posts of a Reddit Markdown file."""

import dataclasses
import re
from collections.abc import Callable

_RULE = re.compile(r'={20,}')
_OTHER_RULE = re.compile(r'={20,}|#{20,}')
_OTHER_LINE = re.compile(r'(?!#{20,}$)#.*')
_ANY_RULE = re.compile(r'={3,}|-{3,}|_{3,}|\*{3,}')
_POST = re.compile(r'#+ *Reddit Post\b.*', re.IGNORECASE)
_NUMBERED = re.compile(r'#* *Reddit Post *#? *\d+\b.{0,20}', re.IGNORECASE)
_FIELD = re.compile(r'#* *(?:Score|Date|URL):.*', re.IGNORECASE)
_SCORE = re.compile(
    r'Score: *([-−]?)(\d[\d,]{0,12}(?:\.\d{1,6})?)([km]?)\b', re.IGNORECASE
)
_DATE = re.compile(r'Date: *([^|\n]*[^|\s])', re.IGNORECASE)
# Pictures and films have names of their own: i.redd.it, v.redd.it.
_POST_URL = re.compile(
    r'/(?:comments|gallery)/(\w+)|(?<![\w.])(?:www\.)?redd\.it/(\w+)'
)
_SUBREDDIT = re.compile(r'/r/(\w+)')
_KNOWN_HEADER = re.compile(
    r'#+ *(?:Reddit Post\b|Score:|Date:|URL:|$).*', re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Header:
    """One post's header block: lines [start, end) of the file."""

    start: int
    end: int
    score: int = 0
    date: str = ''
    post_id: str = ''
    subreddit: str = ''

    @property
    def name(self) -> str:
        """The post in reports, '' where its header has no URL."""
        return f'reddit:{self.post_id}' if self.post_id else ''


def find(lines: list[str]) -> list[Header]:
    """Every header block: a rule, `# Reddit Post N`, `#` lines and a closing rule.

    A file that breaks off within its last header ends it. Two headers may share a rule.
    In a file where none has both rules, a number and a field below it make a header;
    elsewhere somebody has quoted one.
    """
    return _find(lines, _ruled_header) or _find(lines, _bare_header)


def other_blocks(lines: list[str]) -> list[int]:
    """The lines of blocks between two rules in which every line begins with `#`.

    `lines` are a post's, below its header: who merged files puts such blocks between
    posts, but people write them too.
    """
    found: list[int] = []
    i = 0
    while i < len(lines):
        if not _OTHER_RULE.fullmatch(lines[i]):
            i += 1
            continue
        end = i + 1
        while end < len(lines) and _OTHER_LINE.fullmatch(lines[end]):
            end += 1
        if end > i + 1 and end < len(lines) and _OTHER_RULE.fullmatch(lines[end]):
            found += range(i, end + 1)
            end += 1
        i = end
    return found


def _find(
    lines: list[str],
    header_at: Callable[[list[str], int], tuple[int, int] | None],
) -> list[Header]:
    headers: list[Header] = []
    i = 0
    while i < len(lines):
        found = header_at(lines, i)
        if found is None:
            i += 1
            continue
        start = max(found[0], headers[-1].end) if headers else found[0]
        headers.append(_header(lines, start=start, end=found[1]))
        # The closing rule may open the next header.
        i = max(i + 1, found[1] - 1)
    return headers


def _ruled_header(lines: list[str], i: int) -> tuple[int, int] | None:
    """Where the header whose opening rule is at i begins and ends."""
    if i + 1 == len(lines) or not _RULE.fullmatch(lines[i]):
        return None
    if not _POST.fullmatch(lines[i + 1]):
        return None
    at = i + 2
    while at < len(lines) and (not lines[at] or lines[at].startswith('#')):
        at += 1
    if at == len(lines):
        return i, at
    return (i, at + 1) if _RULE.fullmatch(lines[at]) else None


def _bare_header(lines: list[str], i: int) -> tuple[int, int] | None:
    """Where the header whose number is at i, without its rules, begins and ends."""
    if not _NUMBERED.fullmatch(lines[i]):
        return None
    end = at = i + 1
    while at < len(lines) and (not lines[at] or _FIELD.fullmatch(lines[at])):
        at += 1
        if lines[at - 1]:
            end = at
    if end == i + 1:
        return None
    start = i - 1 if i and _ANY_RULE.fullmatch(lines[i - 1]) else i
    if at < len(lines) and _ANY_RULE.fullmatch(lines[at]):
        end = at + 1
    return start, end


def _header(lines: list[str], *, start: int, end: int) -> Header:
    text = '\n'.join(lines[start:end])
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


def explains(line: str) -> bool:
    """Whether a header's cleaned line is one that headers have."""
    return not line or any(
        known.fullmatch(line)
        for known in (_KNOWN_HEADER, _RULE, _ANY_RULE, _FIELD, _NUMBERED)
    )
