"""report.html: one page with no script and nothing to load, for any browser and width.

Every text of the corpus is data: the template escapes all values and marks none as
safe. It draws charts as SVG.
"""

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
_EXAMPLE = 600  # characters of a field of an example


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
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
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
    kept = {name: split['pairs'] for name, split in manifest['splits'].items()}
    by_source = _by_source(read.get('by_source', {}), manifest)
    return environment.get_template(_TEMPLATE).render(
        manifest=manifest,
        ledger=ledger,
        facts=facts,
        tally=tally,
        read=read,
        stages=stages,
        num_read=ledger.get('pairs', {}).get('read', sum(kept.values())),
        kept=kept,
        num_kept=sum(kept.values()),
        by_source=by_source,
        flow=flow_chart.chart(
            {row['source']: row['read'] for row in by_source},
            kept,
            _reasons(stages, tally),
        ),
        measures=oddness.NAMES,
        quantiles=report_facts.QUANTILES,
        token_sample=report_facts.TOKEN_SAMPLE,
    )


def _finalize(value: Any) -> Any:
    """A value that the template prints, with its hidden characters spelled out.

    The output of a macro has been through this already.
    """
    if isinstance(value, str) and not hasattr(value, '__html__'):
        return report_text.visible(value)
    return value


def _by_source(
    read: Mapping[str, int], manifest: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each source: pairs read, pairs kept, and pairs in each split."""
    splits = {name: split['by_source'] for name, split in manifest['splits'].items()}
    rows = []
    for name in sorted(set(read).union(*splits.values())):
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
