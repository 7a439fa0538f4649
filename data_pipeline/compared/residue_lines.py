"""Lines that a publisher, a forum or a program put below a text, and no author.

    Follow Ann on Twitter.         a publisher's call
    Edit: thanks for the gold!     a note that the text was edited
    -- Ann Lee, Advice Columnist   a signature
    Best,                          what stands above one

They decide which of two copies is the clean one; nothing is cut off a text for them.
"""

import re

from data_pipeline.pages import glued_topics

_NAME = r'[A-Z][\w.’\'-]{0,30}'
SIGNATURE = (
    rf'(?:--+|[—–~]|-(?=[A-Z]))\s?{_NAME}(?:,?\s(?:{_NAME}|in|of|the|and|&)){{0,6}}'
)
_SIGNATURE = re.compile(SIGNATURE)
_CLOSING = re.compile(
    r'(?:(?:all (?:the|my) )?best(?: wishes| regards)?|(?:(?:kind|warm) )?regards'
    r'|(?:yours )?(?:sincerely|faithfully|truly)|sincerely yours|yours|cheers|warmly'
    r'|love|hugs|xoxo|respectfully|thanks(?: again)?),?',
    re.IGNORECASE,
)
_MOST_NOTED = 40  # words: a longer note has something to say
_NOTE = re.compile(
    r'\W{0,3}(?:(?:edit|eta)(?:\s?#?\d{1,2})?\s?(?:[:;,–—-]|\W{0,3}$)'
    r'|edited(?: (?:to add|for|by|on)\b|\s?[:;,–—-]|\W{0,3}$)|last edited\b).{0,400}',
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r'\b(?:I|my|me|My)\b')
_MOST_ASKED = 25  # words
# A publisher's line: one that sends readers elsewhere, or says whose the text is.
_CALL = re.compile(
    r'\W{0,3}(?:follow|subscribe|sign up|join|like|share|read|click|visit|download'
    r'|listen|watch|e-?mail|send|submit|find|buy|get)\b.{0,120}\b(?:twitter|facebook|instagram'
    r'|youtube|tiktok|linkedin|threads|bluesky|newsletters?|podcasts?|apps?|website'
    r'|updates|inbox|here|e-?mail list|mailing list|more (?:columns|letters|advice))\b'
    r'.{0,40}'
    r'|\W{0,3}(?:e-?mail|send|submit|write|mail)\b.{0,60}\b(?:questions?|letters?)\b'
    r'.{0,60}(?:\S@\S|\[email\]|\[url\]|https?://).{0,60}'
    rf'|{glued_topics.RIGHTS}.{{0,120}}|.{{0,120}}\ball rights reserved\W*'
    # A page's number, a tag that a cut left open, a picture, the tags of a post.
    r'|[-–—]\s?\d{1,4}\s?[-–—]|</?[a-z]+(?:\s[^<>]*|/)?>?|!\[[^\]]*\]\([^()]*\)|(?:#[^\W\d]\w*\s*)+'
    r'|\W{0,3}(?:this|the) (?:story|column|article|letter|post|answer)\b.{0,40}'
    r'\b(?:published|appeared|posted)\b.{0,80}'
    r'|\W{0,3}(?:do you have|have|got)\b.{0,40}\b(?:questions?|problems?|letters?)\b'
    r'.{0,40}\?'
    r'.{0,60}(?:\S@\S|\[email\]|\[url\]|https?://|\bhere\b|\bus\b).{0,60}'
    r'|\W{0,4}i(?: am|[\'’]m) (?:just )?a (?:ro)?bot\b.{0,160}',
    re.IGNORECASE,
)


def is_one(line: str) -> bool:
    """Whether a line is a call, a note of an edit, a signature or a closing alone."""
    if _NOTE.fullmatch(line):
        return len(line.split()) <= _MOST_NOTED
    return any(form.fullmatch(line) for form in (_CALL, _SIGNATURE, _CLOSING))


def asks_as_a_letter(line: str) -> bool:
    """Whether a line asks in the first person, as the next letter's title does.

    'Should I forgive my husband?'; not 'Why would he forgive you?'
    """
    return (
        line.endswith('?')
        and len(line.split()) <= _MOST_ASKED
        and bool(_FIRST_PERSON.search(line))
    )
