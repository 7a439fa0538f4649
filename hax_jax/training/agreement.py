"""What all processes of a run must have alike before its first step.

Each check names the field, the processes and their values, in every process. Where
there is one process, nothing is compared.
"""

import pathlib
from typing import Any

from hax_jax.config import convert, schema
from hax_jax.devices import same_run
from hax_jax.training import run_setup, starting

# Each machine may have them elsewhere; their bytes are compared.
_OWN_PATHS = ('data.path', 'tokenizer.path', 'model.pretrained')


def check_command(run: schema.Config, flags: dict[str, Any]) -> None:
    """Raises InputError unless all processes have this config and these flags."""
    same_run.compare(_fields(run) | flags, remedy='Give each process the same command.')


def check_run(setup: run_setup.Setup, workdir: pathlib.Path) -> None:
    """Raises InputError unless all processes have this setup and see this workdir."""
    same_run.compare(
        {
            **_fields(setup.run),
            'the packed rows': setup.cache.fingerprint,
            'the number of steps': setup.num_steps,
        },
        remedy='Give each process the same command and each machine the same data.',
    )
    same_run.check_shared(workdir)


def check_start(claim: starting.Claim) -> None:
    """Raises InputError unless all processes go on from the same step and base."""
    newest = claim.from_step
    same_run.compare(
        {
            'the base': claim.identity['base'].get('hash'),
            'the run': claim.identity['id'] if newest else '',
            'the step to go on from': newest.step if newest else 0,
            'the row to go on from': claim.setup.begin.rows,
        },
        remedy='Carry the same base to each machine; give --workdir a shared folder.',
    )


def _fields(run: schema.Config) -> dict[str, Any]:
    config = convert.flatten(convert.to_dict(run))
    return {name: value for name, value in config.items() if name not in _OWN_PATHS}
