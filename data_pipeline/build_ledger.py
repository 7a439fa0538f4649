"""The ledger of a build: the account of every pair read, in JSON and in words."""

import collections
from collections.abc import Mapping
from typing import Any

from data_pipeline import settings
from data_pipeline.all_pairs import all_steps, pair_store
from data_pipeline.pair_stages import stage_ledger
from data_pipeline.reading import read_report
from hax_jax import counted
from hax_jax.config import convert
from hax_jax.data import dataset_folder, records


def make(
    store: pair_store.PairStore,
    report: read_report.ReadReport,
    by_source: Mapping[str, int],
    stages: stage_ledger.Ledger,
    account: all_steps.Account,
    *,
    names: Mapping[str, str],
    chosen: settings.Settings,
) -> dict[str, Any]:
    """The ledger: every pair that was read is in one split or dropped with its reason.

    `kept` counts each pair once, and beside it the `copies` that weights add to train.
    `by_source` counts the pairs that were read; `names` has the dataset's name of each
    file, which takes the place of its path.

    Raises:
      ValueError: the counts do not add up, which is a defect of this program.
    """
    dropped, kept = _dropped(store), _kept(store)
    num_read = sum(by_source.values())
    num_dropped = sum(row['pairs'] for row in dropped.values())
    num_kept = sum(split['pairs'] for split in kept.values())
    if num_read != num_dropped + num_kept or num_read != report.num_pairs:
        raise ValueError(
            f'{num_read} pairs were read (the files are said to hold '
            f'{report.num_pairs}), {num_kept} kept and {num_dropped} dropped.'
        )

    def without_paths(line: str) -> str:
        for path in sorted(names, key=len, reverse=True):
            line = line.replace(path, names[path])
        return line

    return {
        'schema': dataset_folder.SCHEMA,
        'pairs': {'read': num_read, 'dropped': num_dropped, 'kept': num_kept},
        'read': {
            'by_source': dict(sorted(by_source.items())),
            'by_file': {
                names.get(path, path): count for path, count in report.files.items()
            },
            'counts': report.counts,
            'unknown_lines': [without_paths(line) for line in report.unknown_lines],
            'without_pair': [without_paths(line) for line in report.dropped],
            'warnings': [without_paths(line) for line in report.warnings],
        },
        'dropped': dropped,
        'stages': stages.as_json(),
        'gathered': account.gathered,
        'kept': kept,
        'notes': account.notes,
        'settings': _without_preferences(convert.to_dict(chosen)),
    }


def _dropped(store: pair_store.PairStore) -> dict[str, dict[str, int]]:
    """Dropped pairs by reason: {'empty': {'pairs': 3}}."""
    rows = store.rows(
        'SELECT reason, count(*) FROM (SELECT reason FROM never UNION ALL '
        'SELECT reason FROM gone) GROUP BY reason ORDER BY reason'
    )
    return {reason: {'pairs': count} for reason, count in rows}


def _kept(store: pair_store.PairStore) -> dict[str, dict[str, Any]]:
    """Kept pairs by split, by source too, and the copies that weights add."""
    kept: dict[str, dict[str, Any]] = {
        name: {'pairs': 0, 'copies': 0, 'by_source': {}} for name in records.SPLITS
    }
    for name, source, count, copies in store.rows(
        'SELECT split, source, count(*), '
        'CAST(sum(coalesce(copies, 1) - 1) AS BIGINT) FROM kept '
        'JOIN home USING (grp) LEFT JOIN copies USING (ordinal) '
        'GROUP BY split, source ORDER BY split, source'
    ):
        kept[name]['pairs'] += count
        kept[name]['copies'] += copies
        kept[name]['by_source'][source] = count
    return kept


def summary(ledger: dict[str, Any]) -> str:
    """What was read, dropped by stage, changed, and kept by split; then the notes.

    The largest stage and the largest reasons of a stage come first.
    """
    pairs, kept = ledger['pairs'], ledger['kept']
    lines = [
        f'read {_counted(pairs["read"], ledger["read"]["by_source"])}',
        f'dropped {_counted(pairs["dropped"], {})}',
    ]
    lines += _by_stage(ledger['stages'], 'dropped')
    for kind in ('changed', 'noted'):
        if rows := _by_stage(ledger['stages'], kind):
            lines += [f'{kind}, in pairs', *rows]
    lines.append(f'kept {_counted(pairs["kept"], {})}')
    for name, row in kept.items():
        copies = f', and {row["copies"]:,} copies by weight' if row['copies'] else ''
        lines.append(f'  {name} {_counted(row["pairs"], row["by_source"])}{copies}')
    if 'preferences' in ledger:
        lines += _preferences(ledger['preferences'])
    return '\n'.join(lines + [f'note: {note}' for note in ledger['notes']])


def _without_preferences(whole: dict[str, Any]) -> dict[str, Any]:
    """The settings of the pairs; preferences have theirs in their own entry."""
    return {name: each for name, each in whole.items() if name != 'preferences'}


def _preferences(account: dict[str, Any]) -> list[str]:
    """Lines for people; a note where no votes or times make a preference."""
    kept = account['kept']
    total = sum(row['pairs'] for row in kept.values())
    lines = [
        f'preferences: {counted.of(total, "pairs")} of '
        f'{counted.of(account["answers"], "answers")} to '
        f'{counted.of(account["questions"], "questions")}'
    ]
    lines += [
        f'  {name} {row["pairs"]:,} of {counted.of(row["questions"], "questions")}'
        for name, row in kept.items()
    ]
    dropped = sorted(account['dropped'].items(), key=lambda each: (-each[1], each[0]))
    if dropped:
        lines.append(f'  dropped: {read_report.listed(dropped)}')
    rule, default = account['settings'], settings.PreferenceSettings()
    changed = []
    if rule['ratio'] != default.ratio:
        changed.append(f'preferences.ratio={rule["ratio"]:g}')
    if rule['later'] != default.later:
        changed.append('preferences.later=false')
    if account['judged'] and changed:
        lines.append(
            f'note: {", ".join(changed)} is asked of votes alone: it has no effect '
            f'on {counted.of(account["judged"], "answers")} whose rows name the better '
            'one, or rank or rate them.'
        )
    if account['without_votes']:
        lines.append(
            f'note: {account["without_votes"]:,} answers have no votes of their own '
            '(or answer a comment), so they are in no preference.'
        )
    if account['without_time'] and account['settings']['later']:
        lines.append(
            f'note: {account["without_time"]:,} answers have votes and no time, so '
            'none is known to be later; --config.preferences.later=false compares '
            'votes alone.'
        )
    if not total and account['found']:
        lines.append('warning: every preference pair was dropped, for these reasons.')
    elif not total and account['undecided']:
        lines.append(_undecided(account['undecided'], rule))
    elif not total:
        lines.append(
            'warning: no preference pair was found: --preferences needs several '
            'answers with votes in one row ({"question": ..., "answers": [{"text": '
            '..., "score": ..., "created_utc": ...}, ...]}), rows of one answer '
            'with a score each that have the same question, or rows with "chosen" and '
            '"rejected".'
        )
    elif not kept['train']['pairs']:
        lines.append(
            'note: preferences/ has no train.jsonl: the questions of all preference '
            'pairs fell to validation and test. Add rows, or lower --validation_share '
            'and --test_share.'
        )
    return lines


def _undecided(found: Mapping[str, int], rule: Mapping[str, Any]) -> str:
    """The warning that no two answers to one question are a preference, and why."""
    said = {
        'ratio': f'have under {rule["ratio"]:g} times the votes '
        '(--config.preferences.ratio)',
        'later': 'have the better one first in time (--config.preferences.later=false '
        'allows it)',
        'time': 'lack a time (--config.preferences.later=false asks for none)',
        'votes': 'lack votes',
        'judged': 'are judged alike by their row',
        'equal': 'are equal',
    }
    reasons = ', '.join(f'{found[why]:,} {said[why]}' for why in said if why in found)
    return (
        'warning: no preference pair was found. Of '
        f'{counted.of(sum(found.values()), "pairs")} of answers to one question, '
        f'{reasons}.'
    )


def _by_stage(stages: list[dict[str, Any]], kind: str) -> list[str]:
    """A line for each stage with its largest reasons, the largest stage first."""
    rows = []
    for stage in stages:
        reasons = [(name, found['pairs']) for name, found in stage[kind].items()]
        reasons.sort(key=lambda row: (-row[1], row[0]))
        total = sum(count for _, count in reasons)
        if kind == 'changed':  # a pair may be changed for several reasons
            total = stage['changed_pairs']
            reasons = [(counted.one(n) if k == 1 else n, k) for n, k in reasons]
        if reasons:
            rows.append((total, f'{stage["stage"]}: {read_report.listed(reasons)}'))
    rows.sort(key=lambda row: -row[0])
    return [f'{total:>10,}  {said}' for total, said in rows]


def _counted(total: int, parts: dict[str, int]) -> str:
    """Counts in words, all sources of one kind together.

    3, {'chat': 1, 'reddit:a': 1, 'reddit:b': 1} ->
    '3 pairs (1 from chat, 2 from reddit)'
    """
    kinds: collections.Counter[str] = collections.Counter()
    for name, count in parts.items():
        kinds[records.kind(name)] += count
    words = counted.of(total, 'pairs')
    if kinds:
        parts_said = [f'{count:,} from {kind}' for kind, count in kinds.items()]
        words += f' ({", ".join(parts_said)})'
    return words
