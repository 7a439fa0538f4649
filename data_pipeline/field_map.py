"""Which of a row's fields a pair is made of."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FieldMap:
    """For each of a pair's fields, the row's fields that make it."""

    sources: dict[str, tuple[str, ...]]
