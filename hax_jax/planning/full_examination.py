"""A run that is not begun, examined in full: what `hax doctor --config` does."""

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from hax_jax.data import records
from hax_jax.doctor import diagnosis, examine, first_look
from hax_jax.evaluation import eval_step
from hax_jax.runs import restore
from hax_jax.training import first_step, run_setup, run_step, train_step
from hax_jax.training import train_state as ts

_MOST_PAIRS = 300


def of(
    setup: run_setup.Setup,
    *,
    base: str = '',
    pairs: Iterable[records.QaPair] = (),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[diagnosis.Finding], dict[str, Any]]:
    """The findings before step 1, the worst first, and the numbers that they stand on.

    Trains some 50 trial steps on the run's first batch, and keeps none of them. `base`
    is where the pretrained model lies now; `pairs` are training pairs of the dataset,
    of which the rows are compared with a few hundred. `say` hears what comes next.

    Raises:
      InputError: the pretrained model can't be read.
    """
    pretrained = base or setup.run.model.pretrained
    if pretrained:
        say('reading the base')
    source = restore.load_base(pretrained) if pretrained else None
    parameters = source.parameters if source else None
    with jax.set_mesh(setup.mesh):
        state = ts.create(setup.blueprint, seed=setup.run.train.seed, base=parameters)
        batches = list(itertools.islice(run_step.batches_of(setup), 2))
        say('compiling the train step')
        traced = run_step.step_function(setup).trace(state, batches[0])
        step = train_step.compiled(traced.lower(), setup.mesh)
        scores = eval_step.make_eval_step(setup.blueprint.model, mesh=setup.mesh)
        subject = first_step.subject_of(setup, state, batches, scores, parameters)
        some = itertools.islice(pairs, _MOST_PAIRS)
        look = first_look.look(subject, full=True, say=say)
        say('rows and pairs')
        look.numbers = examine.measure(subject, some) | look.numbers
        taught = functools.partial(run_step.taught, setup, traced)
        first_look.compiled(look, step, taught, full=True)
        say('the first step')
        state, metrics = step(look.state, batches[0])
        found = examine.told(look, state, metrics, full=True)
    return found, look.numbers
