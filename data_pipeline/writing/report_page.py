"""report.html: one page with no script and nothing to load, for any browser and width.

Every text of the corpus is data: the template escapes all values and marks none as
safe. It draws charts as SVG.
"""

import os
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from data_pipeline.reading import read_report
from data_pipeline.writing import (
    dropped_file,
    flow_chart,
    oddness,
    report_facts,
    report_text,
)
from hax_jax.data import records

_FOLDER = pathlib.Path(__file__).parent
_TEMPLATE = 'report.html.jinja'
_EXAMPLE = 600  # characters of a field of an example
_MOST_SOURCES = 8  # that the flow chart tells apart; of more, it shows the kinds


def render(
    manifest: dict[str, Any],
    ledger: dict[str, Any],
    facts: dict[str, Any],
    tally: dropped_file.Tally,
) -> str:
    """The page of a dataset; `facts` are those of `report_facts.Collector`.

    The page leaves out what is missing in the ledger.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters['cut'] = lambda value: report_text.cut(str(value), _EXAMPLE)
    environment.filters['flat'] = lambda value: list(_flat(value))
    read = ledger.get('read', {})
    stages = ledger.get('stages', [])
    splits = _splits(manifest, ledger)
    kept = {name: split['pairs'] for name, split in splits.items()}
    num_copies = sum(split['copies'] for split in splits.values())
    kinds = _by_kind(read.get('by_source', {}), splits)
    num_read = ledger.get('pairs', {}).get('read', sum(kept.values()))
    sources = [row for kind in kinds for row in kind['sources']]
    if len(sources) > _MOST_SOURCES:
        sources = kinds
    of_flow = (
        {row['name']: row['read'] for row in sources},
        kept,
        _dropped(stages, tally),
    )
    return environment.get_template(_TEMPLATE).render(
        manifest=manifest,
        ledger=ledger,
        facts=facts,
        tally=tally,
        read=read,
        stages=stages,
        num_read=num_read,
        num_dropped=ledger.get('pairs', {}).get('dropped', tally.total),
        kept=kept,
        num_kept=sum(kept.values()),
        num_copies=num_copies,
        splits=splits,
        kinds=kinds,
        counters=read_report.kinds(read.get('counts', {})),
        flows={
            'broad': flow_chart.chart(*of_flow),
            'narrow': flow_chart.chart(*of_flow, narrow=True),
        },
        measures=oddness.NAMES,
        quantiles=report_facts.QUANTILES,
        token_sample=report_facts.TOKEN_SAMPLE,
    )


def _compiled() -> jinja2.BytecodeCache | None:
    """The compiled template stays beside Python's own compiled files, as they do."""
    folder = _FOLDER / '__pycache__'
    if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
        return None
    return jinja2.FileSystemBytecodeCache(str(folder), '%s.report')


def _finalize(value: Any) -> Any:
    """A value that the template prints, with its hidden characters spelled out.

    The output of a macro has been through this already.
    """
    if isinstance(value, str) and not hasattr(value, '__html__'):
        return report_text.visible(value)
    return value


def _splits(
    manifest: dict[str, Any], ledger: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The ledger's entry for each split: `pairs`, `copies` of them, `by_source`.

    These are the counts that the build prints. The manifest's count copies as pairs; it
    stands in where the ledger has none.
    """
    return {
        name: ledger.get('kept', {}).get(name, {**written, 'copies': 0})
        for name, written in manifest['splits'].items()
    }


def _by_kind(
    read: Mapping[str, int], splits: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each kind of source with its sums and its `sources`, largest first.

    A row has its `name`, the pairs `read` and `kept`, and the pairs of each split.
    """
    found = {name: split['by_source'] for name, split in splits.items()}
    kinds: dict[str, dict[str, Any]] = {}
    for source in sorted(set(read).union(*found.values())):
        by_split = {split: counts.get(source, 0) for split, counts in found.items()}
        kept = sum(by_split.values())
        numbers = {'read': read.get(source, kept), 'kept': kept} | by_split
        name = records.kind(source)
        kind = kinds.setdefault(
            name, dict.fromkeys(numbers, 0) | {'name': name, 'sources': []}
        )
        for key, number in numbers.items():
            kind[key] += number
        kind['sources'].append({'name': source} | numbers)
    for kind in kinds.values():
        kind['sources'].sort(key=_largest_first)
    return sorted(kinds.values(), key=_largest_first)


def _largest_first(row: dict[str, Any]) -> tuple[int, str]:
    return -row['read'], row['name']


def _dropped(stages: list[dict[str, Any]], tally: dropped_file.Tally) -> dict[str, int]:
    """Pairs dropped by stage; by reason if there are no stages."""
    if not stages:
        return tally.by_reason
    return {stage['stage']: stage['in'] - stage['out'] for stage in stages}


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """{'a': {'b': 1}} -> ('a.b', '1'): a nested object as rows of a table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f'{name}.{key}' if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f'{name}[{number}]')
    else:
        shown = ', '.join(map(str, value)) if isinstance(value, list) else str(value)
        yield name, report_text.cut(shown, _EXAMPLE)
