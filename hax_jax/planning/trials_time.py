"""The time of many short runs of one config, which tune and saturation make."""

from hax_jax.devices import compiled
from hax_jax.planning import planner, step_plan
from hax_jax.program import progress
from hax_jax.training import run_setup

_SCORING = 1 / 3  # of a step's time for as many rows: a step's backward pass costs two


def of(
    setup: run_setup.Setup,
    *,
    steps: int,
    num_trials: int,
    evaluations: int,
    num_programs: int,
) -> tuple[float | None, str]:
    """(seconds of `steps` in all trials together, in words what they are made of).

    Each trial evaluates the validation split `evaluations` times. Rates, steps and the
    seed are constants of a program, so `num_programs` steps are compiled; the others
    come from the compilation cache. One is compiled now, to tell how long that takes.
    Seconds are None where the devices' speed is not known.
    """
    each, basis = step_plan.step_time(setup, planner.make_plan(setup), None)
    if each is None:
        return None, f'time {basis}'
    stepping = each * steps
    rows = -(-setup.cache.num_rows('validation') // setup.microbatch_size)
    share = rows * setup.microbatch_size / setup.run.train.batch_size
    scoring = num_trials * evaluations * share * _SCORING * each
    with compiled.without_cache():
        one = step_plan.compiled_step(setup).seconds
    total = stepping + scoring + one * num_programs
    return total, (
        f'about {progress.duration(total)}: steps {progress.duration(stepping)} '
        f'({basis}); evaluations {progress.duration(scoring)}; compiling '
        f'{progress.duration(one * num_programs)} ({num_programs} programs; one took '
        f'{one:.1f} s now)'
    )
