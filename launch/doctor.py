"""Says what is wrong with a run, and why, from its losses.

    python -m launch.doctor --workdir=runs/full
    python -m launch.doctor --legacy_log=OUTPUT.txt     # a log of the old project

Each finding has its numbers, a cause and a remedy, the worst first. The exit code is 1
if something is wrong.
"""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from hax_jax import errors, places
from hax_jax.program import entry, later, results

with later.imports():
    from hax_jax.report import run_record
    from hax_jax.runs import run_folder
    from hax_jax.watch import curve_checks, legacy_log

_WORKDIR = flags.DEFINE_multi_string('workdir', [], "A run's folder. Repeat it.")
_LOG = flags.DEFINE_multi_string(
    'legacy_log', [], 'A training log of the old project. Repeat it.'
)
_NOISE = 0.01  # nats: a run's evaluations read the same rows each time


def main() -> int:
    if not (_WORKDIR.value or _LOG.value):
        raise errors.InputError(
            'nothing to look at is given; give --workdir=FOLDER of a run, or '
            '--legacy_log=FILE of the old project.'
        )
    for place in _WORKDIR.value:
        run_folder.read_run(places.path(place))  # before JAX is imported
    curves = {place: _of_run(place) for place in _WORKDIR.value}
    curves |= {
        name: legacy_log.read(pathlib.Path(name).expanduser()) for name in _LOG.value
    }
    found = {name: curve_checks.check(curve) for name, curve in curves.items()}
    for name, findings in found.items():
        print(name)
        for finding in findings:
            print(f'  {finding.verdict.upper():<5}{finding.id}: {finding.evidence}')
            print(f'       cause: {finding.cause}\n       remedy: {finding.remedy}')
        if not findings:
            print('  OK   its losses show nothing that is wrong')
    results.give(
        {name: [dataclasses.asdict(x) for x in each] for name, each in found.items()}
    )
    worst = [x.verdict for each in found.values() for x in each]
    return 1 if curve_checks.FAIL in worst else 0


def _of_run(place: str) -> curve_checks.Curve:
    record = run_record.read(place)
    return curve_checks.Curve(
        train=list(zip(*record.series('train', 'loss'), strict=True)),
        validation=list(zip(*record.series('evaluation', 'eval_loss'), strict=True)),
        pretrained=bool(record.config.model.pretrained),
        vocab_size=record.config.model.vocab_size,
        noise=_NOISE,
    )


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
