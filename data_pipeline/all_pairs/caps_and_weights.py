"""How much of each source: caps before the split, weights in train after it.

A cap or a weight names a source ('reddit:advice', 'chat'), or a kind of source
('reddit'), which stands for all sources of that kind.
"""

import dataclasses
import difflib
from collections.abc import Collection

from data_pipeline import settings
from data_pipeline.all_pairs import pair_store
from data_pipeline.pair_stages import stage_ledger, stages
from hax_jax import errors
from hax_jax.data import records

_BATCH = 1_000  # pairs


def check(store: pair_store.PairStore, chosen: settings.MixSettings) -> None:
    """Raises InputError if a cap or a weight names a source without pairs."""
    check_names(
        chosen, {name for (name,) in store.rows('SELECT DISTINCT source FROM pairs')}
    )


def check_names(chosen: settings.MixSettings, sources: Collection[str]) -> None:
    """Raises InputError if a cap or a weight names none of the sources."""
    known = sorted({*sources, *map(records.kind, sources)})
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


def inherit(store: pair_store.PairStore, ledger: stage_ledger.Ledger) -> None:
    """Gives each kept pair the highest weight of its duplicates, and counts these.

    An oversampled copy that is dropped would otherwise take its weight with it.
    """
    store.resolve()
    store.sql.execute(
        'CREATE TABLE heavier AS SELECT pairs.ordinal, highest FROM (SELECT '
        'resolved.kept AS ordinal, max(weight) AS highest FROM resolved JOIN pairs '
        'USING (ordinal) GROUP BY resolved.kept) JOIN kept AS pairs USING (ordinal) '
        'WHERE highest > weight'
    )
    name = 'weights of duplicates'
    count = store.number('SELECT count(*) FROM heavier')
    ledger.passed(name, store.number('SELECT count(*) FROM kept') - count)
    heavier = 'heavier JOIN pairs USING (ordinal) ORDER BY ordinal'
    ordinals, pairs = [], []
    query = f'SELECT {{pair}}, highest, ordinal FROM {heavier}'
    for pair, weight, ordinal in store.found(query):
        change = stages.Change(
            'highest weight of its duplicates',
            'weight',
            f'{pair.weight:g}',
            f'{weight:g}',
        )
        ledger.record(name, pair, stages.Kept(pair, (change,)))
        ordinals.append(ordinal)
        pairs.append(dataclasses.replace(pair, weight=weight))
        if len(pairs) == _BATCH:
            store.reweigh(ordinals, pairs)
            ordinals, pairs = [], []
    if pairs:
        store.reweigh(ordinals, pairs)


def cap(store: pair_store.PairStore, chosen: settings.MixSettings) -> None:
    """Drops the pairs over the caps: those whose ids have the highest hashes.

    The cap of a kind counts the pairs that the caps of its sources leave.
    """
    caps = settings.by_source(chosen.caps)
    for name in _sources_first(caps):
        store.sql.execute(
            'INSERT INTO gone SELECT ordinal, ?, NULL FROM ('
            " SELECT ordinal, row_number() OVER (ORDER BY sha256('cap' || id), ordinal)"
            f' AS place FROM kept WHERE {_is(name)}) WHERE place > ?',
            [f'over the cap of {name}', int(caps[name])],
        )


def weigh(
    store: pair_store.PairStore, chosen: settings.MixSettings
) -> dict[str, dict[str, int]]:
    """Repeats train's pairs by their weight; returns counts before and after by source.

    A weight is the source's times the pair's own (a merged file's OVERSAMPLE_WEIGHT, if
    `oversample`; the highest of its duplicates). 2.5 is two copies, and a third for the
    half of the pairs whose ids have the lower hashes; 0.5 keeps that half.

    Raises:
      InputError: a pair would have more than MOST_COPIES, or no pair is left.
    """
    weights = settings.by_source(chosen.weights)
    own = 'pairs.weight' if chosen.oversample else '1.0'
    cases = ' '.join(
        f'WHEN {_is(name)} THEN {weights[name]!r}' for name in _sources_first(weights)
    )
    of_source = f'CASE {cases} ELSE 1.0 END' if cases else '1.0'
    heaviest = store.rows(
        f'SELECT {of_source} * {own} AS w, id, file, line FROM kept AS pairs '
        "JOIN home USING (grp) WHERE split = 'train' ORDER BY w DESC, id LIMIT 1"
    )
    most, pair_id, file, line = next(heaviest, (0.0, '', '', 0))
    if most > settings.MOST_COPIES:
        raise errors.InputError(
            f'{file}:{line}: pair {pair_id} would have {most:,.6g} copies in train, by '
            f'mix.weights times its own weight; at most {settings.MOST_COPIES:,} are '
            'accepted: lower that weight, or set --config.mix.oversample=False.'
        )
    chance = "CAST('0x' || substr(sha256('mix' || id), 1, 8) AS UBIGINT)"
    store.sql.execute(
        'CREATE TABLE weighed AS SELECT ordinal, source, CAST(floor(w) AS BIGINT) + '
        'CAST(w - floor(w) > chance AS BIGINT) AS copies FROM ('
        f' SELECT ordinal, source, {of_source} * {own} AS w, {chance} * {2.0**-32!r}'
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
        "INSERT INTO gone SELECT ordinal, 'weight under 1', NULL FROM weighed "
        'WHERE copies = 0'
    )
    if account and not any(each['after'] for each in account.values()):
        raise errors.InputError('mix.weights leave no pair to train on; raise them.')
    return account


def _sources_first(given: dict[str, float]) -> list[str]:
    """Names of sources before names of kinds, each by name."""
    return sorted(given, key=lambda name: (':' not in name, name))


def _is(name: str) -> str:
    """SQL for whether a pair has the source or kind `name`, which `check` has seen."""
    quoted = name.replace("'", "''")
    return f"(source = '{quoted}' OR split_part(source, ':', 1) = '{quoted}')"
