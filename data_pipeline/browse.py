"""Shows pairs of a dataset, or those that its build dropped, page by page.

    python -m data_pipeline.browse --data=data/advice --find=landlord
    python -m data_pipeline.browse --data=data/advice --source=reddit --split=test
    python -m data_pipeline.browse --data=data/advice --dropped --find='near duplicate'

--find looks for the letters, in either case, in ids, topics, questions and answers; of
dropped pairs in the reasons, too, and in the first 1,000 characters of each text. On a
terminal a pager shows the pairs ($PAGER, by default less: q leaves it); elsewhere they
are plain text. Pairs are read one by one.
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from absl import flags

from hax_jax import counted, errors
from hax_jax.data import dataset_folder, records
from hax_jax.program import entry, later, pager, results

with later.imports():
    from data_pipeline import dataset
    from data_pipeline.writing import dropped_file

_DATA = flags.DEFINE_string('data', '', "The dataset's folder.")
_FIND = flags.DEFINE_multi_string(
    'find', [], 'Show pairs with these letters; repeat it for pairs with all of them.'
)
_SOURCE = flags.DEFINE_string(
    'source', '', "A source of the pairs, or its kind: 'reddit' for 'reddit:advice'."
)
_SPLIT = flags.DEFINE_enum(
    'split', None, records.SPLITS, 'The split of the pairs; by default all.'
)
_DROPPED = flags.DEFINE_bool('dropped', False, 'Show what the build dropped.')
_LIMIT = flags.DEFINE_integer(
    'limit', None, 'The most pairs to show; by default all, 100 with --json.', 1
)
_JSON_LIMIT = 100  # pairs of one object, which is made in memory
_SEARCHED = ('id', 'topic', 'question', 'answer', 'reason', 'kept_id')

Row = dict[str, Any]  # the fields of a pair and its split, or of a dropped pair


def main() -> None:
    """Shows the pairs, then prints how many there were."""
    _check()
    as_json = flags.FLAGS.json
    limit = _LIMIT.value or (_JSON_LIMIT if as_json else 0)
    words = [word.casefold() for word in _FIND.value]
    looked = shown = 0
    given: list[Row] = []
    left = full = False
    with pager.paged() as lines:
        for row in _rows():
            looked += 1
            left = not lines.write('')
            if left or (full := bool(limit) and shown == limit):
                break
            if not _is_wanted(row, words):
                continue
            shown += 1
            if as_json:
                given.append(row)
            elif left := not lines.write(_text(row, shown)):
                break
    what = 'dropped pairs' if _DROPPED.value else 'pairs'
    if left:
        ended = f'the pager was left after {counted.of(shown, what)}'
    elif full:
        ended = (
            f'{counted.of(shown, what)}, which is --limit={limit}; there may be more'
        )
    else:
        ended = f'{shown:,} of {counted.of(looked, what)}'
    entry.say(ended)
    if _DROPPED.value and not dropped_file.is_as_written(_DATA.value, dataset.LEDGER):
        entry.say(
            f'note: {dropped_file.NAME} was changed since the build wrote it (by the '
            f'digest in {dataset.LEDGER}); build the dataset again for its own.'
        )
    results.give({'data': _DATA.value, 'shown': shown, 'pairs': given, 'limited': full})


def _check() -> None:
    """Raises InputError for flags that do not fit the dataset or one another."""
    if not _DATA.value:
        raise errors.InputError('--data is not given; give the folder of a dataset.')
    splits = dataset_folder.read_manifest(_DATA.value)['splits']
    if _DROPPED.value and _SPLIT.value:
        raise errors.InputError(
            '--dropped and --split do not go together: a dropped pair is in no split; '
            'give one of them.'
        )
    names = sorted({name for split in splits.values() for name in split['by_source']})
    known = {*names, *map(records.kind, names)}
    if _SOURCE.value and not _DROPPED.value and _SOURCE.value not in known:
        raise errors.InputError(
            f'--source={_SOURCE.value} is not a source of {_DATA.value}; give one of '
            f'{", ".join(names)}, or the part before a colon.'
        )


def _rows() -> Iterator[Row]:
    """Every pair of the split that is asked for, or every dropped pair."""
    if _DROPPED.value:
        yield from dropped_file.read(_DATA.value)
        return
    for split in records.SPLITS:
        if _SPLIT.value in (None, split):
            for pair in dataset.read_pairs(_DATA.value, split):
                yield {'split': split, **records.as_row(pair)}


def _is_wanted(row: Row, words: list[str]) -> bool:
    if _SOURCE.value:
        # Datasets of older versions have no text and no source of dropped pairs.
        source = row.get('source') or row['id']
        if _SOURCE.value not in (source, records.kind(source)):
            return False
    if not words:
        return True
    texts = [str(row[name]).casefold() for name in _SEARCHED if row.get(name)]
    texts += [text.casefold() for text in row.get('more', ())]
    return all(any(word in text for text in texts) for word in words)


def _text(row: Row, number: int) -> str:
    """The pair as text, whose characters move no cursor and change no colour."""
    place = f'{row["file"]}:{row["line"]}' if row.get('file') else ''
    facts = [row.get('reason'), row.get('split'), row.get('source'), place]
    if row.get('kept_id'):
        facts.insert(1, f'kept instead: {row["kept_id"]}')
    facts += [f'{name} {row[name]}' for name in ('score', 'time') if row.get(name)]
    facts += row.get('flags', ())
    parts = [f'{number}. {row["id"]} ({", ".join(filter(None, facts))})']
    for name in ('topic', 'question', 'answer'):
        if row.get(name):
            parts += [f'  {name}:', textwrap.indent(row[name], '    ')]
            if name == 'answer':
                parts[-2] += _weight(row, 0)
    for i, text in enumerate(row.get('more', ())):
        name = 'question' if i % 2 == 0 else 'answer'
        weight = _weight(row, i // 2 + 1) if name == 'answer' else ''
        parts += [f'  {name} {i // 2 + 2}:{weight}', textwrap.indent(text, '    ')]
    return pager.plain('\n'.join(parts)) + '\n\n'


def _weight(row: Row, number: int) -> str:
    """A remark on an answer whose weight in the loss is not 1."""
    weights = row.get('answer_weights') or ()
    weight = weights[number] if weights else 1.0
    if weight == 1.0:
        return ''
    return f' (loss weight {weight:g})' if weight else ' (context, not learned)'


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
