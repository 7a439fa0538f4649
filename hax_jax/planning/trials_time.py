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
    compiles: bool,
) -> tuple[float | None, str]:
    """(seconds of `steps` in all trials together, in words what they are made of).

    Each trial evaluates the validation split `evaluations` times. Rates, steps and the
    seed are constants of a program, so `num_programs` steps are compiled; the others
    come from the compilation cache. With `compiles` the step is compiled now, to tell
    how long that takes; else the words say that it is left out. Seconds are None where
    the devices' speed is not known.
    """
    each, basis = step_plan.step_time(setup, planner.make_plan(setup), None)
    if each is None:
        return None, f'time {basis}'
    stepping = each * steps
    rows = -(-setup.cache.num_rows('validation') // setup.microbatch_size)
    share = rows * setup.microbatch_size / setup.run.train.batch_size
    scoring = num_trials * evaluations * share * _SCORING * each
    parts = [
        f'steps {progress.duration(stepping)} ({basis})',
        f'evaluations {progress.duration(scoring)}',
    ]
    total = stepping + scoring
    if compiles:
        with compiled.without_cache():
            one = step_plan.compiled_step(setup).seconds
        total += one * num_programs
        parts.append(
            f'compiling {progress.duration(one * num_programs)} ({num_programs} '
            f'programs; one took {one:.1f} s now)'
        )
    else:
        parts.append(f'compiling {num_programs} programs is not counted')
    return total, f'about {progress.duration(total)}: {"; ".join(parts)}'
