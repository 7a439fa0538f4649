"""Copies one step of a run, without the optimizer's moments, as a run of its own."""

import pathlib
import shutil
from typing import Any

from hax_jax import files, local_copy
from hax_jax.config import schema
from hax_jax.formats import pretrained
from hax_jax.runs import checkpoint, restore, run_folder, saved_steps


def write(workdir: pathlib.Path, output: pathlib.Path, *, step: int | None) -> int:
    """Writes the folder `output`, whole or not at all; returns the step in it.

    `step` is that of `restore.find_step`. The copy keeps the run's config, dataset,
    base and evaluations, so every program reads it as it reads the run; launch.train
    goes on from its step with moments that begin at zero, as with an imported run. It
    has an id of its own, and is read back before it gets its name.

    Raises:
      InputError: there is no such run or step, or the step is damaged.
      MismatchError: other parameters were read back than written.
    """
    run, config = run_folder.read_run(workdir), run_folder.read_config(workdir)
    info = restore.find_step(workdir, step).info
    identity = {**run, 'schema': run_folder.SCHEMA, 'id': run_folder.new_id()}
    parameters = checkpoint.load_part(info.path, checkpoint.PARAMS)
    metadata = {**_rows(info, config), **info.metadata}
    for name in ('guarded', checkpoint.KEPT):  # their trees are left out too
        metadata.pop(name, None)
    origin = f'step {info.step} of {workdir.resolve().name}, without its moments'
    with files.new_folder(output) as new:
        run_folder.copy_tokenizer(workdir / run_folder.TOKENIZER, new)
        if (workdir / run_folder.OWN_BASE).is_dir():
            own = local_copy.folder(workdir / run_folder.OWN_BASE)
            shutil.copytree(own, new / run_folder.OWN_BASE)
        folder = new / run_folder.CHECKPOINTS
        with checkpoint.Checkpoints(folder, run_id=identity['id']) as saved:
            saved.save(
                info.step,
                {checkpoint.PARAMS: parameters},
                validation_loss=info.validation_loss,
                metadata={**metadata, 'imported': origin},
            )
        again = checkpoint.load_part(folder / str(info.step), checkpoint.PARAMS)
        pretrained.require_same(again, parameters)
        run_folder.write(new, config, identity)
    return info.step


def _rows(info: saved_steps.StepInfo, config: schema.Config) -> dict[str, Any]:
    """The rows that an older version's step had consumed, which it did not count."""
    if info.metadata.keys() & {'rows', 'imported'}:
        return {}
    train = config.train
    rows = info.step * train.batch_size
    return {'rows': rows, 'row_seed': train.seed, 'skip': []}
