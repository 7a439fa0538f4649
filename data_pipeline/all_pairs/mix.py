"""How much of each source: caps before the split, weights in train after it.

Names are sources as the pairs have them ('reddit:advice', 'chat'), or the kind before
the colon ('reddit'), which stands for all of its sources.
"""

import difflib

from data_pipeline import settings
from data_pipeline.all_pairs import pair_store
from hax_jax import errors
from hax_jax.data import records

CAPS, WEIGHTS = 'caps', 'weights'
UNDER_ONE = 'weight under 1'
_UNIT = 2.0**-32


def check(store: pair_store.PairStore, chosen: settings.MixSettings) -> None:
    """Raises InputError if a cap or a weight is of a source that no pair has."""
    sources = {name for (name,) in store.rows('SELECT DISTINCT source FROM pairs')}
    known = sorted(sources | {records.kind(name) for name in sources})
    problems = []
    for field in ('caps', 'weights'):
        for name in settings.by_source(getattr(chosen, field)):
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1)
                hint = f' (did you mean {nearest[0]!r}?)' if nearest else ''
                problems.append(
                    f'mix.{field} names {name!r}{hint}, of which there is no pair; the '
                    f'sources are {", ".join(known)}.'
                )
    if problems:
        raise errors.InputError('\n'.join(problems))


def cap(store: pair_store.PairStore, chosen: settings.MixSettings) -> None:
    """Drops what is over the caps: those whose id has the highest hash.

    A kind's cap is taken of what the caps of its sources leave.
    """
    caps = settings.by_source(chosen.caps)
    for name in sorted(caps, key=lambda name: (':' not in name, name)):
        # The most that a cap takes whole: 'reddit' stands for 'reddit:advice' too.
        store.sql.execute(
            'INSERT INTO gone SELECT ordinal, ?, NULL FROM ('
            " SELECT ordinal, row_number() OVER (ORDER BY sha256('cap' || id), ordinal)"
            ' AS place FROM kept WHERE source = ? OR split_part(source, ?, 1) = ?)'
            ' WHERE place > ?',
            [f'over the cap of {name}', name, ':', name, int(caps[name])],
        )


def weigh(
    store: pair_store.PairStore, chosen: settings.MixSettings
) -> dict[str, dict[str, int]]:
    """Repeats pairs of train by their weight; returns pairs before and after by source.

    A weight is the source's times the pair's own (a merged file's OVERSAMPLE_WEIGHT,
    if `oversample`). 2.5 is two copies and, for the half of the pairs whose id's hash
    says so, a third; 0.5 keeps that half.
    """
    weights = settings.by_source(chosen.weights)
    own = 'pairs.weight' if chosen.oversample else '1.0'
    cases = ' '.join(
        f'WHEN {test} THEN {weights[name]!r}'
        for name in sorted(weights, key=lambda name: (':' not in name, name))
        for test in [_is(name)]
    )
    of_source = f'CASE {cases} ELSE 1.0 END' if cases else '1.0'
    chance = "CAST('0x' || substr(sha256('mix' || id), 1, 8) AS UBIGINT)"
    store.sql.execute(
        'CREATE TABLE weighed AS SELECT ordinal, source, CAST(floor(w) AS BIGINT) + '
        'CAST(w - floor(w) > chance AS BIGINT) AS copies FROM ('
        f' SELECT ordinal, source, {of_source} * {own} AS w, {chance} * {_UNIT!r}'
        " AS chance FROM kept AS pairs JOIN home USING (grp) WHERE split = 'train')"
    )
    account = {
        source: {'before': before, 'after': after}
        for source, before, after in store.rows(
            'SELECT source, count(*), CAST(sum(copies) AS BIGINT) FROM weighed '
            'GROUP BY source ORDER BY source'
        )
    }
    store.sql.execute(
        'INSERT INTO copies SELECT ordinal, copies FROM weighed WHERE copies > 1;'
        f"INSERT INTO gone SELECT ordinal, '{UNDER_ONE}', NULL FROM weighed "
        'WHERE copies = 0'
    )
    if account and not any(each['after'] for each in account.values()):
        raise errors.InputError('mix.weights leave no pair to train on; raise them.')
    return account


def _is(name: str) -> str:
    """SQL that says whether a pair is of the source or kind; names were checked."""
    quoted = name.replace("'", "''")
    return f"(source = '{quoted}' OR split_part(source, ':', 1) = '{quoted}')"
