"""Raw corpus files in, question-answer pairs and an account of every line out."""

import codecs
import collections
import collections.abc
import dataclasses
import pathlib

from data_pipeline import chat_lines, chats, clean, merged, parsed, reddit
from hax_jax import config, records

_PARSERS = {'reddit': reddit.parse, 'chat': chats.parse, 'merged': merged.parse}
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclasses.dataclass
class ReadReport:
    """What was read: `counts` by kind, pairs by file, and every line left unknown.

    An unknown line is `file:line: text (where it went)`; `dropped` names in the same
    way each post that made no pair. `counts` ends with the words of all files by kind;
    together they are all the words that there are.
    """

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    files: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown_lines: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> str:
        """A table of all counts and of the pairs by file, for people."""
        rows = [(f'{count:,}', name) for name, count in self.counts.items()]
        rows += [
            (f'{count:,}', f'pairs in {name}') for name, count in self.files.items()
        ]
        return '\n'.join(f'{count:>10}  {name}' for count, name in rows)


def read(
    patterns: collections.abc.Sequence[str],
) -> tuple[list[records.QaPair], ReadReport]:
    """Every pair of the files that the patterns match, duplicates included.

    Files come in the order of the patterns, sorted within each, each file once.

    Raises:
      InputError: a pattern matches nothing, a file is unreadable, or no pair came out.
    """
    report = ReadReport()
    pairs: list[records.QaPair] = []
    counts: collections.Counter[str] = collections.Counter()
    words: collections.Counter[str] = collections.Counter()
    unknown = 0
    for path in expand(patterns):
        name = _shown(path)
        text = decode(pathlib.Path(path).read_bytes(), name, warnings=report.warnings)
        counts['files'] += 1
        for kind, number in clean.census(text).items():
            counts[f'characters: {kind}'] += number
        report.files[name] = 0
        if not clean.text(text):
            counts['files empty'] += 1
            report.warnings.append(f'{name} is empty.')
            continue
        layout = detect(text)
        if not layout:
            counts['files of unknown layout'] += 1
            report.warnings.append(
                f'{name} has no QUESTION: line, no footer and no Reddit header; '
                'nothing of it was read.'
            )
            words['in files of unknown layout'] += len(text.split())
            continue
        found = _PARSERS[layout](text, file=name)
        counts[f'files of layout {layout}'] += 1
        counts += found.counts
        words += parsed.words(found.pieces)
        pairs += found.pairs
        report.files[name] = len(found.pairs)
        unknown += len(found.unknown)
        report.unknown_lines += [
            f'{name}:{line}: {text.strip()} ({where})'
            for line, text, where in found.unknown
        ]
        report.dropped += [
            f'{name}:{line}: {post} ({kind})' for line, post, kind in found.dropped
        ]
        if not found.pairs:
            report.warnings.append(f'{name} has no answered question.')
    report.counts = _sorted_counts(counts, pairs, unknown, words)
    if not pairs:
        files = ', '.join(report.files)
        raise config.InputError(
            f'corpus without pairs: no answered question in {files}; give chats, '
            'Reddit Markdown or merged QUESTION:/ANSWER: files.'
        )
    return pairs, report


def expand(patterns: collections.abc.Sequence[str]) -> list[str]:
    """The files that the patterns match, each once.

    Raises:
      InputError: names every pattern that matches no file.
    """
    problems, paths = [], {}
    if not [pattern for pattern in patterns if pattern.strip()]:
        problems.append("no input is given; give files, such as --input='chats/*.md'.")
    for pattern in patterns:
        if not pattern.strip():
            continue
        path = pathlib.Path(pattern).expanduser()
        if path.is_dir():
            problems.append(f"{pattern!r} is a folder; give '{pattern}/*.md'.")
            continue
        files = [path] if path.is_file() else _matches(path)
        if not files:
            wild = any(sign in pattern for sign in '*?[')
            what = 'matches no file' if wild else 'does not exist'
            problems.append(f'{pattern!r} {what}; check the path.')
        for file in files:
            paths.setdefault(file.resolve(), str(file))
    if problems:
        raise config.InputError('\n'.join(problems))
    return list(paths.values())


def decode(raw: bytes, name: str, *, warnings: list[str]) -> str:
    """The text of a file in UTF-8, or else in cp1252, which adds a warning.

    Raises:
      InputError: the bytes are no text.
    """
    if raw.startswith(_UTF16_BOMS):
        raise config.InputError(f'{name} is UTF-16; save it as UTF-8.')
    if b'\0' in raw:
        raise config.InputError(
            f'{name} is a binary file (a zero byte at {raw.index(0)}); give text files.'
        )
    try:
        return raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        where = f'byte {error.start}, {raw[error.start]:#04x}'
    try:
        text = raw.decode('cp1252')
    except UnicodeDecodeError as error:
        raise config.InputError(
            f'{name} is neither UTF-8 ({where}) nor cp1252 (byte {error.start}, '
            f'{raw[error.start]:#04x}); save it as UTF-8.'
        ) from None
    warnings.append(f'{name} is not UTF-8 ({where}); it was read as cp1252.')
    return text


def detect(text: str) -> str:
    """'reddit', 'chat' or 'merged'; '' where the text has none of these layouts."""
    if reddit.has_header(text):
        return 'reddit'
    lines = [
        (clean.line(piece.text), piece)
        for piece in chat_lines.split_furniture(parsed.raw_lines(text))
    ]
    filled = [(line, piece) for line, piece in lines if line]
    stamped = labelled = 0
    for i, (_, piece) in enumerate(filled):
        if chat_lines.label(piece.text) == 'QUESTION':
            labelled += 1
            above = filled[i - 1][0] if i else ''
            stamped += above.startswith('Guest') or bool(chat_lines.stamp(above))
    if labelled:
        return 'chat' if 2 * stamped >= labelled else 'merged'
    marks = any(
        piece.kind in ('footer', 'tally')
        or chat_lines.is_guest_stamp(line)
        or chat_lines.is_staff_stamp(line, ())
        for line, piece in filled
    )
    return 'chat' if marks else ''


def _matches(pattern: pathlib.Path) -> list[pathlib.Path]:
    """The files that a pattern matches, sorted, without hidden ones."""
    anchor = pattern.anchor
    found = pathlib.Path(anchor).glob(str(pattern.relative_to(anchor)))
    return sorted(p for p in found if p.is_file() and not p.name.startswith('.'))


def _shown(path: str) -> str:
    """The path below the current folder where it is there, else as it was given."""
    given, folder = pathlib.Path(path), pathlib.Path.cwd()
    if given.is_relative_to(folder):
        given = given.relative_to(folder)
    return given.as_posix()


def _sorted_counts(
    counts: collections.Counter[str],
    pairs: list[records.QaPair],
    unknown: int,
    words: collections.Counter[str],
) -> dict[str, int]:
    """Files, posts by kind, pairs by source, unknown lines, then words by kind."""
    by_source = collections.Counter(pair.source for pair in pairs)
    flags = collections.Counter(flag for pair in pairs for flag in pair.flags)
    return {
        **{name: counts[name] for name in sorted(counts)},
        'pairs': len(pairs),
        **{f'pairs from {name}': by_source[name] for name in sorted(by_source)},
        **{f'pairs flagged {name}': flags[name] for name in sorted(flags)},
        'unknown lines': unknown,
        **{f'words: {name}': words[name] for name in sorted(words) if words[name]},
    }
