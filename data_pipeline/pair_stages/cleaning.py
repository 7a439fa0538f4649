"""Stage `clean`: undoes mojibake and Markdown; cuts edits and summaries if asked.

Entities, zero-width characters and kinds of spaces are left to characters.clean, which
every parser calls once: a second unescaping would turn a typed `&amp;lt;` into `<`.
"""

import re

from data_pipeline import settings
from data_pipeline.pages import encoding
from data_pipeline.pair_stages import markdown_text, stages
from hax_jax.data import records

# 'Edit:', 'EDIT 2 -', 'Update :', 'Edit' alone in its line, with marks before it.
_EDIT = re.compile(
    r'^[^\w\n]{0,6}(?:edit(?:ed)?|update|eta)[ \t]*(?:#?[ \t]?\d{1,2})?[^\w\n]{0,3}?'
    r'[ \t]*(?:[:;\-–—]|$)',
    re.IGNORECASE,
)
_SUMMARY = re.compile(r'^[^\w\n]{0,6}tl\W{0,2}dr\b', re.IGNORECASE)


def stage(chosen: settings.CleanSettings) -> stages.Stage:
    """The stage that cleans one pair; it removes Markdown from Reddit's pairs alone."""
    before, markdown, after = [], [], []
    if chosen.mojibake:
        before.append(stages.TextRule('mojibake repaired', encoding.repair))
    if chosen.markdown:
        rule = stages.TextRule('Markdown made plain text', markdown_text.plain)
        markdown.append(rule)
    if not chosen.keep_edits:
        after.append(stages.TextRule('edits cut', without_edits))
    if not chosen.keep_summaries:
        after.append(stages.TextRule('summaries cut', without_summaries))

    def apply(pair: records.QaPair) -> stages.Outcome:
        of_reddit = records.kind(pair.source) == 'reddit'
        return stages.rewrite(pair, before + markdown * of_reddit + after)

    return stages.Stage('clean', apply)


def without_edits(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with Edit: or Update:, and their number."""
    return _without(text, _EDIT)


def without_summaries(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with TL;DR, and their number."""
    return _without(text, _SUMMARY)


def _without(text: str, mark: re.Pattern[str]) -> tuple[str, int]:
    """Cuts from each marked line to the next blank one.

    A mark alone in its line also removes the paragraph below it. A text that would
    then be empty stays unchanged.
    """
    kept: list[str] = []
    times = 0
    cutting = bare = False
    for line in text.split('\n'):
        if found := mark.match(line):
            times += 1
            cutting, bare = True, not line[found.end() :].strip(' *_:-')
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
