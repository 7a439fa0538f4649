"""Values of JSON as the types that a shape needs: files of others may hold any."""

from collections.abc import Iterator
from typing import Any


def an_object(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; none of any other value."""
    items = value if isinstance(value, list) else ()
    return (each for each in items if isinstance(each, dict))


def a_text(value: Any) -> str:
    """The value if it is a text, else ''."""
    return value if isinstance(value, str) else ''


def a_name(value: Any) -> str:
    """An id or a name as text; '' for no number and no text."""
    is_name = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value) if is_name else ''
