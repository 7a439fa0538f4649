"""The fields of a row that make a pair: from --fields, or by common names.

    --fields='question=title+selftext, answer=comment, id=id, score=ups'
    --fields='tfds:reddit_tifu/long: question=documents, answer=tldr, source="tifu"'

A blank line joins the texts of names joined by +. A text in double quotes stands for
itself. `answers.text.0` is the first of the list `text` within `answers`. A pattern
before a colon limits the map to inputs whose names match it.
"""

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_pipeline.fields import answer_lists, near_fields, verdicts
from hax_jax import errors

MISSING = object()
EXAMPLE = "--fields='question=title+selftext, answer=comment'"
# The first option that a row has is taken; case and blanks in names are ignored.
_COMMON = {
    'question': 'question title+selftext title+body title+bodytext title+text '
    'title+question_body subject+body instruction+input instruction prompt query '
    'question_text input inputs user human post context user_message user_input '
    'human_message patient message_1',
    'answer': 'revised_response chosen+rejected answer response output completion '
    'completions best_answer answer_text answers responses reply assistant '
    'chosen targets '
    'assistant_message bot_response ai_message bot ai doctor solution '
    'generated_solution ground_truth '
    'expected_answer target gpt chatgpt generation generations message_2 comment',
    'id': 'id uuid',
    'group': 'group group_id thread_id post_id question_id',  # of several answers
    'source': 'source',
    'topic': 'topic category flair link_flair_text subject',
    'time': 'time date created_utc created_at timestamp',
    'score': 'score ups upvotes votes',
    'weight': 'weight oversample_weight',
}
# What a row has beside its question that belongs to it: Dolly's context.
_BESIDE = (
    *('context', 'background', 'passage', 'article', 'paragraph', 'details'),
    *('knowledge', 'document'),
    *('question_body', 'question_detail', 'question_details'),
)
_OPTIONS = {
    target: [dict.fromkeys(option.split('+')) for option in options.split()]
    for target, options in _COMMON.items()
}
_SURE = ('revised_response', 'chosen')  # answers that no other name is nearer to
_LAST = (('post',), ('context',))  # questions where no other name is near one
_CARD = ('front', 'back')  # the two sides of a flashcard
# A title is the question only where nothing but these is beside it and its answer.
_BESIDE_A_TITLE = frozenset(
    [
        'id',
        'title',
        'url',
        'link',
        'author',
        'source',
        'category',
        'tags',
        'date',
        'time',
        'created_at',
        'created_utc',
        'score',
        'ups',
        'upvotes',
        'votes',
        'likes',
        'views',
        'column_1',
        'unnamed:_0',
    ]
)
# Reddit's comments and posts as archives have them, each in a file of its own.
_OF_DUMPS = ({'link_id', 'parent_id', 'body'}, {'title', 'selftext', 'num_comments'})
_JOINED_BY = (
    " Reddit's posts and their comments are joined first: python -m "
    'data_pipeline.collect --source=dump {} '
    '--subreddit={} --output=threads.jsonl; then give threads.jsonl.'
)
TARGETS = (*_COMMON, 'learn')
_MAP = re.compile(
    rf'(?:(?P<where>.+?):\s*)?(?P<map>(?:{"|".join(TARGETS)})\s*=.*)', re.DOTALL
)
_OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'


@dataclasses.dataclass(frozen=True)
class FieldMap:
    """For each field of a pair, the row's fields that make it, in their order.

    `learn` names fields of which one is false in rows whose answers are bad examples,
    `unread` those of such names that hold no verdicts, `passed` names of texts that
    nothing says belong to a pair.
    A name in double quotes is a text that stands for itself. `where` is the pattern of
    the inputs that the map is for, '' for any. `is_given` says that it is one of
    --fields, `is_ours` that the rows are pairs as this project writes them, whose ids
    are kept. With `has_turns`, rows may hold conversations in the fields `more` and
    `answer_weights` of `records.QaPair`. `choice` names the field whose value is the
    mark of a choice, and `first_choice` is the first one's number, None if unknown.
    `packed` names the fields whose texts are lists or objects that hold the text.
    """

    parts: dict[str, tuple[str, ...]]
    where: str = ''
    is_given: bool = False
    is_ours: bool = False
    has_turns: bool = False
    unread: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    choice: str = ''
    first_choice: int | None = None
    packed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ', '.join(f'{to}={"+".join(parts)}' for to, parts in self.parts.items())

    @property
    def is_guessed(self) -> bool:
        """Whether it was made of the common names of an input's first rows."""
        return not (self.is_given or self.is_ours or self.has_turns)

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has a field of its question, and one of its answer."""
        return all(
            any(
                part.startswith('"') or value_at(row, part) is not MISSING
                for part in self.parts.get(target, ())
            )
            for target in ('question', 'answer')
        )


# Names nothing, so that rows that hold rows stay as they are.
AS_THEY_STAND = FieldMap({}, is_given=True)


def parse(texts: Iterable[str]) -> list[FieldMap]:
    """The maps of all --fields; those for named inputs come first.

    Raises:
      InputError: names every mistake in them.
    """
    maps, problems = [], []
    for text in texts:
        match = _MAP.fullmatch(text.strip())
        if not match:
            problems.append(
                f'--fields={text!r} names none of {", ".join(TARGETS)}; give a map '
                f'such as {EXAMPLE}.'
            )
            continue
        parts, wrong = _parts(match['map'])
        problems += [f'--fields={text!r}: {each}' for each in wrong]
        where = (match['where'] or '').strip()
        maps.append(FieldMap(parts, where=where, is_given=True))
    places = [each.where for each in maps]
    for where in dict.fromkeys(place for place in places if places.count(place) > 1):
        once = f' for {where!r}' if where else ''
        problems.append(
            f'--fields is given twice{once}; give it once, or name the inputs that '
            "each is for: --fields='a/*.csv: question=…'."
        )
    errors.refuse(problems)
    return sorted(maps, key=lambda each: not each.where)


def given_for(names: Iterable[str], maps: Sequence[FieldMap]) -> FieldMap | None:
    """The first map of --fields for an input with one of these names, if any."""
    return next(
        (
            each
            for each in maps
            if not each.where
            or any(fnmatch.fnmatchcase(name, each.where) for name in names)
        ),
        None,
    )


def resolve(
    given: FieldMap | None, name: str, rows: Sequence[Mapping[str, Any]]
) -> FieldMap:
    """The given map, or one of common names, for the input that opens with `rows`.

    Raises:
      InputError: the rows of the input `name` lack a field that is given, question and
        answer are given as one text, or none is given and their names are not common.
    """
    found = list(dict.fromkeys(field for row in rows for field in row))
    if given:
        parts = [part for mapped in given.parts.values() for part in mapped]
        missing = [
            repr(part)
            for part in dict.fromkeys(parts)
            if not part.startswith('"')
            and all(value_at(row, part) is MISSING for row in rows)
        ]
        if missing:
            raise errors.InputError(
                f'{name} has no {", ".join(missing)}; it has {_listed(found)}.'
            )
        asked = given.parts['question']
        values = [value_at(row, asked[0]) for row in rows]
        if asked == given.parts['answer'] and any(isinstance(v, str) for v in values):
            raise errors.InputError(
                f'{name}: --fields takes {"+".join(asked)} as question and as answer, '
                f'so each question would answer itself; it has {_listed(found)}.'
            )
        packed = near_fields.packed(rows, given.parts)
        return dataclasses.replace(given, packed=packed) if packed else given
    ours = [target for target in TARGETS if target != 'learn']
    if rows and all({*ours, 'file', 'line', 'flags'} <= set(row) for row in rows):
        fields = {target: (target,) for target in ours}
        return FieldMap(fields, is_ours=True, has_turns=True)
    made = _of_names(rows, found)
    if not {'question', 'answer'} <= set(made.parts):
        of_dumps = sum(columns <= set(found) for columns in _OF_DUMPS)
        inputs = ('', '--input=POSTS --input=COMMENTS', f'--input={name}')[of_dumps]
        raise errors.InputError(
            f'{name}: which of its fields {_listed(found)} are question and answer?'
            + _JOINED_BY.format(inputs, rows[0].get('subreddit', 'NAME'))
            * bool(of_dumps)
        )
    within = {
        to: near_fields.texts_within(rows, made.parts[to][0])
        for to in ('question', 'answer')
    }
    if any(within.values()):
        texts = {to: within[to] or '+'.join(made.parts[to]) for to in within}
        objects = [repr(made.parts[to][0]) for to in within if within[to]]
        raise errors.InputError(
            f'{name}: {" and ".join(objects)} of its rows are objects of several '
            f"texts; name one, as in --fields='question={texts['question']}, "
            f"answer={texts['answer']}'."
        )
    return made


def of_row(row: Mapping[str, Any]) -> FieldMap | None:
    """The map of common names for one row by itself; None if its names are not."""
    names = [name for name, value in row.items() if value not in (None, '')]
    made = _of_names([row], names)
    return made if {'question', 'answer'} <= set(made.parts) else None


def _of_names(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> FieldMap:
    """The map of common names, all verdicts, and no context that is a list."""
    judged = [
        name
        for name in names
        if near_fields.key(name) == 'answer' and near_fields.judges(rows, name)
    ]
    known = [name for name in names if name not in judged]
    no_texts = [name for name in known if near_fields.holds_no_texts(rows, name)]
    others = tuple(name for name in known if name not in no_texts)
    chosen = dict(_common(others if no_texts and has_both(others) else tuple(known)))
    marks, unread = verdicts.among(rows)
    marks = (*marks, *judged)
    if marks:
        chosen['learn'] = marks
    if 'question' not in chosen and (asked := near_fields.asking(rows, names)):
        chosen = {k: each for k, each in chosen.items() if each != asked['question']}
        chosen |= asked
    if 'answer' in chosen and (right := near_fields.right(rows, names)):
        chosen['answer'] = (right,)
    if choice := near_fields.choice(rows, names, chosen.get('answer', ())):
        chosen['answer'] = (choice,)
        if learn := tuple(name for name in chosen.pop('learn', ()) if name != choice):
            chosen['learn'] = learn

    def is_beside(name: str) -> bool:
        values = [row[name] for row in rows if row.get(name) not in (None, '')]
        return near_fields.key(name) not in _BESIDE or all(
            isinstance(v, str) for v in values
        )

    if 'question' in chosen:
        chosen['question'] = tuple(filter(is_beside, chosen['question']))
    read = {name for parts in chosen.values() for name in parts}
    others = [name for name in names if name not in read]
    return FieldMap(
        chosen,
        unread=tuple(name for name in unread if name in others),
        passed=tuple(name for name in others if near_fields.holds_texts(rows, name)),
        choice=choice,
        first_choice=answer_lists.first_choice([*rows], choice) if choice else None,
        packed=near_fields.packed(rows, chosen),
    )


def has_both(names: Sequence[str]) -> bool:
    """Whether common names of a question and of an answer are among the names."""
    return {'question', 'answer'} <= set(_common(tuple(names)))


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
    """(the parts of a map, its mistakes)."""
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
            problems.append(f'{target!r} is missing; give both, such as {EXAMPLE}.')
    return parts, problems


def _listed(names: Sequence[str]) -> str:
    """At most 30 names, each in quotes and cut if it is long."""
    shown = [repr(n if len(n) <= 40 else f'{n[:40]}…') for n in names[:30]]
    more = [f'and {len(names) - 30} more'] if len(names) > 30 else []
    return ', '.join([*shown, *more]) or '(it has none)'


@functools.lru_cache(64)  # rows of one file have the same names
def _common(found: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The fields of a pair that common names make, each with the rows' spelling.

    Names near a question's and an answer's are taken where there is no common one.

    ['Title', 'body', 'Reply'] -> {'question': ('Title', 'body'), 'answer': ('Reply',)}
    """
    by_name: dict[str, str] = {}
    found = tuple(name for name in found if not name.startswith('"'))  # a text's mark
    for name in found:
        by_name.setdefault(near_fields.key(name), name)
    chosen: dict[str, tuple[str, ...]] = {}
    for target, options in _OPTIONS.items():
        for names in options:
            if by_name.keys() >= names.keys():
                own = [name for name in names if name != 'rejected']
                chosen[target] = tuple(by_name[name] for name in own)
                break
    near = near_fields.near(found)
    for target, name in near_fields.plain(found).items():
        own = chosen.get(target, ('',))[-1]
        if not near_fields.is_plain(own) and near_fields.key(own) not in _SURE:
            names = near.get(target, ())
            chosen[target] = names if names[-1:] == (name,) else (name,)
    if 'question' in near and chosen.get('question') in _LAST:
        del chosen['question']
    for target, names in near.items():
        chosen.setdefault(target, names)
    if 'answer' not in chosen and by_name.keys() >= {*_CARD}:
        chosen |= {
            target: (by_name[side],)
            for target, side in zip(('question', 'answer'), _CARD, strict=True)
        }
    if revised := near_fields.revised(found):
        chosen['answer'] = (revised,)
    others = (
        by_name.keys()
        - _BESIDE_A_TITLE
        - {*map(near_fields.key, chosen.get('answer', ()))}
    )
    others = {name for name in others if not name.endswith('id')}
    if 'question' not in chosen and 'title' in by_name and not others:
        chosen['question'] = (by_name['title'],)
    if 'question' in chosen:
        beside = [by_name[name] for name in _BESIDE if name in by_name]
        chosen['question'] = tuple(dict.fromkeys([*chosen['question'], *beside]))
        if {*chosen.get('topic', ())} & {*chosen['question']}:
            del chosen['topic']
    return chosen
