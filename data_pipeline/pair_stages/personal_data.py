"""Stage `personal data`: links, addresses, numbers and accounts become placeholders.

    'Mail ann@a.org or 212-555-0143, u/ann_b'  ->  'Mail [EMAIL] or [PHONE], [USER]'

Names of people stay: no rule here tells them from other words.
"""

import functools
import re

import phonenumbers

from data_pipeline import settings
from data_pipeline.pages import crisis_lines
from data_pipeline.pair_stages import stages
from hax_jax import errors
from hax_jax.data import records

EMAIL, PHONE, USER, URL = '[EMAIL]', '[PHONE]', '[USER]', '[URL]'

_URL = re.compile(
    r'(?<![\w@])(?:(?:https?|ftp)://|www\.(?=\w))[^\s<>"“”|\[\]]+'
    # A site alone ('hotels.com') is a name; with a path it is a link.
    r'|(?<![\w@./-])(?:[a-z\d-]+\.)+(?:com|org|net|edu|gov|info|io|co|me|be|it|ly|gg|tv'
    r'|us|uk|ca|au)/[^\s<>"“”|\[\]]*',
    re.IGNORECASE,
)
# Markdown's '[the page](https://a.org "A page")', outside of Reddit's texts.
_NAMED_URL = re.compile(
    r'!?\[([^\[\]\n]{1,200})\]\(<?(?:https?://|www\.)[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)?>?'
    r'(?:\s{1,3}"[^"\n]*")?\)',
    re.IGNORECASE,
)
# Every link has one of these.
_MAYBE_URL = re.compile(
    r'://|www\.|\.(?:com|org|net|edu|gov|info|io|co|me|be|it|ly|gg|tv|us|uk|ca|au)/',
    re.IGNORECASE,
)
_SCHEME = re.compile(r'(?:https?|ftp)://$|www\.$', re.IGNORECASE)
_URL_ENDS = ".,;:!?'’‘*_~…"
_OPEN = {')': '(', '}': '{'}
_EMAIL = re.compile(
    r'(?:\bmailto:)?(?<![\w.+-])[\w.+-]*\w[+-]*@(?!\dx\.)(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w@])'
)
# 'ann [at] a.org', 'ann (at) a dot org'; 'ann at gmail dot com' of known hosts alone.
_DOT = r'(?:\.|\s{0,3}[\[({]\s?(?:dot|\.)\s?[\])}]\s{0,3}|\s{1,3}dot\s{1,3})'
_SPELLED_DOT = r'(?:\s?[\[({]\s?dot\s?[\])}]\s?|\s{1,3}dot\s{1,3})'
_SPELLED_EMAIL = re.compile(
    rf'(?<![\w.+-])(?:[\w+-]{{1,64}}{_SPELLED_DOT}){{0,2}}[\w.+-]{{1,64}}(?:'
    rf'\s{{0,3}}[\[({{<]\s?(?:at|@)\s?[\])}}>]\s{{0,3}}[^\W_][\w-]{{0,62}}'
    rf'(?:{_DOT}[^\W_][\w-]{{0,62}}){{0,3}}{_DOT}[a-z]{{2,24}}'
    rf'|@[^\W_][\w-]{{0,62}}\s{{0,3}}[\[({{]?\s?dot\s?[\])}}]?\s{{0,3}}[a-z]{{2,24}}'
    r'|(?:\s{1,3}at\s{1,3}|\s{0,3}@\s{1,3})(?:gmail|googlemail|yahoo|hotmail|outlook|aol|icloud|proton(?:mail)?'
    rf'|gmx|live|msn|comcast|verizon|me|mail){_DOT}(?:com|net|org|ca|de|co{_DOT}uk))'
    r'(?![\w@])',
    re.IGNORECASE,
)
_MAYBE_SPELLED = tuple(
    f'{opened}{word}' for word in ('at', '@', 'dot') for opened in '[({<'
)
_USER = re.compile(
    # Within base64, + and = stand beside the slashes.
    r'(?<![\w/+=])/?(?:u|user)/[A-Za-z\d_-]{3,20}(?![\w/+=-])'
    # '@ home', 'f@ck' and '@ss' are no names, nor are the words that follow an 'at'.
    r'|(?<![\w@./+-])@(?!(?:ss(?:es|hole\w*|hat\w*)?|home|work|school|night|noon|least'
    r'|all|everyone|everybody|here|op|me|them|him|her|you)\b)'
    # Nor are the rules of a style sheet and the keys of JSON-LD.
    r'(?!(?:charset|container|counter|extend|font|import|include|keyframes|layer|media'
    r'|mixin|namespace|override|page|property|supports|viewport)\b)(?!\w+"\s?:)(?!(?:base'
    r'|context|graph|id|index|json|language|list|reverse|set|type|value|version'
    r'|vocab)["\'])'
    # A package of npm stands behind a slash: @types/node.
    r'[A-Za-z_]\w{1,29}(?![\w@]|[\w.-]*/\w)',
    re.IGNORECASE,
)
_FEWEST_MAYBE = 7  # digits
_MAYBE_PHONE = re.compile(
    rf'\d(?:[\s().\-\u2010-\u2015/]{{0,3}}\d){{{_FEWEST_MAYBE - 1},}}'
)
# Bytes of UTF-8 but those that digits begin with, of any script.
_NOT_OF_DIGITS = bytes(
    set(range(256)) - set(b'0123456789\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0')
)
_FEWEST_DIGITS = 9
_DASH = '\\-\u2010-\u2013'  # within a class; a page's hyphens may not break a line
# As nothing but a number in North America is written, also one that is not assigned.
_WRITTEN_AS_ONE = re.compile(
    rf'(?<![\w-])(?:1[{_DASH} ])?(?:\(\d{{3}}\) ?|\d{{3}}[{_DASH}])'
    rf'\d{{3}}[{_DASH}]\d{{4}}(?![\w-])'
)
_CURRENCY = re.compile(
    r'(?:[$£€¥₹#]|\b(?:AUD|CAD|CHF|CNY|EUR|GBP|INR|JPY|NZD|Rs\.?|USD))\s?$'
    r'|\d[.,]$'  # the number begins further left
)
_MONEY = re.compile(
    r'[.,]\d|\s?[$£€¥₹%]|\s(?:AUD|CAD|CHF|CNY|EUR|GBP|INR|JPY|NZD|USD)\b'
)
# What a number of digits alone counts.
_COUNTED = re.compile(
    r'\s(?:dollars?|bucks|cents?|euros?|pounds?|rupees?|yen|people|persons|users?'
    r'|members|followers|subscribers|views|likes|votes|upvotes|comments|posts|times'
    r'|years|days|hours|minutes|seconds|miles|km|kilometers|metres|meters|feet|bytes'
    r'|words|tokens|characters|copies|downloads|streams|plays|hits|clicks|units'
    r'|shares)\b',
    re.IGNORECASE,
)


def stage(chosen: settings.PersonalDataSettings) -> stages.Stage:
    """The stage that replaces personal data in the texts of one pair.

    Raises:
      InputError: a region is unknown.
    """
    unknown = sorted(set(chosen.phone_regions) - phonenumbers.SUPPORTED_REGIONS)
    if unknown:
        raise errors.InputError(
            f'personal_data.phone_regions has {", ".join(unknown)}, no region; give '
            'codes of ISO 3166 such as US,GB.'
        )
    phones = functools.partial(without_phones, regions=chosen.phone_regions)
    table = (
        (chosen.urls, 'links to their names', without_targets),
        (chosen.urls, f'links to {URL}', without_urls),
        (chosen.emails, f'emails to {EMAIL}', _without_emails),
        (chosen.phones, f'phone numbers to {PHONE}', phones),
        (chosen.users, f'user names to {USER}', _without_users),
    )
    rules = [stages.TextRule(name, apply) for wanted, name, apply in table if wanted]
    return stages.Stage('personal data', lambda pair: _rewritten(pair, rules))


def _rewritten(pair: records.QaPair, rules: list[stages.TextRule]) -> stages.Outcome:
    """The pair after the rules, applied until none of them changes anything.

    One rule's placeholder may separate words that another rule then recognises.
    """
    changes: tuple[stages.Change, ...] = ()
    while True:
        outcome = stages.rewrite(pair, rules)
        if isinstance(outcome, stages.Dropped):
            return outcome
        if not outcome.changes:
            return stages.Kept(pair, changes)
        pair, changes = outcome.pair, changes + outcome.changes


def without_targets(text: str) -> tuple[str, int]:
    """The text with its name alone for each link that has one; how many links."""
    if '](' not in text or not may_link(text):
        return text, 0
    return _NAMED_URL.subn(r'\1', text)


def without_urls(text: str) -> tuple[str, int]:
    """The text with [URL] for each link, or the name that it has; how many links."""
    if not may_link(text):
        return text, 0
    times = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal times
        link = _trimmed(match[0])
        if _SCHEME.fullmatch(link) or not link:
            return match[0]
        times += 1
        return URL + match[0][len(link) :]

    text, named = without_targets(text)
    return _URL.sub(replaced, text), times + named


def may_link(text: str) -> bool:
    """False only for a text without links; much cheaper than looking for them."""
    has_sign = '/' in text or 'www.' in text.lower()
    return has_sign and bool(_MAYBE_URL.search(text))


def _trimmed(link: str) -> str:
    """A link without the punctuation of the sentence at its end.

    'https://a.org/b_(c)).' -> 'https://a.org/b_(c)'
    """
    while link:
        last = link[-1]
        unpaired = last in _OPEN and link.count(last) > link.count(_OPEN[last])
        if last not in _URL_ENDS and not unpaired:
            break
        link = link[:-1]
    return link


def _without_emails(text: str) -> tuple[str, int]:
    times = spelled = 0
    if '@' in text:
        text, times = _EMAIL.subn(EMAIL, text)
    if _may_be_spelled(text.lower()):
        text, spelled = _SPELLED_EMAIL.subn(EMAIL, text)
    return text, times + spelled


def _may_be_spelled(lowered: str) -> bool:
    if 'dot' in lowered or '@ ' in lowered:
        return True
    if not any(sign in lowered for sign in '[({<'):
        return False  # the case of almost every text
    squeezed = lowered.replace('( ', '(').replace('[ ', '[').replace('{ ', '{')
    return any(sign in squeezed for sign in _MAYBE_SPELLED)


def _without_users(text: str) -> tuple[str, int]:
    return _USER.subn(USER, text) if '@' in text or '/' in text else (text, 0)


def without_phones(text: str, regions: tuple[str, ...]) -> tuple[str, int]:
    """The text with [PHONE] for each phone number, and their number.

    A number counts if it can be dialled in one of the regions (ISO 3166) and its digits
    are grouped as in that region, if it opens with + and a country's code, or if it is
    written as (555) 123-4567 or 555-123-4567. Sums and counts (`$2125550143`,
    `2125550143 views`) and public crisis lines stay.
    """
    total = 0
    while found := _phones(text, regions):
        for start, end in reversed(found):
            text = text[:start] + PHONE + text[end:]
        total += len(found)
    return text, total


def _may_dial(text: str) -> bool:
    """False only for a text of too few digits; quicker to ask than a pattern."""
    encoded = text.encode('utf-8', 'surrogatepass')
    return len(encoded.translate(None, _NOT_OF_DIGITS)) >= _FEWEST_MAYBE


def _phones(text: str, regions: tuple[str, ...]) -> list[tuple[int, int]]:
    """The (start, end) of phone numbers, in order, without overlaps."""
    if not _may_dial(text) or not _MAYBE_PHONE.search(text):
        return []
    strict, possible = (
        phonenumbers.Leniency.STRICT_GROUPING,
        phonenumbers.Leniency.POSSIBLE,
    )
    matches = []
    for region in regions:
        matches += phonenumbers.PhoneNumberMatcher(text, region, leniency=strict)
    if '+' in text:
        foreign = phonenumbers.PhoneNumberMatcher(text, None, leniency=possible)
        matches += [each for each in foreign if each.raw_string.startswith('+')]
    # The number itself: `raw_string` may end in an extension.
    found = [(m.start, m.end, str(m.number.national_number)) for m in matches]
    found += [(*m.span(), m[0]) for m in _WRITTEN_AS_ONE.finditer(text)]
    spans: list[tuple[int, int]] = []
    for start, end, number in sorted(found, key=lambda each: (each[0], -each[1])):
        written = text[start:end]
        digits = sum(map(str.isdigit, written))
        overlaps = spans and start < spans[-1][1]
        is_sum = (
            _CURRENCY.search(text[max(0, start - 8) : start])
            or (not re.search(rf'[{_DASH}()]', written) and _MONEY.match(text, end))
            or (written.isdigit() and _COUNTED.match(text, end))
        )
        if digits < _FEWEST_DIGITS or overlaps or is_sum:
            continue
        if not crisis_lines.is_one(number):
            spans.append((start, end))
    return spans
