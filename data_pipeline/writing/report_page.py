"""report.html: one page with no script and nothing to load, for any browser, any width.

Every text of the corpus is data: the template escapes all that it prints, and nothing
is marked as safe. Charts are SVG and bars of the template's own.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from data_pipeline.writing import (
    dropped_file,
    flow_chart,
    oddness,
    report_facts,
    report_text,
)

_TEMPLATE = 'report.html.jinja'
_MOST_ROWS = 40  # of a table that may be long
_EXAMPLE = 600  # characters of a field of an example


def render(
    manifest: dict[str, Any],
    ledger: dict[str, Any],
    facts: dict[str, Any],
    tally: dropped_file.Tally,
) -> str:
    """The page of a dataset: its manifest, its ledger, `Collector.facts`, its drops.

    A part of the ledger that is not there is left out of the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    read = ledger.get('read', {})
    stages = ledger.get('stages', [])
    kept = {name: split['pairs'] for name, split in manifest['splits'].items()}
    by_source = _by_source(read.get('by_source', {}), manifest)
    return environment.get_template(_TEMPLATE).render(
        manifest=manifest,
        ledger=ledger,
        facts=facts,
        tally=tally,
        read=read,
        num_read=ledger.get('pairs', {}).get('read', sum(kept.values())),
        kept=kept,
        num_kept=sum(kept.values()),
        by_source=by_source,
        by_file=_first(sorted(read.get('by_file', {}).items())),
        counts=sorted(read.get('counts', {}).items()),
        flow=flow_chart.chart(
            {row['source']: row['read'] for row in by_source},
            kept,
            _reasons(stages, tally),
        ),
        stages=[_stage(stage) for stage in stages],
        duplicates=[row for row in stages if 'duplicate' in row['stage']],
        gathered=_first(list(_flat(ledger.get('gathered', {})))),
        settings=list(_flat(ledger.get('settings', {}))),
        measures=oddness.NAMES,
        quantiles=[f'{share:.0%}' for share in report_facts.QUANTILES],
        token_sample=report_facts.TOKEN_SAMPLE,
    )


def _finalize(value: Any) -> Any:
    """What the template prints: hidden characters spelled out, then escaped.

    What a macro of the template gives has been through this already.
    """
    if isinstance(value, str) and not hasattr(value, '__html__'):
        return report_text.visible(value)
    return value


@dataclasses.dataclass(frozen=True)
class _First:
    """The first rows of a long list, and how many more there are."""

    rows: list[Any]
    more: int


def _first(rows: list[Any]) -> _First:
    return _First(rows[:_MOST_ROWS], max(len(rows) - _MOST_ROWS, 0))


def _by_source(
    read: Mapping[str, int], manifest: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row a source: pairs read, and pairs in each split."""
    splits = {name: split['by_source'] for name, split in manifest['splits'].items()}
    names = set(read).union(*splits.values())
    rows = []
    for name in sorted(names):
        by_split = {split: found.get(name, 0) for split, found in splits.items()}
        kept = sum(by_split.values())
        rows.append(
            {'source': name, 'read': read.get(name, kept), 'kept': kept} | by_split
        )
    return rows


def _reasons(stages: list[dict[str, Any]], tally: dropped_file.Tally) -> dict[str, int]:
    """Pairs dropped by stage and reason; by reason alone if there are no stages."""
    if not stages:
        return tally.by_reason
    return {
        f'{stage["stage"]}: {reason}': found['pairs']
        for stage in stages
        for reason, found in stage['dropped'].items()
    }


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage with its reasons as one list, their examples' fields cut."""
    reasons = [
        {
            'kind': kind,
            'name': name,
            'pairs': found['pairs'],
            'times': found['times'],
            'examples': [
                {
                    field: report_text.cut(str(value), _EXAMPLE)
                    for field, value in example.items()
                }
                for example in found['examples']
            ],
        }
        for kind in ('dropped', 'changed', 'noted')
        for name, found in stage[kind].items()
    ]
    share = stage['out'] / stage['in'] if stage['in'] else 0.0
    return stage | {'reasons': reasons, 'share': share}


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """{'a': {'b': 1}} -> ('a.b', '1'): a nested object as rows of a table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f'{name}.{key}' if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f'{name}[{number}]')
    elif isinstance(value, list):
        yield name, report_text.cut(', '.join(map(str, value)), _EXAMPLE)
    else:
        yield name, report_text.cut(str(value), _EXAMPLE)
