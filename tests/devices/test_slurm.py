"""Which GPUs a task of SLURM takes, over the environments that srun makes."""

import pytest

from hax_jax import errors
from hax_jax.devices import slurm


def environment(
    *, tasks: str, local: int = 0, process: int = 0, node: int = 0, **more: str
) -> dict[str, str]:
    return {
        'SLURM_JOB_ID': '7',
        'SLURM_STEP_NODELIST': 'n[07-08]',
        'SLURM_NTASKS': '16',
        'SLURM_PROCID': str(process),
        'SLURM_LOCALID': str(local),
        'SLURM_NODEID': str(node),
        'SLURMD_NODENAME': 'n07',
        'SLURM_STEP_TASKS_PER_NODE': tasks,
        **more,
    }


ALL = '0,1,2,3,4,5,6,7'


@pytest.mark.parametrize(
    ('given', 'ids', 'words'),
    [
        (
            environment(tasks='1(x2)', CUDA_VISIBLE_DEVICES=ALL),
            [],
            'process 0 of 16: GPUs 0, 1, 2, 3, 4, 5, 6, 7 of node n07',
        ),
        (environment(tasks='1(x2)'), [], 'process 0 of 16: no GPU named of node n07'),
        (
            environment(tasks='8(x2)', local=3, process=3, CUDA_VISIBLE_DEVICES=ALL),
            [3],
            'process 3 of 16: GPU 3 of node n07',
        ),
        (  # --gpus-per-task=1: each task sees its own
            environment(
                tasks='8(x2)',
                local=3,
                process=3,
                CUDA_VISIBLE_DEVICES='3',
                SLURM_GPUS_ON_NODE='8',
            ),
            [],
            'process 3 of 16: GPU 3 of node n07',
        ),
        (
            environment(
                tasks='2(x2)',
                local=1,
                CUDA_VISIBLE_DEVICES='4,5,6,7',
                SLURM_GPUS_PER_TASK='h100:4',
            ),
            [],
            'process 0 of 16: GPUs 4, 5, 6, 7 of node n07',
        ),
        (
            environment(tasks='2(x2)', local=1, CUDA_VISIBLE_DEVICES=ALL),
            [4, 5, 6, 7],
            'process 0 of 16: GPUs 4, 5, 6, 7 of node n07',
        ),
        (  # the second node has one task, and so all its GPUs
            environment(tasks='2,1', node=1, SLURM_GPUS_ON_NODE='4'),
            [],
            'process 0 of 16: GPUs 0, 1, 2, 3 of node n07',
        ),
    ],
)
def test_a_task_takes_its_share_of_the_gpus(
    given: dict[str, str], ids: list[int], words: str
) -> None:
    found = slurm.local_devices(given)
    assert found == slurm.LocalDevices(ids, words)


def test_gpus_that_tasks_can_not_divide_are_refused() -> None:
    given = environment(tasks='3', CUDA_VISIBLE_DEVICES=ALL, SLURM_GPUS_ON_NODE='8')
    with pytest.raises(errors.InputError, match='3 tasks on a node can not divide'):
        slurm.local_devices(given)


def test_who_is_no_task_of_slurm_or_names_devices_keeps_them() -> None:
    assert slurm.local_devices({}) is None
    given = environment(tasks='1', JAX_LOCAL_DEVICE_IDS='0,1')
    assert slurm.local_devices(given) is None
