"""launch.train with a fault in it: FAULT says which, in the process that has it."""

import os
import time

from hax_jax import errors
from hax_jax.devices import same_run
from hax_jax.program import entry
from hax_jax.training import between_steps
from launch import shared_flags, train

_FAULT = os.environ.get('FAULT', '')
_STEP = 12
_code, _after_step = same_run.code, between_steps.BetweenSteps.after_step


def after_step(self: between_steps.BetweenSteps, done: int, *others: object) -> None:
    _after_step(self, done, *others)
    time.sleep(0.05)  # a run that never ends need not be a fast one
    if done == _STEP and _FAULT == 'exception':
        raise KeyError('planted')
    if done == _STEP and _FAULT == 'input error':
        raise errors.InputError('planted; take it away.')
    if done == _STEP and _FAULT == 'stuck':
        time.sleep(1000)


def code() -> dict[str, str]:
    changed = {'hax_jax/model/loss.py': 'changed'} if _FAULT == 'code' else {}
    return {**_code(), **changed}


if __name__ == '__main__':
    between_steps.BetweenSteps.after_step = after_step
    same_run.code = code
    entry.run(train.main, prepare=shared_flags.CONFIG.check)
