"""Live chats whose speakers stand in bold before what they say, as papers print them.

    <p><b>Boston:</b> My neighbour sings.</p>
    <p><b>Marian Vale:</b> Ask her to hum.</p>

One person answers, guests of several names ask.
"""

import collections
import html
import itertools
import re

from data_pipeline.pages import chat_speakers

_SPEAKER = re.compile(
    r'(?P<above><(?:p|div|li|td|dd|br)\b[^<>]{0,300}>\s*)<(?P<tag>b|strong)\b[^<>]{0,200}>'
    r'\s*(?P<name>[^<>]{1,80}?)\s*(?::\s*</(?P=tag)>|</(?P=tag)>\s*:)',
    re.IGNORECASE,
)
_FEWEST_ANSWERS = _FEWEST_GUESTS = 3
_ANSWERED, _ANSWERING = 0.6, 0.8  # of the guests' posts; of the host's, below one


def with_labels(text: str) -> str:
    """A page whose speakers are `Q:` and `A:`; as it stands if it is no such chat."""
    found = [*_SPEAKER.finditer(text)]
    names = [' '.join(html.unescape(each['name']).split()) for each in found]
    host = _host(names)
    if not host:
        return text
    parts, at = [], 0
    for each, name in zip(found, names, strict=True):
        label = 'A' if name == host else 'Q'
        parts += [text[at : each.start()], f'{each["above"]}<b>{label}:</b> ']
        at = each.end()
    return ''.join([*parts, text[at:]])


def _host(names: list[str]) -> str:
    """Who answers nearly all posts of guests, by a name of two words; '' for nobody."""
    counts = collections.Counter(names)
    host, times = max(counts.items(), key=lambda each: each[1], default=('', 0))
    guests = [name for name in names if name != host]
    answered = sum(b == host != a for a, b in itertools.pairwise(names))
    is_one = (
        times >= _FEWEST_ANSWERS
        and len({*guests}) >= _FEWEST_GUESTS
        and answered >= max(_ANSWERING * times, _ANSWERED * len(guests))
    )
    return host if is_one and ' ' in host and chat_speakers.NAME.fullmatch(host) else ''
