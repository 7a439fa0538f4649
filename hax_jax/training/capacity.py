"""What a run needs of a disk, against what there is."""

import math
import pathlib
from typing import Any

import jax

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.runs import disk_room, run_folder
from hax_jax.training import run_setup
from hax_jax.training import train_state as ts

_LOGGED_BYTES = 1000  # a logged step in metrics.jsonl and TensorBoard, about


def checkpoint_counts(
    train: schema.TrainConfig, done: int, num_steps: int
) -> tuple[int, int]:
    """Scheduled checkpoints of the steps left, and those only a best evaluation adds.

    Every N steps and at the last is ceil(num_steps / N) times, of which done // N are
    behind.
    """

    def times(every: int) -> int:
        return -(-num_steps // every) - done // every if done < num_steps else 0

    saves, evaluations = train.checkpoint_every_steps, train.eval_every_steps
    both = times(math.lcm(saves, evaluations))
    return times(saves), times(evaluations) - both if train.keep_best else 0


def kept_checkpoints(train: schema.TrainConfig, num_steps: int) -> int:
    """The checkpoints of a run that are on disk at one time, at most."""
    return min(
        train.keep_last + train.keep_best, sum(checkpoint_counts(train, 0, num_steps))
    )


def checkpoint_bytes(blueprint: ts.Blueprint) -> int:
    return bytes_of(blueprint.state.params) + bytes_of(blueprint.state.opt_state)


def bytes_of(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )


def bytes_on_a_device(tree: Any) -> int:
    """The bytes of an abstract tree that one device holds."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def disk_bytes(setup: run_setup.Setup) -> int:
    """The most that a run has on its disk: while one more checkpoint is saved."""
    logged = setup.num_steps // setup.run.train.log_every_steps
    each = checkpoint_bytes(setup.blueprint)
    return _checkpoints_at_once(setup) * each + logged * _LOGGED_BYTES


def check_disk(setup: run_setup.Setup, workdir: pathlib.Path) -> None:
    """Raises InputError if the disk of `workdir` can't hold the run's checkpoints."""
    checkpoints = workdir / run_folder.CHECKPOINTS
    there = sum(p.stat().st_size for p in checkpoints.rglob('*') if p.is_file())
    free = disk_room.free(workdir)
    needed, each = disk_bytes(setup), checkpoint_bytes(setup.blueprint)
    if needed - there <= free:
        return
    train = setup.run.train
    fits = (free + there) // each - 1
    now = kept_checkpoints(train, setup.num_steps)
    remedy = ''
    if 1 <= fits < now:
        remedy = (
            f', or keep {fits} at most (train.keep_last={train.keep_last}, '
            f'train.keep_best={train.keep_best} now)'
        )
    raise errors.InputError(
        f'the run needs {disk_room.size(needed - there)} more on the disk of {workdir}:'
        f' {_checkpoints_at_once(setup)} checkpoints of {disk_room.size(each)} at one '
        f'time; {disk_room.size(free)} are free. Make room, or give a --workdir on '
        f'another disk{remedy}.'
    )


def _checkpoints_at_once(setup: run_setup.Setup) -> int:
    """At most, while one more is saved than is kept."""
    kept = kept_checkpoints(setup.run.train, setup.num_steps)
    return min(kept + 1, sum(checkpoint_counts(setup.run.train, 0, setup.num_steps)))
