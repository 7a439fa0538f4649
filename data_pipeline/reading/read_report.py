"""The account of all inputs, added up batch by batch in their order."""

import collections
import dataclasses

from data_pipeline.rows import batches
from hax_jax import errors

MAX_HELD = 10_000  # lines for people that are held of each kind; the rest are counted
_SHOWN = 5  # lines for people in the error of a corpus without pairs


@dataclasses.dataclass
class ReadReport:
    """All that was read: `counts` by kind, pairs by file, and lines for people.

    An unknown line is `file:line: text (where it went)`; `dropped` names each post that
    made no pair in the same way. Holds the first `MAX_HELD` unknown lines, posts and
    warnings each; `not_held` counts the others. `counts` ends with the words of all
    files by kind, which add up to all words that there are.
    """

    files: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown_lines: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)
    not_held: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    # Its counters are the sums; the lines for people are held above.
    _sum: batches.BatchRead = dataclasses.field(default_factory=batches.BatchRead)
    _num_unknown: int = 0
    _explained: bool = False  # whether a warning says why the file has no pairs

    def add(self, batch: batches.Batch, result: batches.BatchRead) -> None:
        """Adds the outcome of a batch; batches come in their order."""
        if batch.first:
            self.files.setdefault(batch.name, 0)
            self._explained = False
        self.files[batch.name] += result.num_pairs
        for name in ('counts', 'words', 'sources', 'flags'):
            getattr(self._sum, name).update(getattr(result, name))
        self._num_unknown += len(result.unknown) + result.more['unknown']
        for kind, name, held in (
            ('unknown', 'unknown lines', self.unknown_lines),
            ('dropped', 'posts without a pair', self.dropped),
            ('warnings', 'warnings', self.warnings),
        ):
            self._hold(name, held, getattr(result, kind))
            if result.more[kind]:
                self.not_held[name] += result.more[kind]
        if result.counts['files empty'] or result.counts['files of unknown layout']:
            self._explained = True
        if batch.last and not self.files[batch.name] and not self._explained:
            warning = f'{batch.name} has no answered question.'
            self._hold('warnings', self.warnings, [warning])

    @property
    def num_pairs(self) -> int:
        return sum(self.files.values())

    @property
    def counts(self) -> dict[str, int]:
        """Files, posts by kind, pairs by source, unknown lines, then words by kind."""
        read = self._sum
        return {
            **{name: n for name, n in sorted(read.counts.items()) if n},
            'pairs': self.num_pairs,
            **{f'pairs from {name}': n for name, n in sorted(read.sources.items())},
            **{f'pairs flagged {name}': n for name, n in sorted(read.flags.items())},
            'unknown lines': self._num_unknown,
            **{f'words: {name}': n for name, n in sorted(read.words.items()) if n},
        }

    def check_pairs(self) -> None:
        """Raises InputError if there is no pair at all."""
        if self.num_pairs:
            return
        found = [*self.unknown_lines, *self.dropped, *self.warnings]
        lines = [
            f'corpus without pairs: no answered question in {", ".join(self.files)}; '
            'give chats, Reddit Markdown, merged QUESTION:/ANSWER: files, or threads, '
            'messages or pairs as JSON lines or CSV.',
            *[f'  {line}' for line in found[:_SHOWN]],
        ]
        if len(found) > _SHOWN:
            lines.append(f'  … and {len(found) - _SHOWN:,} more such')
        raise errors.InputError('\n'.join(lines))

    def summary(self) -> str:
        """A table of all counts and of the pairs by file, for people."""
        rows = [
            *self.counts.items(),
            *((f'{kind} not shown', count) for kind, count in self.not_held.items()),
            *((f'pairs in {name}', count) for name, count in self.files.items()),
        ]
        return '\n'.join(f'{count:>10,}  {name}' for name, count in rows)

    def _hold(self, kind: str, held: list[str], lines: list[str]) -> None:
        room = max(0, MAX_HELD - len(held))
        held += lines[:room]
        if len(lines) > room:
            self.not_held[kind] += len(lines) - room
