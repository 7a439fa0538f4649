"""The account of all inputs, added up batch by batch in their order."""

import collections
import dataclasses
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from data_pipeline.fields import field_map
from data_pipeline.rows import batches, pair_rows
from hax_jax import counted, errors

MAX_HELD = 10_000  # lines for people that are held of each kind; the rest are counted
_SHOWN_OF_KIND = 3  # lines for people of a build that goes on
_SHOWN = 5  # lines for people in the error of a corpus without pairs
_LARGEST = 4  # counters of one kind that are printed
# The beginning of a counter's name, and the kind that such counters are.
_PREFIXES = {
    'pairs from ': 'pairs by source',
    'pairs flagged ': 'pairs by flag',
    'words: ': 'words',
    'characters: ': 'characters changed',
    'files ': 'files',
}
# Kinds whose counters are names of sources and flags, not nouns.
_OF_NAMES = {'pairs by source': 'from', 'pairs by flag': 'with'}
_OF_LINES = (
    'JSON lines',
    'rows with',
    'answers beside',
    'fields that',
    'lines that',
    'torn last',
    'unknown lines',
)
ACCEPTED = (
    'Accepted are texts with the labels QUESTION: and ANSWER:, Q: and A:, ## Question '
    'and ## Answer, or DEAR NAME:, FAQ pages of which nearly all headings, bold lines '
    'or <details> end in a question mark, chats with footers or a name before each '
    'post and Reddit posts; and rows as JSON, CSV, Parquet, Arrow or xlsx with fields '
    'such as question and answer, prompt and completion, instruction and output, or '
    'messages. For example: {"question": "Why?", "answer": "Because."}'
)
_NO_PAIR = 'has no answered question.'
NOT_AS_NAMED = 'files that are not what the name says'
UNREADABLE = 'files unreadable'
_SUMS = ('files', 'named data sets', 'pairs')  # of counters that are listed beside them


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
    # For each file without pairs, empty ones aside, what was met in it.
    without_pairs: dict[str, str] = dataclasses.field(default_factory=dict)
    _with_remedy: set[str] = dataclasses.field(default_factory=set)  # of these files
    _of_file: batches.Counts = dataclasses.field(default_factory=collections.Counter)
    _met: str = ''  # the first line of the file that made no pair
    _is_empty: bool = False

    def add(self, batch: batches.Batch, result: batches.BatchRead) -> None:
        """Adds the outcome of a batch; batches come in their order."""
        if batch.first:
            self.files.setdefault(batch.name, 0)
            self._is_empty = bool(result.counts['files empty'])
            self._of_file.clear()
        self._of_file.update(result.counts)
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
        self._met = self._met or next(iter([*result.unknown, *result.dropped]), '')
        if batch.last and not self.files[batch.name] and not self._is_empty:
            problem = result.problem or f'{batch.name} {_NO_PAIR}'
            needs_media = _need_media(self._of_file)
            if needs_media:
                problem = (
                    f'{batch.name} has no answered question: each row needs a picture '
                    'or a sound, which this project does not read; give rows of text.'
                )
            self._hold('warnings', self.warnings, [problem])
            kinds_of_own = result.counts[NOT_AS_NAMED] + result.counts[UNREADABLE]
            has_own = needs_media or bool(kinds_of_own)
            if has_own or (batch.layout and result.problem):  # it is of another layout
                self._with_remedy.add(batch.name)
            if self._met and not has_own:
                problem = f'{problem} First: {self._met}'
            self.without_pairs[batch.name] = problem
        if batch.last:
            self._met = ''

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

    def check_pairs(self, *, skip_unreadable: bool = False) -> None:
        """Raises InputError if there is no pair, or a file without that is not skipped.

        An empty file is no error: it holds nothing that could be lost.
        """
        failed = self.without_pairs
        show_layouts = not failed.keys() <= self._with_remedy
        if failed and not skip_unreadable and (self.num_pairs or not show_layouts):
            raise errors.InputError(
                remedy([*failed.values()], show_layouts=show_layouts)
            )
        if self.num_pairs:
            return
        told = [line for line in self.warnings if not line.endswith(_NO_PAIR)]
        found = [*self.unknown_lines, *self.dropped, *told]
        names = ', '.join(self.files)
        refused = {
            n: x
            for n, x in self._sum.counts.items()
            if n.endswith(pair_rows.NOT_LEARNED)
        }
        problem = f'no answered question in {names}. {ACCEPTED}'
        if refused and sum(refused.values()) >= len(self.dropped):
            rows = ', '.join(f'{count:,} {name}' for name, count in refused.items())
            problem = (
                f'all answers in {names} are marked by a field of their rows: {rows}. '
                'If they are to be learned, name the fields without it: '
                "--fields='question=…, answer=…'."
            )
        lines = [
            f'corpus without pairs: {problem}',
            *[f'  {line}' for line in found[:_SHOWN]],
        ]
        if len(found) > _SHOWN:
            lines.append(f'  … and {len(found) - _SHOWN:,} more such')
        raise errors.InputError('\n'.join(lines))

    def summary(self) -> str:
        """A line for each kind of counter, the largest of its counters first."""
        counts = self.counts
        files = ', '.join(
            counted.of(counts[name], name) for name in _SUMS if name in counts
        )
        lines = [f'read {files}']
        for kind, rows in kinds(counts).items():
            if kind in _OF_NAMES:
                rows = [(f'{_OF_NAMES[kind]} {name}', count) for name, count in rows]
            rows = [(_one(kind, name) if n == 1 else name, n) for name, n in rows]
            lines.append(f'  {kind}: {listed(rows)}')
        for kind, count in self.not_held.items():
            lines.append(f'  {kind}: {count:,} more are only counted')
        return '\n'.join(lines)

    def left_out(self) -> Iterator[str]:
        """The first lines that are in no pair, of each kind, and how many more are."""
        for kind, lines in (
            ('unknown line', self.unknown_lines),
            ('no pair', self.dropped),
        ):
            yield from (f'{kind}: {line}' for line in lines[:_SHOWN_OF_KIND])
            if len(lines) > _SHOWN_OF_KIND:
                yield f'{kind}: {len(lines) - _SHOWN_OF_KIND:,} more, in ledger.json'

    def _hold(self, kind: str, held: list[str], lines: list[str]) -> None:
        room = max(0, MAX_HELD - len(held))
        held += lines[:room]
        if len(lines) > room:
            self.not_held[kind] += len(lines) - room


def _one(kind: str, name: str) -> str:
    """The words for one of a kind: 'files', 'that are empty' -> 'that is empty'."""
    if kind == 'files':
        return counted.one(f'files {name}').removeprefix('file ')
    return counted.one(name)


def remedy(problems: Sequence[str], *, show_layouts: bool = True) -> str:
    """The one error for all files of which nothing was read.

    `show_layouts` where one of them is no layout that is known.
    """
    last = '--skip_unreadable leaves such files out.'
    if show_layouts:
        fields = f'Other names of fields are given as {field_map.EXAMPLE}'
        last = f'{ACCEPTED}. {fields}; {last}'
    return '\n'.join([*problems, last])


def _need_media(counts: Mapping[str, int]) -> bool:
    """Whether every row of a file needs a picture or a sound."""
    media = sum(n for name, n in counts.items() if name.endswith(pair_rows.NEEDS_MEDIA))
    return 0 < media == sum(n for name, n in counts.items() if name.endswith(' rows'))


def listed(rows: Sequence[tuple[str, int]]) -> str:
    """[('a', 9), ('b', 2), ...] -> '9 a, 2 b, ... and 3 more'."""
    shown = ', '.join(f'{count:,} {name}' for name, count in rows[:_LARGEST])
    more = len(rows) - _LARGEST
    return shown + (f' and {more:,} more' if more > 0 else '')


def kinds(counts: Mapping[str, int]) -> dict[str, list[tuple[str, int]]]:
    """The counters of `ReadReport.counts` by their kind, each kind's largest first.

    {'chat posts': 2, 'words: answer': 5, 'words: question': 7} ->
    {'chat': [('posts', 2)], 'words': [('question', 7), ('answer', 5)]}
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for name, count in counts.items():
        if name in _SUMS:
            continue
        prefix = next((each for each in _PREFIXES if name.startswith(each)), '')
        if prefix:
            kind, rest = _PREFIXES[prefix], name.removeprefix(prefix)
        elif name.startswith(_OF_LINES):
            kind, rest = 'lines', name
        else:
            kind, _, rest = name.partition(' ')
        found.setdefault(kind, []).append((rest or kind, count))
    return {
        kind: sorted(rows, key=lambda row: (-row[1], row[0]))
        for kind, rows in found.items()
    }


def folded(lines: Iterable[str], names: Container[str]) -> list[str]:
    """The first line of each kind, with the number of the others like it.

    Lines are of one kind if they differ in digits and in the file's name, with which
    they begin, alone. `names` are those of all files.
    """
    of_kind: dict[str, list[str]] = {}
    for line in lines:
        ends = (end for end, sign in enumerate(line) if sign in ' :')
        head = next((end for end in ends if line[:end] in names), 0)
        of_kind.setdefault(re.sub(r'\d+', '0', line[head:]), []).append(line)
    return [
        first + (f' ({len(rest):,} more like this)' if rest else '')
        for first, *rest in of_kind.values()
    ]
