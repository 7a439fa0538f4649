"""Writes a page of a run, or of several side by side: verdicts, curves, answers.

    python -m launch.report --workdir=runs/full
    python -m launch.report --workdir=runs/full --workdir=runs/lora --output=both.html

launch.train writes the page of its own run, report.html in the workdir, when it ends.
Each further run is compared with the first one pair by pair, by the losses of the
validation pairs that training saved. A page needs no network to be read.
"""

from __future__ import annotations

from absl import flags

from hax_jax import errors, places
from hax_jax.program import entry, later, output_file, results

with later.imports():
    from hax_jax.report import page
    from hax_jax.runs import run_folder
    from launch import pair_groups

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], "A run's folder. Repeat it to lay runs over each other."
)
_OUTPUT = flags.DEFINE_string(
    'output',
    '',
    'The page to write; by default report.html in the run, or compared.html in the '
    'first of several.',
)
_MOST = 4  # runs that colours tell apart


def main() -> None:
    if not _WORKDIR.value:
        raise errors.InputError('--workdir is missing; give the folder of a run.')
    if len(_WORKDIR.value) > _MOST:
        raise errors.InputError(
            f'{len(_WORKDIR.value)} runs are given; a page holds {_MOST} at most.'
        )
    different = {str(places.path(place)) for place in _WORKDIR.value}
    if len(different) < len(_WORKDIR.value):
        raise errors.InputError('a run is given twice; give each --workdir once.')
    output = places.path(_OUTPUT.value)
    if _OUTPUT.value and not places.is_remote(output):
        errors.refuse(
            output_file.problems('output', output)
            or output_file.foreign('output', output, page.is_page, 'page of a run')
        )
    for place in _WORKDIR.value:
        if run_folder.read_unsaved(places.path(place)) is None:
            run_folder.read_run(places.path(place), takes_step=False)  # before JAX
    written, said = page.write(_WORKDIR.value, _OUTPUT.value, groups=_groups())
    for sentence in said:
        print(sentence)
    print(written)
    results.give({'page': written, 'comparisons': said})


def _groups() -> dict[str, str]:
    """Validation pair -> group, from the first run's dataset, for several runs."""
    if len(_WORKDIR.value) < 2:
        return {}
    folder = places.path(_WORKDIR.value[0])
    config = run_folder.read_unsaved(folder) or run_folder.read_config(folder)
    try:
        return pair_groups.of(config.data.path, 'validation')
    except errors.InputError as error:
        entry.say(f'note: {error}')
        return {}


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
