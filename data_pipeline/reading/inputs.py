"""The files and data sets to read, each with its layout."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

from data_pipeline.chat_texts import chat_files
from data_pipeline.copies import plain_copies
from data_pipeline.layouts import detection
from data_pipeline.pages import characters, encoding
from data_pipeline.reading import (
    file_names,
    input_fields,
    named_datasets,
    one_input,
    path_patterns,
    read_report,
    saved_folders,
)
from data_pipeline.rows import csv_rows, json_rows, message_rows, raw_thread
from hax_jax import counted, errors

_HEAD_BYTES = 2**16


def find(
    patterns: Sequence[str],
    *,
    fields: Sequence[str] = (),
    skip_unreadable: bool = False,
) -> list[one_input.Input]:
    """Every input in the order of the patterns, sorted within each, each once.

    `fields` are the texts of --fields (field_map). With `skip_unreadable`, an input
    that can't be read has its `problem`.

    Raises:
      InputError: names every pattern that matches nothing and, unless they are skipped,
        each file that can't be read and each input whose fields fit nothing.
    """
    found: dict[object, one_input.Input] = {}
    problems = path_patterns.if_none(patterns)
    for pattern in patterns:
        if named_datasets.is_named(pattern):
            given = pattern.strip()
            if given not in found:
                name, version = named_datasets.identify(given)
                kind = given.partition(':')[0]
                found[given] = one_input.Input(
                    name, '', kind, given=given, version=version
                )
            continue
        layout, rest = path_patterns.split_prefix(pattern)
        for path in path_patterns.files(rest, problems):
            key = path.resolve()
            if key not in found:
                size = path.stat().st_size
                found[key] = one_input.Input(
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
    made = input_fields.with_fields(made, fields)
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


def describe(
    found: Iterable[one_input.Input], *, preferences: bool = False
) -> list[str]:
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


def _note(each: one_input.Input) -> str:
    return each.copy.note if each.copy else ''


def sources(found: Iterable[one_input.Input]) -> set[str] | None:
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


def sha256(each: one_input.Input) -> str:
    """Hex sha256 of a file's bytes as they were found, read block by block."""
    digest = hashlib.sha256()
    left = pathlib.Path(each.path).stat().st_size if each.copy else each.size
    with open(each.path, 'rb') as file:
        while left > 0 and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _opened(each: one_input.Input) -> one_input.Input:
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


def _layout_of(each: one_input.Input) -> str:
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
    if chat_files.opens_with_token(encoding.decode_part(first)[0]):
        return ''
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
    if set(objects[0]) >= raw_thread.NAMES:
        return 'threads'
    return 'messages' if any(map(message_rows.is_chat, objects)) else 'pairs'


def of_another_layout(path: str, name: str, layout: str) -> str:
    """A sentence if the first lines of a file show another layout; '' if not."""
    shown = _layout_of(one_input.Input(name, path, ''))
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
