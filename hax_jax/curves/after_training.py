"""What a run's own folder says of it, while it runs or after."""

import contextlib
import dataclasses

from hax_jax import errors, places
from hax_jax.curves import curve_checks, measure_run, run_checks, run_record
from hax_jax.data import dataset_folder, records
from hax_jax.doctor import diagnosis
from hax_jax.runs import run_folder

# What was found before the first step -> what says the same of the steps.
_SAME = {
    'schedule': 'rate by step',
    'schedule count': 'rate by step',
    'clipping': 'clip by step',
}
_NOISE = 0.01  # nats: a run's evaluations read the same rows each time


def of(place: str) -> list[diagnosis.Finding]:
    """The findings of a run: before its first step, from its curves, from its steps.

    A run that was refused or stopped before its first save has the first and what is
    known of its bad steps.

    Raises:
      InputError: there is no run, or it has no figures and no findings yet.
    """
    folder = places.path(place)
    try:
        return of_record(run_record.read(place))
    except errors.InputError:
        before = diagnosis.read(folder)
        if not before or not (folder / run_folder.UNSAVED).exists():
            raise
    bad = measure_run.of_bad_steps(run_record.bad_steps_of(folder), last_step=0)
    numbers = {**bad, 'checkpoints': 0, 'is_saved': False}
    steps = diagnosis.run([run_checks.bad_steps, run_checks.checkpoints], numbers)
    return diagnosis.ordered([*before, *steps])


def of_record(record: run_record.RunRecord) -> list[diagnosis.Finding]:
    """The findings, the worst first; those before the first step among them."""
    numbers = measure_run.measure(record)
    with contextlib.suppress(errors.InputError):  # the rows lie elsewhere now
        numbers |= measure_run.copied(record, _rows(record))
    folder = places.path(record.place)
    before = diagnosis.read(folder)
    numbers['unread_findings'] = (folder / diagnosis.FILE).exists() and not before
    judged = next((each.verdict for each in before if each.id == 'start'), '')
    curve = dataclasses.replace(curve_of(record), start_verdict=judged)
    steps = diagnosis.run(run_checks.CHECKS, numbers)
    return diagnosis.ordered(
        [*before, *curve_checks.check(curve), *news(steps, before)]
    )


def news(
    steps: list[diagnosis.Finding], before: list[diagnosis.Finding]
) -> list[diagnosis.Finding]:
    """What steps show beside what was found before the first one."""
    known = {_SAME.get(each.id) for each in before if each.verdict == diagnosis.FAIL}
    return [each for each in steps if each.id not in known]


def _rows(record: run_record.RunRecord) -> records.PackedCache:
    folder = places.path(record.place)
    tokenizer = run_folder.load_tokenizer(folder, run_folder.read_run(folder))
    data = record.config.data
    return records.open_cache(dataset_folder.packed(data, tokenizer, remedy=''))


def curve_of(record: run_record.RunRecord) -> curve_checks.Curve:
    ended = record.rows.get('summary', [])
    steps = record.config.train.num_steps or (ended[-1]['num_steps'] if ended else 0)
    known = diagnosis.numbers(places.path(record.place)).get('unigram_entropy')
    return curve_checks.Curve(
        train=list(zip(*record.series('train', 'loss'), strict=True)),
        validation=list(zip(*record.series('evaluation', 'eval_loss'), strict=True)),
        pretrained=bool(record.config.model.pretrained),
        vocab_size=record.config.model.vocab_size,
        noise=_NOISE,
        rates=list(zip(*record.series('train', 'learning_rate'), strict=True)),
        unigram_entropy=ended[-1]['unigram_entropy'] if ended else known or 0.0,
        steps_left=max(steps - record.last_step(), 0),
    )
