"""The GPUs of a task that SLURM started. JAX alone would give each task one.

Source: https://slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES".
"""

import dataclasses
import re
from collections.abc import Mapping

from hax_jax import errors

_TASK = (
    'SLURM_JOB_ID',
    'SLURM_STEP_NODELIST',
    'SLURM_NTASKS',
    'SLURM_PROCID',
    'SLURM_LOCALID',
)  # those by which JAX finds a task of SLURM


@dataclasses.dataclass(frozen=True)
class LocalDevices:
    """`ids` count the GPUs that the task sees, from 0; none stands for all of them."""

    ids: list[int]
    in_words: str


def local_devices(environment: Mapping[str, str]) -> LocalDevices | None:
    """The GPUs of this task; None where SLURM or the user does not leave it to us.

    A task that is alone on its node, or that sees GPUs of its own, has all that it
    sees. Tasks that see the same GPUs of their node divide them evenly, in order.

        8 GPUs, 1 task a node               -> all 8
        8 GPUs, 8 tasks, all visible        -> one each
        8 GPUs, 8 tasks, each sees its own  -> the one that it sees
        8 GPUs, 2 tasks, all visible        -> 0 to 3, 4 to 7

    Raises:
      InputError: the tasks can't divide the GPUs.
    """
    if any(name not in environment for name in _TASK):
        return None
    if environment.get('JAX_LOCAL_DEVICE_IDS'):
        return None
    tasks, visible = _tasks_on_node(environment), _visible(environment)
    own = int(environment['SLURM_LOCALID'])
    on_node = _number(environment, 'SLURM_GPUS_ON_NODE')
    per_task = _number(environment, 'SLURM_GPUS_PER_TASK')
    ids: list[int] = []
    has_own = len(visible) <= 1 or len(visible) in (per_task, *range(1, on_node))
    if tasks > 1 and not has_own:
        each, left = divmod(len(visible), tasks)
        if left or not each:
            raise errors.InputError(
                f'{tasks} tasks on a node can not divide its {len(visible)} GPUs '
                'evenly; start one task a node (--ntasks-per-node=1), or one a GPU '
                f'(--ntasks-per-node={len(visible)}).'
            )
        ids = list(range(own * each, (own + 1) * each))
    named = [visible[i] for i in ids] if ids else visible
    gpus = (
        f'GPU{"s" * (len(named) > 1)} {", ".join(named)}' if named else 'no GPU named'
    )
    node = environment.get('SLURMD_NODENAME', 'its node')
    task = f'process {environment["SLURM_PROCID"]} of {environment["SLURM_NTASKS"]}'
    return LocalDevices(ids, f'{task}: {gpus} of node {node}')


def _tasks_on_node(environment: Mapping[str, str]) -> int:
    """The number of tasks on this node: '2(x3),1' with SLURM_NODEID 3 -> 1."""
    for name in ('SLURM_STEP_TASKS_PER_NODE', 'SLURM_TASKS_PER_NODE'):
        counts: list[int] = []
        for part in environment.get(name, '').split(','):
            if match := re.fullmatch(r'(\d+)(?:\(x(\d+)\))?', part.strip()):
                counts += [int(match[1])] * int(match[2] or 1)
        node = int(environment.get('SLURM_NODEID', '0'))
        if node < len(counts):
            return counts[node]
    return _number(environment, 'SLURM_NTASKS_PER_NODE') or 1


def _visible(environment: Mapping[str, str]) -> list[str]:
    """The names of the GPUs that this task sees."""
    for name in ('CUDA_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES', 'SLURM_STEP_GPUS'):
        if name in environment:
            named = [part.strip() for part in environment[name].split(',')]
            return [part for part in named if part and part != 'NoDevFiles']
    return [str(i) for i in range(_number(environment, 'SLURM_GPUS_ON_NODE'))]


def _number(environment: Mapping[str, str], name: str) -> int:
    """The last number of a variable such as '4', 'h100:4'; 0 without one."""
    numbers = re.findall(r'\d+', environment.get(name, ''))
    return int(numbers[-1]) if numbers else 0
