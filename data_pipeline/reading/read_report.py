"""What was read of all inputs, added up batch by batch in their order."""

import collections
import dataclasses

from data_pipeline.rows import batch_types

# Of each kind of line that is shown to people; the rest are counted.
MAX_HELD = 10_000


@dataclasses.dataclass
class ReadReport:
    """What was read: `counts` by kind, pairs by file, and every line left unknown.

    An unknown line is `file:line: text (where it went)`; `dropped` names in the same
    way each post that made no pair. Of unknown lines, posts and warnings the first
    `MAX_HELD` each are held, and `not_held` counts the others. `counts` ends with the
    words of all files by kind; together they are all the words that there are.
    """

    files: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown_lines: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)
    not_held: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    _kinds: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    _words: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    _sources: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    _flags: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    _num_unknown: int = 0
    _explained: bool = False  # that the file being read has no pairs

    def add(self, batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
        """Adds what came of a batch; batches come in their order."""
        if batch.first:
            self.files.setdefault(batch.name, 0)
            self._explained = False
        self.files[batch.name] += result.num_pairs
        self._kinds.update(result.counts)
        self._words.update(result.words)
        self._sources.update(result.sources)
        self._flags.update(result.flags)
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
        kinds, words = self._kinds, self._words
        return {
            **{name: kinds[name] for name in sorted(kinds) if kinds[name]},
            'pairs': self.num_pairs,
            **{f'pairs from {name}': n for name, n in sorted(self._sources.items())},
            **{f'pairs flagged {name}': n for name, n in sorted(self._flags.items())},
            'unknown lines': self._num_unknown,
            **{f'words: {name}': words[name] for name in sorted(words) if words[name]},
        }

    def summary(self) -> str:
        """A table of all counts and of the pairs by file, for people."""
        rows = [(f'{count:,}', name) for name, count in self.counts.items()]
        rows += [
            (f'{count:,}', f'{kind} not shown') for kind, count in self.not_held.items()
        ]
        rows += [
            (f'{count:,}', f'pairs in {name}') for name, count in self.files.items()
        ]
        return '\n'.join(f'{count:>10}  {name}' for count, name in rows)

    def _hold(self, kind: str, held: list[str], lines: list[str]) -> None:
        room = max(0, MAX_HELD - len(held))
        held += lines[:room]
        if len(lines) > room:
            self.not_held[kind] += len(lines) - room
