"""A run that is not begun, examined in full: what `hax doctor --config` does."""

from typing import Any

import jax

from hax_jax.doctor import diagnosis, examine
from hax_jax.evaluation import eval_step
from hax_jax.runs import restore
from hax_jax.training import run_setup, train_loop, train_step
from hax_jax.training import train_state as ts


def of(
    setup: run_setup.Setup, *, base: str = ''
) -> tuple[list[diagnosis.Finding], dict[str, Any]]:
    """The findings before step 1, the worst first, and the numbers that they stand on.

    Trains some 50 trial steps on the run's first batch, and keeps none of them. `base`
    is where the pretrained model lies now.

    Raises:
      InputError: the pretrained model can't be read.
    """
    pretrained = base or setup.run.model.pretrained
    source = restore.load_base(pretrained) if pretrained else None
    parameters = source.parameters if source else None
    with jax.set_mesh(setup.mesh):
        state = ts.create(setup.blueprint, seed=setup.run.train.seed, base=parameters)
        batch = next(train_loop.batches_of(setup))
        step = train_step.compiled(train_loop.step_function(setup), state, batch)
        scores = eval_step.make_eval_step(setup.blueprint.model, mesh=setup.mesh)
        subject = train_loop.subject_of(setup, state, batch, step, scores, parameters)
        _, numbers, found = examine.examine(subject, full=True)
    return found, numbers
