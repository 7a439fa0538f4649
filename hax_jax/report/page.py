"""report.html: verdicts first, then curves, answers, figures by source, the plan.

The page holds Plotly's own script, runs nothing else, and fetches nothing. Texts of the
run are escaped where they are HTML and where they are JSON in a script.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import plotly.offline

from hax_jax import errors, files, places
from hax_jax.config import convert
from hax_jax.curves import after_training, run_record
from hax_jax.doctor import diagnosis
from hax_jax.report import figures, run_difference
from hax_jax.training import run_summary

FILE, COMPARED = 'report.html', 'compared.html'
_TEMPLATE = 'page.html.jinja'
_GENERATOR = b'<meta name="generator" content="hax_jax">'
_MOST_STEPS = 12  # steps whose answers are shown, the first and the last among them
_MOST_BAD = 40
_STARTS = {diagnosis.OK: 'good', diagnosis.WARN: 'SUSPECT', diagnosis.FAIL: 'BAD'}


def write(
    workdirs: Sequence[str],
    output: str = '',
    *,
    groups: Mapping[str, str] | None = None,
) -> tuple[pathlib.Path, list[str]]:
    """Writes the page of one run, or of several; (where it is, how they differ).

    `output` is by default report.html in the run, of several compared.html in the
    first: report.html is its own page. Each further run is compared
    with the first one, pair by pair; `groups` maps a validation pair's id to its group.

    The differences are sentences that name the better run, or say why it is not known.

    Raises:
      InputError: one of them is no run, or has no figures yet.
    """
    records = [run_record.read(place) for place in workdirs]
    names = [record.name for record in records]
    if len(set(names)) < len(names):
        records = [run_record.read(place, name=place) for place in workdirs]
    default = places.path(workdirs[0]) / (FILE if len(workdirs) == 1 else COMPARED)
    path = places.path(output or str(default))
    differences = [
        run_difference.of(records[0], other, groups=groups or {})
        for other in records[1:]
    ]
    page = render(records, differences)
    try:
        files.write_text(path, page)
    except OSError as error:
        if not errors.is_forbidden(error):
            raise
        raise errors.InputError(
            f'{path} can not be written ({error.strerror}); name another file with '
            '--output=FILE.html.'
        ) from error
    return path, [found.verdict for found in differences]


def is_page(head: bytes) -> bool:
    """Whether a file that begins so is a page of this kind."""
    return _GENERATOR in head


def render(
    records: Sequence[run_record.RunRecord],
    differences: Sequence[run_difference.RunDifference] = (),
) -> str:
    """The page as text."""
    found = [after_training.of_record(record) for record in records]
    bad = [each for one in found for each in one if each.verdict != diagnosis.OK]
    plotted = [each for each in bad if each.bars]
    drawn = [
        ('Loss', figures.loss(records)),
        *figures.curves(records),
        (f'Time of {records[0].name}', figures.time_split(records)),
    ]
    return rendered(
        pathlib.Path(__file__).with_name(_TEMPLATE),
        records=records,
        colours=figures.COLOURS,
        verdicts=[
            (record, *verdict(record, each), each)
            for record, each in zip(records, found, strict=True)
        ],
        places={each: len(drawn) + i for i, each in enumerate(plotted)},
        differences=differences,
        titles=[title for title, _ in drawn],
        figures=[figure for _, figure in drawn]
        + [figures.evidence(each.bars) for each in plotted],
        answers=_answers(records),
        sources=[(record, _by_source(record)) for record in records],
        fields=[(each, convert.changed(each.config)) for each in records],
        most_bad=_MOST_BAD,
    )


def rendered(
    template: pathlib.Path, *, figures: list[figures.Figure], **values: Any
) -> str:
    """The page of a template, which gets Plotly's script, the figures and `values`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(
        figures=script_json(figures), plotly=plotly.offline.get_plotlyjs(), **values
    )


def verdict(
    record: run_record.RunRecord, found: Sequence[diagnosis.Finding]
) -> tuple[str, list[str]]:
    """('good', 'warn' or 'bad', sentences): how the run stands, the worst first.

    `found` is what the doctor says of it.
    """
    summary = record.summary()
    before = next(iter(record.series('evaluation', 'eval_loss')[1]), None)
    lines = []
    if summary is None:
        lines.append(
            f'not ended: the last figures are of step {record.last_step()}; the same '
            f'command {"goes on with it" if record.is_saved else "begins it again"}'
        )
    else:
        lines += run_summary.render(summary, places.path(record.place)).split('\n')
    if before is not None and record.rows['evaluation'][0]['step'] == 0:
        start = next((each for each in found if each.id == 'start'), None)
        said = f': {_STARTS[start.verdict]}' if start else ''
        if start and start.verdict != diagnosis.OK:
            said += f': {start.cause}'
        lines.append(f'loss before training {before:.4f}{said}')
    if record.bad_steps:
        lines.append(f'{len(record.bad_steps)} bad steps, listed below')
    if record.num_unread:
        lines.append(f'{record.num_unread} lines of its logs can not be read')
    worst = [line for line in lines if ': BAD' in line]
    doubtful = [line for line in lines if 'SUSPECT' in line or 'bad' in line]
    said = {each.verdict for each in found}
    grade = 'good'
    if doubtful or summary is None or diagnosis.WARN in said:
        grade = 'warn'
    if worst or diagnosis.FAIL in said:
        grade = 'bad'
    first = worst + [line for line in doubtful if line not in worst]
    return grade, first + [line for line in lines if line not in first]


def _answers(records: Sequence[run_record.RunRecord]) -> list[dict[str, Any]]:
    """Each sample question with its answers: {run's name: {step: answer}}."""
    questions: dict[str, dict[str, Any]] = {}
    for record in records:
        steps = sorted({row['step'] for row in record.answers})
        if len(steps) > _MOST_STEPS:
            last = len(steps) - 1
            shown = (round(i * last / (_MOST_STEPS - 1)) for i in range(_MOST_STEPS))
            steps = [steps[place] for place in shown]
        for row in sorted(record.answers, key=lambda row: row['step']):
            if row['step'] in steps:
                one = questions.setdefault(
                    row['id'], {'question': row['prompt'], 'by_run': {}}
                )
                by_step = one['by_run'].setdefault(record.name, {})
                by_step.setdefault(row['step'], row['text'])
    return list(questions.values())


def _by_source(record: run_record.RunRecord) -> list[dict[str, Any]]:
    """The last evaluation's answers by source, with the first one's loss beside it."""
    rows = record.rows.get('evaluation', [])
    if not rows:
        return []
    first, last = rows[0]['by'], rows[-1]['by']
    return [
        {
            'source': source,
            'first': first.get(source, {}).get('answer', {}).get('nll'),
            **last[source]['answer'],
            'answers': last[source].get('eos', {}).get('answers', 0),
        }
        for source in ['all', *record.sources()]
    ]


def script_json(value: Any) -> str:
    """JSON that can stand in a <script>: no text in it can close the element."""
    text = json.dumps(value, allow_nan=False)
    for sign in '<>&':
        text = text.replace(sign, f'\\u{ord(sign):04x}')
    return text
