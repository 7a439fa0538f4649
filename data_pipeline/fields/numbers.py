"""Numbers and times, as rows and pages write them."""

import datetime
import math
import re
from typing import Any

_COUNTS = ('value', 'count', 'score', 'total')
_VOTES = re.compile(
    r'([-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?) ?([km]?)'
    r'(?:\s?/\s?\d+|\s(?:points?|(?:up)?votes?|likes?|stars?))?',
    re.IGNORECASE,
)
_THOUSANDS = {'': 1.0, 'k': 1e3, 'm': 1e6}
_STARS = re.compile(r'([★⭐]+)[☆✩]*')


def number(value: Any) -> float | None:
    """A finite number, or one that is written as text; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def votes(value: Any) -> float | None:
    """A number, or one as pages show it; None for any other value.

    '1.2K', '1,234', '12 points', '4.5/5', '★★★☆☆', {"value": 9}
    """
    if isinstance(value, dict):
        value = next((value[key] for key in _COUNTS if key in value), None)
    if not isinstance(value, str) or number(value) is not None:
        return number(value)
    if stars := _STARS.fullmatch(value.strip()):
        return float(len(stars[1]))
    if not (shown := _VOTES.fullmatch(value.strip())):
        return None
    digits = shown[1].replace(',', '').replace('−', '-')
    return float(digits) * _THOUSANDS[shown[2].lower()]


def seconds(value: Any) -> float | None:
    """A time in seconds since 1970; a date without its zone is in UTC."""
    if (found := number(value)) is not None:
        return found or None
    try:
        date = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()
