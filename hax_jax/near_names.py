"""What a missing path, or a missing step of a run, may have been meant as."""

import difflib
import os
import pathlib
from collections.abc import Iterable

_LIKE = 0.7  # the least likeness of two names, as difflib has it
_MOST_STEPS = 4


def near_path(missing: str | os.PathLike[str]) -> str:
    """The nearest path that exists: runs/ful/x -> runs/full/x; '' if none is like it.

    Each part of the path that does not exist is replaced by the nearest of its folder.
    Looks at local folders alone.
    """
    text = os.fspath(missing)
    if '://' in text or '\0' in text:
        return ''
    path = pathlib.Path(text).expanduser()
    found = pathlib.Path(path.anchor)
    try:
        for part in path.relative_to(path.anchor).parts:
            if not (found / part).exists():
                names = [each.name for each in found.iterdir()]
                near = difflib.get_close_matches(part, names, 1, _LIKE)
                if not near:
                    return ''
                part = near[0]
            found /= part
    except OSError:  # a folder that may not be read, a name that is too long
        return ''
    return '' if found == path else str(found)


def meant(missing: str | os.PathLike[str]) -> str:
    """' Did you mean runs/full?', to end a message with; '' if nothing is near."""
    near = near_path(missing)
    return f' Did you mean {near}?' if near else ''


def steps(wanted: int, there: Iterable[int]) -> str:
    """'it has 300, 600': the steps that are there; of many, those nearest to `wanted`.

    (950, 100 to 2000 by 100) -> 'the nearest of its 20 are 800, 900, 1000, 1100'
    """
    found = sorted(there)
    if not found:
        return 'it has none'
    near = sorted(sorted(found, key=lambda step: abs(step - wanted))[:_MOST_STEPS])
    listed = ', '.join(map(str, near))
    if len(found) <= _MOST_STEPS:
        return f'it has {listed}'
    return f'the nearest of its {len(found)} are {listed}'
