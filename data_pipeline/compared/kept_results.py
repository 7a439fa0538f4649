"""Results of pure functions of pairs, kept on the disk from build to build.

    kept = kept_results.Results(path)
    rule = kept.of(lines, topics, lambda topics: decide(pairs, topics))
    kept.write()

A result follows from the pairs' lines and from the answers that the function gets when
it asks whether a text is among others: both are kept with it, so a result of an earlier
build counts only where this build would give the same answers.
"""

import contextlib
import hashlib
import pathlib
import uuid
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import google_crc32c
import msgspec

SUFFIX = '.results'
_Kept = tuple[dict[str, bool], Any]  # the answers by the texts, the result
_DECODER = msgspec.json.Decoder(dict[str, _Kept])


class Results:
    """The results in a file; of none, with `path` None, each is made.

    Holds some hundred bytes for each result. The file names the code that makes them.
    """

    def __init__(self, path: pathlib.Path | None = None) -> None:
        self._path = path
        self._known = _read(path) if path else {}
        self._used: dict[str, _Kept] = {}
        self.num_made = 0

    def of(
        self,
        lines: Sequence[bytes],
        texts: Container[str],
        make: Callable[[Container[str]], Any],
    ) -> Any:
        """The value of JSON's types that `make` gives for these lines.

        `make` asks for texts in its argument alone, which stands for `texts`.
        """
        digest = hashlib.blake2b(digest_size=16)
        for line in lines:
            digest.update(len(line).to_bytes(8) + line)
        key = digest.hexdigest()
        kept = self._known.get(key)
        if kept is None or any(
            (text in texts) != is_there for text, is_there in kept[0].items()
        ):
            asked = _Asked(texts)
            made = make(asked)
            kept = asked.answers, made
            self.num_made += 1
        self._used[key] = kept
        return kept[1]

    def write(self) -> None:
        """Writes the results that this build used, whole or not at all.

        A folder that takes no file is left as it is, as by the cache beside it.
        """
        if self._path is None or self._used == self._known:
            return
        data = msgspec.json.encode(self._used)
        temporary = self._path.with_name(f'{self._path.name}.{uuid.uuid4().hex}')
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(google_crc32c.value(data).to_bytes(4) + data)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


class _Asked(Container[str]):
    """Texts that remember what was asked of them."""

    def __init__(self, texts: Container[str]) -> None:
        self._texts = texts
        self.answers: dict[str, bool] = {}

    def __contains__(self, text: object) -> bool:
        assert isinstance(text, str)
        return self.answers.setdefault(text, text in self._texts)


def _read(path: pathlib.Path) -> dict[str, _Kept]:
    """The results in a file; none if there is none. Says if the file is damaged."""
    try:
        stored = path.read_bytes()
        path.touch()  # its last use
    except OSError:
        return {}
    data = stored[4:]
    if google_crc32c.value(data).to_bytes(4) != stored[:4]:
        print(f'warning: {path} was damaged and is made again.', flush=True)
        return {}
    return _DECODER.decode(data)


def path_in(
    folder: pathlib.Path, recipe: str, code: Iterable[pathlib.Path]
) -> pathlib.Path:
    """The file for results that follow from `recipe` and from these files of code."""
    digest = hashlib.sha256(recipe.encode())
    for path in code:
        digest.update(path.read_bytes())
    name = digest.hexdigest()
    return folder / name[:2] / f'{name}{SUFFIX}'
