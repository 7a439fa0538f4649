"""What a check found, and how it is told."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hax_jax import files

OK, WARN, FAIL = 'ok', 'warn', 'fail'
_ORDER = (FAIL, WARN, OK)
FILE = 'doctor.json'  # what the doctor found at a run's first step, and at resumes

# Finding -> those that follow from it and say nothing new.
_BY_LABELS = (
    *('start', 'blocks', 'head', 'loss by shift', 'one batch', 'EOS', 'loss'),
    'order of weights',
)
_TEXTS = 'rows and pairs'
_BY_IDS = (
    _TEXTS,
    'more rows',
    'template',
    'characters',
    'tokenizer',
    'answers',
    'texts',
    'segments',
)
_BY_WEIGHTS = ('start', 'head', 'blocks', 'loss by shift', 'loss', 'order of weights')
_FOLLOWING = {
    'labels': (*_BY_LABELS, 'loss mask', 'token ids', _TEXTS, 'more rows'),
    'token ids': (*_BY_LABELS, *_BY_IDS, 'formula', 'finite'),
    'prompts': ('segments', 'positions', 'template', _TEXTS),
    'EOS': (_TEXTS,),
    'positions': ('order of weights',),
    'segments': ('isolation',),
    'adapters': ('gradients',),
    'weights': (*_BY_WEIGHTS, 'arrays'),
    'arrays': (
        *(*_BY_WEIGHTS, 'position embeddings', 'update size', 'one batch'),
        *('gradients', 'context'),
    ),
    'position embeddings': ('start', 'loss by shift', 'order of weights'),
    'order of weights': ('start', 'blocks', 'loss by shift'),
    'causality': ('formula',),
    'isolation': ('formula',),
    'alignment': ('formula',),
    'repeatable': ('formula', 'causality', 'isolation', 'alignment'),
    'formula': (*_BY_WEIGHTS, 'context', 'one batch'),
    'head': ('start', 'order of weights'),
    'blocks': ('start',),
    'update size': ('one batch', 'decay'),
    'direction': ('one batch', 'schedule'),
    'variety': ('answers',),
    'gradients': ('one batch',),
    'z-loss': (
        *('gradients', 'direction', 'clipping', 'loss', 'one batch', 'update size'),
        *('schedule count', 'gradient noise', 'schedule'),
    ),
    'start': ('blocks', 'loss by shift'),
    'moments': ('one batch',),
    'microbatches': ('loss',),
    'batches': ('loss mask', 'labels', 'EOS', 'positions', 'segments'),
    'characters': (
        'blocks',
        'start',
        'order of weights',
    ),  # the base knows no such text
}

# Plain numbers by name, as JSON holds them; a name that was not measured is absent.
Numbers = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Finding:
    """`verdict` is OK, WARN or FAIL; `bars` are the evidence as (label, number)."""

    id: str
    verdict: str
    evidence: str
    cause: str
    remedy: str
    source: str
    bars: tuple[tuple[str, int | float], ...] = ()


Check = Callable[[Numbers], Finding | None]


def run(checks: Iterable[Check], numbers: Numbers) -> list[Finding]:
    """What the checks find, the worst first; one whose numbers are absent is silent."""
    return ordered(filter(None, (check(numbers) for check in checks)))


def roots(found: Sequence[Finding]) -> list[Finding]:
    """The findings without those that follow from a FAIL among them."""
    bad = {each.id for each in found if each.verdict == FAIL}
    known = {name for root in bad for name in _FOLLOWING.get(root, ())}
    return [each for each in found if each.verdict == OK or each.id not in known]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, otherwise in their order."""
    return sorted(findings, key=lambda each: _ORDER.index(each.verdict))


def good(id: str, evidence: str, source: str = '') -> Finding:
    """The finding of a check that has nothing to say against the run."""
    return Finding(id, OK, evidence, 'nothing is wrong', 'none', source)


def lines(
    findings: Sequence[Finding], *, most: int = 4, known: Sequence[Finding] = ()
) -> list[str]:
    """At most `most` findings in three lines each, and one line for the others.

    Leaves out those that are `known`, as they were printed before.
    """
    bad = [x for x in ordered(findings) if x.verdict != OK and x not in known]
    out = []
    for each in bad[:most]:
        out += [
            f'{each.verdict.upper():<5}{each.id}: {each.evidence}',
            f'     cause: {each.cause}',
            f'     remedy: {each.remedy}',
        ]
    more = f'; not shown: {len(bad) - most}' if len(bad) > most else ''
    passed = sum(each.verdict == OK for each in findings)
    return [*out, f'{passed} of {len(findings)} checks found nothing wrong{more}']


def reminder(findings: Sequence[Finding], known: Sequence[Finding]) -> list[str]:
    """One line with the ids of the findings that are `known`; [] if all are new."""
    bad = [each for each in ordered(findings) if each.verdict != OK and each in known]
    ids = ', '.join(f'{each.verdict.upper()} {each.id}' for each in bad)
    return [f'told at the start: {ids}'] if bad else []


def write(
    workdir: pathlib.Path, findings: Sequence[Finding], numbers: dict[str, Any]
) -> None:
    """Writes the file anew. Of numbers that are not finite null stays, of bars none."""
    rows = [
        {
            **dataclasses.asdict(each),
            'bars': [bar for bar in each.bars if math.isfinite(bar[1])],
        }
        for each in findings
    ]
    content = {'findings': rows, 'numbers': _finite(numbers)}
    files.write_json(workdir / FILE, content)


def add(workdir: pathlib.Path, findings: Sequence[Finding]) -> None:
    """Writes what was found at a resume beside what the file has of other checks."""
    ids = {each.id for each in findings}
    kept = [each for each in read(workdir) if each.id not in ids]
    write(workdir, ordered([*kept, *findings]), numbers(workdir))


def numbers(workdir: pathlib.Path) -> dict[str, Any]:
    """The numbers of the run's findings; {} where the file can't be read."""
    try:
        return dict(files.read_json_object(workdir / FILE).get('numbers', {}))
    except (OSError, ValueError, TypeError):
        return {}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(workdir: pathlib.Path) -> list[Finding]:
    """The findings of the run; none where the file is not there, or can't be read."""
    try:
        rows = files.read_json_object(workdir / FILE)['findings']
        return [
            Finding(**{**row, 'bars': tuple(map(tuple, row['bars']))}) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
