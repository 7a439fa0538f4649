"""Which of a row's fields a pair is made of: --fields, or the names that are common.

    --fields='question=title+selftext, answer=comment, id=id, score=ups'
    --fields='tfds:reddit_tifu/long: question=documents, answer=tldr, source="tifu"'

Names joined by + are joined by a blank line; a text in double quotes stands for itself;
`answers.text.0` is the first of the list `text` within `answers`. What stands before a
colon is the pattern of the inputs that it is for.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hax_jax import errors

TARGETS = (
    'question',
    'answer',
    'id',
    'group',
    'source',
    'topic',
    'time',
    'score',
    'weight',
)
MISSING = object()
_EXAMPLE = "--fields='question=title+selftext, answer=comment'"
# The first that a row has is taken; capitals and blanks in names are no difference.
_COMMON = {
    'question': (
        'question',
        'title+selftext',
        'title+body',
        'title+text',
        'title+question_body',
        'instruction+input',
        'instruction',
        'prompt',
        'query',
        'question_text',
        'input',
        'user',
    ),
    'answer': (
        'answer',
        'response',
        'output',
        'completion',
        'best_answer',
        'answer_text',
        'reply',
        'comment',
        'assistant',
        'chosen',
    ),
    'id': ('id', 'uuid', 'post_id', 'question_id'),
    'group': ('group', 'group_id', 'thread_id'),
    'source': ('source',),
    'topic': ('topic', 'category', 'flair', 'link_flair_text', 'subject'),
    'time': ('time', 'date', 'created_utc', 'created_at', 'timestamp'),
    'score': ('score', 'ups', 'upvotes', 'votes'),
    'weight': ('weight', 'oversample_weight'),
}
_SPEC = re.compile(
    rf'(?:(?P<where>.+?):\s*)?(?P<map>(?:{"|".join(TARGETS)})\s*=.*)', re.S
)
_OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'


@dataclasses.dataclass(frozen=True)
class FieldMap:
    """For each of a pair's fields, the row's fields that make it, in their order.

    A name in double quotes is a text that stands for itself. `is_ours` says that the
    rows are pairs as this project writes them, whose ids are kept.
    """

    parts: dict[str, tuple[str, ...]]
    is_ours: bool = False

    def __str__(self) -> str:
        return ', '.join(f'{to}={"+".join(parts)}' for to, parts in self.parts.items())


@dataclasses.dataclass(frozen=True)
class Spec:
    """One --fields: a map, and the pattern of the inputs it is for; '' is any."""

    where: str
    fields: FieldMap

    def fits(self, names: Iterable[str]) -> bool:
        return not self.where or any(
            fnmatch.fnmatchcase(name, self.where) for name in names
        )


def parse(texts: Iterable[str]) -> list[Spec]:
    """The specs of all --fields; those for named inputs come first.

    Raises:
      InputError: names all that is wrong with them.
    """
    specs, problems = [], []
    for text in texts:
        match = _SPEC.fullmatch(text.strip())
        if not match:
            problems.append(
                f'--fields={text!r} names none of {", ".join(TARGETS)}; such as '
                f'{_EXAMPLE}.'
            )
            continue
        parts, wrong = _parts(match['map'])
        problems += [f'--fields={text!r}: {each}' for each in wrong]
        specs.append(Spec((match['where'] or '').strip(), FieldMap(parts)))
    places = [spec.where for spec in specs]
    for where in dict.fromkeys(place for place in places if places.count(place) > 1):
        problems.append(
            f'--fields is given twice for {where or "any input"!r}; give it once, or '
            "name the inputs that each is for: --fields='a/*.csv: question=…'."
        )
    if problems:
        raise errors.InputError('\n'.join(problems))
    return sorted(specs, key=lambda spec: not spec.where)


def resolve(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    specs: Sequence[Spec],
) -> tuple[FieldMap | None, Spec | None, str]:
    """(fields, the spec they are from, problem) of an input that opens with `rows`.

    `names` are all that the input goes by. There is a problem where the rows lack a
    field that was asked for, or have no names that are common.
    """
    found = list(dict.fromkeys(name for row in rows for name in row))
    has = _listed(found)
    spec = next((spec for spec in specs if spec.fits(names)), None)
    if spec:
        parts = [each for mapped in spec.fields.parts.values() for each in mapped]
        missing = [
            repr(part)
            for part in dict.fromkeys(parts)
            if not part.startswith('"')
            and all(value_at(row, part) is MISSING for row in rows)
        ]
        if missing:
            return None, spec, f'{names[0]} has no {", ".join(missing)}; it has {has}.'
        return spec.fields, spec, ''
    if rows and all(_is_pair(row) for row in rows):
        return FieldMap({name: (name,) for name in TARGETS}, is_ours=True), None, ''
    chosen = _common(found)
    if {'question', 'answer'} <= set(chosen):
        return FieldMap(chosen), None, ''
    return None, None, f'{names[0]}: which of its fields {has} are question and answer?'


def has_both(names: Sequence[str]) -> bool:
    """Whether common names of a question and of an answer are among the names."""
    return {'question', 'answer'} <= set(_common(names))


def remedy(problems: Sequence[str]) -> str:
    """The one error for all inputs whose fields fit nothing."""
    return '\n'.join([*problems, f'Say what a pair is made of, such as {_EXAMPLE}.'])


def value_at(row: Any, name: str) -> Any:
    """The value of a row's field, or of one within it; `MISSING` where it has none."""
    if isinstance(row, dict) and name in row:
        return row[name]
    for step in name.split('.'):
        if isinstance(row, dict) and step in row:
            row = row[step]
        elif isinstance(row, list | tuple) and step in map(str, range(len(row))):
            row = row[int(step)]
        else:
            return MISSING
    return row


def _parts(text: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    parts: dict[str, tuple[str, ...]] = {}
    problems = []
    for each in re.split(',' + _OUTSIDE_QUOTES, text):
        target, equals, names = each.partition('=')
        target = target.strip()
        sources = [name.strip() for name in re.split(r'\+' + _OUTSIDE_QUOTES, names)]
        if not equals or not all(sources):
            problems.append(f'{each.strip()!r} is not NAME=FIELD.')
        elif target not in TARGETS:
            problems.append(f'{target!r} is none of {", ".join(TARGETS)}.')
        elif target in parts:
            problems.append(f'{target!r} is given twice.')
        else:
            parts[target] = tuple(sources)
    for target in ('question', 'answer'):
        if target not in parts and not problems:
            problems.append(f'{target!r} is missing; such as {_EXAMPLE}.')
    return parts, problems


def _listed(names: Sequence[str]) -> str:
    """At most 30 names, each in quotes and cut where it is long."""
    shown = [repr(n if len(n) <= 40 else f'{n[:40]}…') for n in names[:30]]
    more = [f'and {len(names) - 30} more'] if len(names) > 30 else []
    return ', '.join([*shown, *more]) or '(it has none)'


def _common(found: Sequence[str]) -> dict[str, tuple[str, ...]]:
    by_name: dict[str, str] = {}
    for name in found:
        by_name.setdefault('_'.join(name.strip().lower().split()), name)
    chosen: dict[str, tuple[str, ...]] = {}
    for target, options in _COMMON.items():
        for option in options:
            names = option.split('+')
            if all(name in by_name for name in names):
                chosen[target] = tuple(by_name[name] for name in names)
                break
    return chosen


def _is_pair(row: Mapping[str, Any]) -> bool:
    return {*TARGETS, 'file', 'line', 'flags'} <= set(row)
