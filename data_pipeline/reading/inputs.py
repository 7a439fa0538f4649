"""The files and data sets to read, each with its layout."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipeline.layouts import detection, source_marks
from data_pipeline.pages import characters, encoding
from data_pipeline.reading import (
    file_names,
    message_tables,
    named_datasets,
    path_patterns,
    plain_copies,
    read_report,
    saved_folders,
)
from data_pipeline.rows import (
    answer_lists,
    chat_shapes,
    csv_rows,
    field_map,
    json_rows,
    message_rows,
    preferred,
)
from hax_jax import counted, errors

_HEAD_BYTES = 2**16
_FOR_CHATS = (
    ' Its rows are chats, which need no --fields: leave it out, or name the files that '
    "it is for: --fields='a/*.csv: question=…'."
)


@dataclasses.dataclass(frozen=True)
class Input:
    """One file or named data set. `layout` is '' if only a file's whole text tells it.

    A data set has no `path`, but its name as it was `given`, and a version. `fields`
    maps the fields of its rows to a pair. `copy` is the file as plain text, None for a
    file that is plain. `size` is the bytes of the text when it was found: a collector
    may still append to it. `stem` is the file's name in ids, which no other file of its
    layout has. `problem` says why nothing of it can be read. `comparisons` says what
    known layout its rows have, if they compare answers, and `unjudged` says it where
    --fields make plain pairs of such rows. `marks` are those that all its texts have.
    """

    name: str
    path: str
    layout: str
    fields: field_map.FieldMap | None = None
    given: str = ''
    size: int = 0
    stem: str = ''
    version: str = ''
    copy: plain_copies.Copy | None = None
    problem: str = ''
    comparisons: str = ''
    unjudged: str = ''
    marks: source_marks.Marks | None = None

    @property
    def text_path(self) -> str:
        """The path of the plain text."""
        return self.copy.path if self.copy else self.path


def find(
    patterns: Sequence[str],
    *,
    fields: Sequence[str] = (),
    skip_unreadable: bool = False,
) -> list[Input]:
    """Every input in the order of the patterns, sorted within each, each once.

    `fields` are the texts of --fields (field_map). With `skip_unreadable`, an input
    that can't be read has its `problem`.

    Raises:
      InputError: names every pattern that matches nothing and, unless they are skipped,
        each file that can't be read and each input whose fields fit nothing.
    """
    found: dict[object, Input] = {}
    problems = path_patterns.if_none(patterns)
    for pattern in patterns:
        if named_datasets.is_named(pattern):
            given = pattern.strip()
            if given not in found:
                name, version = named_datasets.identify(given)
                kind = given.partition(':')[0]
                found[given] = Input(name, '', kind, given=given, version=version)
            continue
        layout, rest = path_patterns.split_prefix(pattern)
        for path in path_patterns.files(rest, problems):
            key = path.resolve()
            if key not in found:
                size = path.stat().st_size
                found[key] = Input(
                    path_patterns.shown(path), str(path.absolute()), layout, size=size
                )
            elif layout != found[key].layout:
                problems.append(
                    f'{path} is given as {layout or "any layout"} and as '
                    f'{found[key].layout or "any layout"}; give it once.'
                )
    errors.refuse(problems)
    made = []
    for each in found.values():
        try:
            made.append(_opened(each))
        except errors.InputError as error:
            made.append(dataclasses.replace(each, problem=str(error)))
    damaged = {each.problem for each in made}
    made = _with_fields(made, fields)
    stems = file_names.stems((each.layout, each.path) for each in made if each.path)
    made = [
        dataclasses.replace(each, stem=stems.get((each.layout, each.path), ''))
        for each in made
    ]
    unread = [each.problem for each in made if each.problem]
    if unread and not skip_unreadable:
        show_layouts = not damaged.issuperset(unread)
        raise errors.InputError(read_report.remedy(unread, show_layouts=show_layouts))
    return made


def describe(found: Iterable[Input], *, preferences: bool = False) -> list[str]:
    """For people: the fields that make pairs, a line for each different choice.

    `preferences` says whether preference pairs are wanted.
    """
    chosen: dict[str, list[str]] = {}
    known: dict[str, list[str]] = {}
    unjudged: dict[str, list[str]] = {}
    chats = []
    notes = [f'{each.name}: {each.copy.note}' for each in found if _note(each)]
    for each in found:
        if each.unjudged:
            unjudged.setdefault(each.unjudged, []).append(each.name)
        if each.comparisons:
            known.setdefault(each.comparisons, []).append(each.name)
        elif each.fields and each.fields.is_given and each.layout == 'messages':
            chats.append(each.name)
        elif each.fields and not each.fields.is_ours:
            chosen.setdefault(str(each.fields), []).append(each.name)
    if chats:
        notes.append(
            f'note: --fields has no effect on the chats in {counted.first(chats)}; it '
            'is for rows of texts.'
        )
    lost = ', and no preference comes of them' if preferences else ''
    notes += [
        f'note: --fields makes one plain pair of each row of {counted.first(names)}, '
        f'without asking which answer is the better{lost}. Without --fields they are '
        f'read as in {each}.'
        for each, names in unjudged.items()
    ]
    return [
        *notes,
        *(
            f'comparisons in {counted.first(names)} as in {e}'
            for e, names in known.items()
        ),
        *(
            f'fields of {counted.first(names)}: {fields} (--fields changes them)'
            for fields, names in chosen.items()
        ),
    ]


def _note(each: Input) -> str:
    return each.copy.note if each.copy else ''


def sources(found: Iterable[Input]) -> set[str] | None:
    """The sources that the pairs will have; None where only reading all rows tells.

    Rows tell theirs where a column or --fields give one, and JSON's later rows may have
    other columns than the first; pages may be of any layout.
    """
    tables = ('csv', *named_datasets.KINDS)
    made: set[str] = set()
    for each in found:
        if each.fields is None or each.fields.is_ours or each.problem:
            return None
        if each.fields.is_guessed and each.layout not in tables:
            return None
        named = each.fields.parts.get('source')
        if named:
            if not all(part.startswith('"') for part in named):
                return None
            made.add(characters.clean_line(' '.join(p.strip('"') for p in named)))
        elif each.layout == 'messages':
            return None
        else:
            own = named_datasets.source_of(each.name) if each.given else ''
            made.add(own or each.layout)
    return made


def sha256(each: Input) -> str:
    """Hex sha256 of a file's bytes as they were found, read block by block."""
    digest = hashlib.sha256()
    left = pathlib.Path(each.path).stat().st_size if each.copy else each.size
    with open(each.path, 'rb') as file:
        while left > 0 and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _opened(each: Input) -> Input:
    """The input with its plain text and its layout.

    Raises:
      InputError: it is damaged, no text, or a file of a dataset or a run.
    """
    if not each.path:
        return each
    if own := saved_folders.of_this_project(pathlib.Path(each.path)):
        raise errors.InputError(f'{each.name} is {own}.')
    if copy := plain_copies.of(each.path, each.name):
        size = pathlib.Path(copy.path).stat().st_size
        each = dataclasses.replace(each, copy=copy, size=size)
    return dataclasses.replace(each, layout=_layout_of(each))


def _layout_of(each: Input) -> str:
    """The file's layout: the given one, or the one that its first lines show, or ''.

    Raises:
      InputError: a file of rows is not text, or one of JSON is given as CSV.
    """
    if each.layout in detection.PARSERS:
        return each.layout
    # A crash can leave zero bytes in JSON Lines, so these are not checked as text.
    if shown := _lines_shown(each.text_path):
        if each.layout == 'csv':
            raise errors.InputError(_given_wrongly(each.name, 'csv', shown))
        return each.layout or shown
    with open(each.text_path, 'rb') as file:
        first = file.read(_HEAD_BYTES)
    encoding.check_text(first, each.name)
    if each.layout or not first.strip():
        return each.layout
    suffixes = [suffix.lower() for suffix in pathlib.PurePath(each.path).suffixes]
    is_csv = {'.csv', '.tsv', '.tab'} & set(suffixes) or csv_rows.looks_like(
        each.text_path
    )
    if not is_csv and csv_rows.below_title(each.text_path):
        is_csv = not detection.detect(encoding.decode_part(first)[0])
    return 'csv' if is_csv else ''


def _lines_shown(path: str) -> str:
    """The layout of JSON Lines by their first; '' for a file of other text."""
    objects = json_rows.head(path)
    if not objects:
        return ''
    if {'title', 'body', 'answers', 'subreddit'} <= set(objects[0]):
        return 'threads'
    return 'messages' if any(map(message_rows.is_chat, objects)) else 'pairs'


def of_another_layout(path: str, name: str, layout: str) -> str:
    """A sentence if the first lines of a file show another layout; '' if not."""
    shown = _layout_of(Input(name, path, ''))
    if not shown:
        with open(path, 'rb') as file:
            text, _ = encoding.decode_part(file.read(_HEAD_BYTES))
        shown = detection.detect(text)
    # --fields may name texts beside the chats of a file, which makes its rows pairs.
    alike = shown == layout or {shown, layout} == {'messages', 'pairs'}
    return _given_wrongly(name, layout, shown) if shown and not alike else ''


def _given_wrongly(name: str, layout: str, shown: str) -> str:
    return (
        f'{name} is given as {layout}: and looks like {shown}:, so no question of it '
        f'was read; give {name} without {layout}: before it.'
    )


def _pairs_among_chats(path: str) -> list[Any]:
    """The first rows of a file of chats that are pairs by common names."""
    rows = json_rows.head(path)
    return [
        row
        for row in rows
        if not message_rows.is_chat(row) and field_map.has_both([*row])
    ]


def _comparisons(each: Input) -> str:
    """The layout of comparisons that the first rows of an input have, '' for none."""
    if each.layout in named_datasets.KINDS:
        rows: Any = named_datasets.head(each.given, field_map.AS_THEY_STAND)
    elif each.layout == 'csv':
        rows = csv_rows.head(each.text_path, field_map.AS_THEY_STAND)
    else:
        rows = json_rows.head(each.text_path, field_map.AS_THEY_STAND)
    return next(filter(None, map(preferred.layout, rows)), '')


def _are_texts(path: str, given: field_map.FieldMap | None) -> bool:
    """Whether --fields name texts beside the chats of a file: they are meant."""
    rows = json_rows.head(path, given) if given else []
    fitting = [row for row in rows if given and given.fits(row)]
    return bool(fitting) and not any(
        isinstance(field_map.value_at(row, name), list | dict)
        for row in fitting
        for target in ('question', 'answer')
        for name in given.parts[target]
    )


def _are_chats(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether some of the rows are chats, and no other is a pair by common names."""
    others = [row for row in rows if not chat_shapes.turns(row)]
    return len(others) < len(rows) and not any(
        field_map.has_both([*row]) for row in others
    )


def _are_plain(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether no row, as --fields leave it, has a rejected answer, or several."""
    several = (*chat_shapes.REJECTED, *answer_lists.MANY)
    return not any(name in row for row in rows for name in several)


def _unused(chosen: field_map.FieldMap, found: Sequence[Input]) -> str:
    """The error of --fields that no input takes."""
    shown = f"--fields='{f'{chosen.where}: ' if chosen.where else ''}{chosen}'"
    fitting = [
        each.name
        for each in found
        if field_map.given_for([each.name, each.path, each.given], [chosen])
    ]
    if not fitting:
        return (
            f'{shown}: no input has a name like {chosen.where!r}; the inputs are '
            f'{counted.first([each.name for each in found])}.'
        )
    return (
        f'{shown} names columns, and {counted.first(fitting)}, a page or threads, has '
        'none to name; leave --fields out.'
    )


def _texts(
    each: Input, rows: Sequence[dict[str, Any]], fields: field_map.FieldMap | None
) -> list[tuple[str, str]]:
    """(question, answer) of the first rows; a chat's turns are answers without one."""
    if each.layout == 'messages' and not rows:
        rows = json_rows.head(each.text_path)
    made = []
    for row in rows:
        parts = fields.parts if fields else {}
        asked, answered = (
            [v for name in parts.get(target, ()) if _is_text(v := row.get(name))]
            for target in ('question', 'answer')
        )
        if asked and answered:
            made += [('', text) for text in (*asked[:-1], *answered[:-1])]
            made.append((asked[-1], answered[-1]))
            continue
        for turn in chat_shapes.turns(row) or ():
            values = turn.values() if isinstance(turn, dict) else ()
            made += [('', text) for text in values if isinstance(text, str)]
    return made


def _remedy(each: Input, rows: Sequence[dict[str, Any]]) -> str:
    """What to do with rows of unknown fields, in the cases where that is known."""
    if found := message_tables.remedy(rows):
        return found
    return csv_rows.without_header(each.text_path) if each.layout == 'csv' else ''


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _with_fields(found: list[Input], given: Sequence[str]) -> list[Input]:
    """The inputs, with the field map of each whose rows may have any fields.

    An input whose fields fit nothing has that as its `problem`.

    Raises:
      InputError: names each --fields that fits no input.
    """
    maps = field_map.parse(given)
    made, used = [], []
    for each in found:
        chosen = field_map.given_for([each.name, each.path, each.given], maps)
        if each.problem:
            used.append(chosen)
            made.append(each)
            continue
        if each.layout == 'messages' and _are_texts(each.text_path, chosen):
            each = dataclasses.replace(each, layout='pairs')
        if each.layout == 'pairs' or (each.layout == 'messages' and chosen):
            rows: Any = json_rows.head(each.text_path, chosen)
        elif each.layout == 'messages':
            rows = _pairs_among_chats(each.text_path)
        elif each.layout == 'csv':
            rows = csv_rows.head(each.text_path, chosen)
        elif each.layout in named_datasets.KINDS:
            rows = named_datasets.head(each.given, chosen)
        else:
            made.append(each)
            continue
        used.append(chosen)
        compared = _comparisons(each)
        if not chosen:
            each = dataclasses.replace(each, comparisons=compared)
        elif each.layout != 'messages' and _are_plain(rows):
            each = dataclasses.replace(each, unjudged=compared)
        fields, problem = None, ''
        are_chats = not chosen and _are_chats(rows)
        if rows and (each.layout == 'messages' or not are_chats):
            try:
                fields = field_map.resolve(chosen, each.name, rows)
            except errors.InputError as error:
                problem = str(error) + _remedy(each, rows) * (not chosen)
                if chosen and each.layout == 'messages':
                    problem += _FOR_CHATS
        marks = source_marks.find(_texts(each, rows, fields)) if not problem else None
        made.append(
            dataclasses.replace(each, fields=fields, problem=problem, marks=marks)
        )
    errors.refuse([_unused(each, found) for each in maps if each not in used])
    return made
