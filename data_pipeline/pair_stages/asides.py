"""What a writer adds beside the text: later edits, and summaries (TL;DR)."""

import re

# 'Edit:', 'EDIT 2 -', 'Update :', 'Edit' alone in its line, with marks before it.
_EDIT = re.compile(
    r'^[^\w\n]{0,6}(?:edit(?:ed)?|update|eta)[ \t]*(?:#?[ \t]?\d{1,2})?[^\w\n]{0,3}?'
    r'[ \t]*(?:[:;\-–—]|$)',
    re.IGNORECASE,
)
_SUMMARY = re.compile(r'^[^\w\n]{0,6}tl\W{0,2}dr\b', re.IGNORECASE)


def without_edits(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with Edit: or Update:, and how many."""
    return _without(text, _EDIT)


def without_summaries(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with TL;DR, and how many."""
    return _without(text, _SUMMARY)


def _without(text: str, mark: re.Pattern[str]) -> tuple[str, int]:
    """Cuts from each marked line to the next blank one.

    A mark alone in its line takes the paragraph below it along. Text that would be
    empty then is left as it is.
    """
    kept: list[str] = []
    times = 0
    cutting = bare = False
    for line in text.split('\n'):
        if mark.match(line):
            times += 1
            cutting, bare = True, not line[mark.match(line).end() :].strip(' *_:-')
        elif cutting and not line.strip():
            cutting = bare  # the paragraph below a bare mark goes too
            continue
        elif cutting:
            bare = False
        if not cutting:
            kept.append(line)
    left = re.sub(r'\n{3,}', '\n\n', '\n'.join(kept)).strip('\n')
    if not times or not left.strip():
        return text, 0
    return left, times
