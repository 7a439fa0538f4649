"""Fields by which a row says that its answer is, or is not, to be learned.

    {"prompt": "Why?", "completion": "So.", "label": false}          KTO
    {"question": "Why?", "answer": "So.", "is_accepted": "no"}       a verdict
    {"question": "Why?", "answer": "So.", "status": "draft"}         a state
    {"question": "Why?", "answer": "So.", "label": "anger"}          a class: none

    {"question": "Why?", "answer": "So.", "metadata": {"status": "spam"}}

A number may be a count, a grade or a class; it is a verdict only where a file has two
of them, 1 and 0 or 1 and -1. Beside a score, `accepted` is a forum's mark of the best
answer, and says nothing against the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_ACCEPTED = ('accepted', 'isaccepted', 'isacceptedanswer')
_REVERSED = (
    *('isbad', 'iswrong', 'isincorrect', 'isrejected', 'rejected', 'deleted'),
    *('isdeleted', 'removed', 'isremoved', 'exclude', 'excluded', 'hidden'),
    *('ishidden', 'spam', 'isspam', 'skip', 'ignore', 'ignored', 'masked'),
    *('notrain', 'donottrain', 'flagged', 'isflagged', 'toxic', 'istoxic'),
    *('isdraft', 'isimpossible'),
)
# Beside verdicts they hold dates, or a ticket's course: nothing need be said of those.
_STATES = ('status', 'reviewstatus', 'moderationstatus', 'publishstatus', 'poststatus')
_MAY_SAY_MORE = (*_STATES, 'published', 'ispublished', 'loss')
# Of these a word says yes or no, and -1 beside 1; another number is a count or a grade.
_WORDS_ALONE = (
    *('preferred', 'thumbsup', 'thumbs', 'feedback', 'rating', 'quality', 'rejected'),
    'helpful',
)
_NAMES = (
    *('trainable', 'lossmask', 'include', 'included', 'keep', 'use', 'valid'),
    *(
        'isvalid',
        'label',
        'ktotag',
        'train',
        'trainonturn',
        'learn',
        'iscorrect',
        'correct',
        'isgood',
    ),
    *('ispreferred', 'verdict', 'judgment', 'judgement', 'approved', 'isapproved'),
    *(
        'ishelpful',
        'issafe',
        'reward',
        *_ACCEPTED,
        *_REVERSED,
        *_WORDS_ALONE,
        *_MAY_SAY_MORE,
    ),
)
_HOLDERS = ('metadata', 'meta', 'review', 'moderation')  # objects with a row's fields
_SCORES = ('score', 'ups', 'upvotes', 'votes')
_SAY_NO = (
    'false 0 0.0 -1 -1.0 no n bad wrong incorrect down thumbs_down thumbsdown '
    'undesirable rejected reject ignore disapproved fail failed unhelpful unacceptable '
    'disliked negative 👎'
)
_SAY_YES = (
    'true 1 1.0 yes y good right correct up thumbs_up thumbsup desirable accepted '
    'accept approved pass passed helpful acceptable liked positive 👍'
)
_NO, _YES = frozenset(_SAY_NO.split()), frozenset(_SAY_YES.split())
_STATES_OF_NO = (
    'deleted removed spam draft hidden flagged trash trashed unpublished withdrawn '
    'banned blocked discarded toxic declined denied'
)
_STATES_OF_YES = (
    'published public active live visible final done complete completed reviewed '
    'verified answered resolved closed open ok new ready clean ham'
)
_NO_STATES = _NO | frozenset(_STATES_OF_NO.split())
_YES_STATES = _YES | frozenset(_STATES_OF_YES.split())
_OF_TEXTS = ('negative', 'positive')  # a label of those is a text's mood
_LONGEST = 40  # characters of a verdict
_MINUS = ('-1', '-1.0')
_PAIRS = ({'0', '1'}, {'-1', '1'})  # of numbers that say no and yes


def says_no(value: Any, name: str = '') -> bool:
    """Whether a value says 'do not learn this': false, 0, 'bad'; no value does not."""
    key = _key(name)
    no = _NO_STATES if key in _STATES else _YES if key in _REVERSED else _NO
    return _word(value) in no


def says_yes_or_no(value: Any, name: str = '') -> bool:
    """Whether a value of a field says what is learned, and is no class or grade."""
    word, key = _word(value), _key(name)
    if key in _STATES:
        return word in _NO_STATES | _YES_STATES and not _is_number(word)
    is_count = key in _WORDS_ALONE and _is_number(word) and word not in _MINUS
    if word not in _NO | _YES or is_count:
        return False
    return not (word in _OF_TEXTS and key == 'label')


def is_read(value: Any, name: str) -> bool:
    """Whether a value in a field of verdicts is one; of two signs 1 says yes."""
    return says_yes_or_no(value, name) or _word(value) in ('1', '1.0')


def refuses(row: Mapping[str, Any]) -> bool:
    """Whether a field of a row or a turn says that it is not to be learned."""
    return any(
        says_no(value, name) and says_yes_or_no(value, name)
        for name, value in _with_held(row).items()
        if _key(name) in _NAMES and not isinstance(value, list | dict)
    )


def among(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the fields of verdicts, the fields of such names that hold something else).

    Words other than yes and no may stand among verdicts, if they are the fewer.
    """
    own = dict.fromkeys(name for row in rows for name in row)
    rows = [_with_held(row) for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    has_score = any(_key(name) in _SCORES for name in names)
    told: dict[bool, list[str]] = {True: [], False: []}
    for name in names:
        values = [row[name] for row in rows if row.get(name) not in (None, '')]
        if _key(name) not in _NAMES or not values:
            continue
        if all(map(_is_text, values)):
            continue  # such as a rejected answer's
        is_mark = has_score and _key(name) in _ACCEPTED
        are_verdicts = not is_mark and _are_verdicts(values, name)
        if are_verdicts or (name in own and _key(name) not in _MAY_SAY_MORE):
            told[are_verdicts].append(name)
    return tuple(told[True]), tuple(told[False])


def _is_text(value: Any) -> bool:
    """Whether a value is a text too long for a verdict, or a list of turns."""
    if isinstance(value, str):
        return len(value) > _LONGEST
    return isinstance(value, list | dict)


def _with_held(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the fields of its `metadata` and the like beside its own."""
    held = {
        f'{name}.{key}': each
        for name in row
        if _key(name) in _HOLDERS and isinstance(row[name], dict)
        for key, each in row[name].items()
    }
    return {**row, **held} if held else row


def _are_verdicts(values: Sequence[Any], name: str) -> bool:
    numbers = {_word(value).removesuffix('.0') for value in values if _is_number(value)}
    if numbers and not any(numbers <= pair for pair in _PAIRS):
        return False
    are_signs = '-1' in numbers
    is_known = [
        says_yes_or_no(value, name) or (are_signs and _is_number(value))
        for value in values
    ]
    return all(is_known) or (not numbers and 2 * sum(is_known) > len(is_known))


def _is_number(value: Any) -> bool:
    try:
        float(_word(value))
    except ValueError:
        return False
    return True


def _word(value: Any) -> str:
    return '_'.join(str(value).strip().lower().split()).removeprefix('+')


def _key(name: str) -> str:
    """'is_Accepted' -> 'isaccepted'; so does 'metadata.is_Accepted'"""
    last = str(name).rpartition('.')[2]
    return ''.join(filter(str.isalnum, last.lower()))
