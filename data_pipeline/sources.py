"""Raw corpus files in, question-answer pairs and an account of every line out."""

import collections.abc
import dataclasses

from hax_jax import records


@dataclasses.dataclass
class ReadReport:
    """What was read: `counts` by kind, pairs by file, and every line left unknown."""

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    files: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown_lines: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> str:
        """A table of all counts, for people."""
        rows = [*self.counts.items(), *self.files.items()]
        return ''.join(f'{count:8,}  {name}\n' for name, count in rows)


def read(
    patterns: collections.abc.Sequence[str],
) -> tuple[list[records.QaPair], ReadReport]:
    """Every pair of the files that the patterns match, duplicates included.

    Raises:
      InputError: a pattern matches nothing, a file is unreadable, or no pair came out.
    """
    raise NotImplementedError
