"""Stage `personal data`: what leads to a person becomes a typed placeholder.

    'Mail ann@a.org or 212-555-0143, u/ann_b'  ->  'Mail [EMAIL] or [PHONE], [USER]'

Names of people are left: nothing here tells them from other words.
"""

import re

import phonenumbers

from data_pipeline import settings
from data_pipeline.pair_stages import outcomes, stages
from hax_jax import errors
from hax_jax.data import records

STAGE = 'personal data'
EMAIL, PHONE, USER, URL = '[EMAIL]', '[PHONE]', '[USER]', '[URL]'

_URL = re.compile(
    r'(?<![\w@])(?:(?:https?|ftp)://|www\.(?=\w))[^\s<>"“”|\[\]]+'
    # A site alone ('hotels.com') is a name; with a path it is a link.
    r'|(?<![\w@./-])(?:[a-z\d-]+\.)+(?:com|org|net|edu|gov|info|io|co|me|be|it|ly|gg|tv'
    r'|us|uk|ca|au)/[^\s<>"“”|\[\]]*',
    re.IGNORECASE,
)
_SCHEME = re.compile(r'(?:https?|ftp)://$|www\.$', re.IGNORECASE)
_URL_ENDS = ".,;:!?'’‘*_~…"
_EMAIL = re.compile(
    r'(?<![\w.+-])[\w.+-]*\w[+-]*@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w@])'
)
_USER = re.compile(
    r'(?<![\w/])/?(?:u|user)/[A-Za-z\d_-]{3,20}(?![\w/-])'
    # '@ home', 'f@ck' and '@ss' are no names, nor are the words that follow an 'at'.
    r'|(?<![\w@./+-])@(?!(?:ss(?:es|hole\w*|hat\w*)?|home|work|school|night|noon|least'
    r'|all|everyone|everybody|here|op|me|them|him|her|you)\b)[A-Za-z_]\w{1,29}(?![\w@])',
    re.IGNORECASE,
)
_MAYBE_PHONE = re.compile(r'\d(?:[\s().\-–/]{0,3}\d){6,}')
_FEWEST_DIGITS = 9
_CURRENCY = tuple('$£€¥#')


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
    rules = []
    if chosen.urls:
        rules.append(stages.TextRule(f'links to {URL}', without_urls))
    if chosen.emails:
        rules.append(stages.TextRule(f'emails to {EMAIL}', without_emails))
    if chosen.phones:
        regions = chosen.phone_regions
        rules.append(
            stages.TextRule(
                f'phone numbers to {PHONE}', lambda text: without_phones(text, regions)
            )
        )
    if chosen.users:
        rules.append(stages.TextRule(f'user names to {USER}', without_users))
    return stages.Stage(STAGE, lambda pair: _rewritten(pair, rules))


def _rewritten(pair: records.QaPair, rules: list[stages.TextRule]) -> outcomes.Outcome:
    """The pair after the rules, again and again until none finds anything.

    What one of them replaced may part what another did not tell apart before.
    """
    changes: tuple[outcomes.Change, ...] = ()
    while True:
        outcome = stages.rewrite(pair, rules)
        if isinstance(outcome, outcomes.Dropped):
            return outcome
        if not outcome.changes:
            return outcomes.Kept(pair, changes)
        pair, changes = outcome.pair, changes + outcome.changes


def without_urls(text: str) -> tuple[str, int]:
    """The text with [URL] for each link, and how many there were."""
    times = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal times
        link = _trimmed(match[0])
        if _SCHEME.fullmatch(link) or not link:
            return match[0]
        times += 1
        return URL + match[0][len(link) :]

    return _URL.sub(replaced, text), times


def _trimmed(link: str) -> str:
    """A link without the sentence's own marks at its end.

    'https://a.org/b_(c)).' -> 'https://a.org/b_(c)'
    """
    while link:
        last = link[-1]
        open_sign = {')': '(', '}': '{'}.get(last)
        unpaired = open_sign is not None and link.count(last) > link.count(open_sign)
        if last not in _URL_ENDS and not unpaired:
            break
        link = link[:-1]
    return link


def without_emails(text: str) -> tuple[str, int]:
    """The text with [EMAIL] for each address, and how many there were."""
    return _EMAIL.subn(EMAIL, text) if '@' in text else (text, 0)


def without_users(text: str) -> tuple[str, int]:
    """The text with [USER] for each u/name and @name, and how many there were."""
    return _USER.subn(USER, text)


def without_phones(text: str, regions: tuple[str, ...]) -> tuple[str, int]:
    """The text with [PHONE] for each phone number, and how many there were.

    A number counts if it can be dialled in one of the regions (ISO 3166: US, GB) and is
    grouped as numbers are there, or opens with + and a country's code.
    """
    total = 0
    while found := _phones(text, regions):
        for start, end in reversed(found):
            text = text[:start] + PHONE + text[end:]
        total += len(found)
    return text, total


def _phones(text: str, regions: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where phone numbers stand, in order, none within another."""
    if not _MAYBE_PHONE.search(text):
        return []
    matches = [
        match
        for region in regions
        for match in phonenumbers.PhoneNumberMatcher(
            text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING
        )
    ]
    if '+' in text:
        matches += [
            match
            for match in phonenumbers.PhoneNumberMatcher(
                text, None, leniency=phonenumbers.Leniency.POSSIBLE
            )
            if match.raw_string.startswith('+')
        ]
    found: list[tuple[int, int]] = []
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        digits = sum(map(str.isdigit, match.raw_string))
        before = text[: match.start].rstrip(' ')[-1:]
        overlaps = found and match.start < found[-1][1]
        if digits >= _FEWEST_DIGITS and before not in _CURRENCY and not overlaps:
            found.append((match.start, match.end))
    return found
