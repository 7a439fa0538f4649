"""The checkpoints that a program was asked for, each as a Generator on all devices."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from hax_jax import errors, places
from hax_jax.program import later

with later.imports():
    import jax

    from hax_jax.config import schema
    from hax_jax.data import text
    from hax_jax.devices import mesh, same_run
    from hax_jax.runs import restore, run_folder
    from hax_jax.sampling import generation


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A run's checkpoint, and why it was chosen."""

    workdir: str
    step: int
    why: str


@dataclasses.dataclass(frozen=True)
class Model:
    generator: generation.Generator
    tokenizer: text.Tokenizer
    n_positions: int


def devices(tensor: int) -> mesh.Mesh:
    """All devices, so many of which share one copy of a model.

    Raises:
      InputError: so many do not divide the devices.
    """
    count = jax.device_count()
    if count % tensor:
        raise errors.InputError(
            f'--tensor={tensor} does not divide the {count} devices here; give a '
            'divisor of their number, such as 1.'
        )
    return mesh.make_mesh(schema.MeshConfig(tensor=tensor))


def check(workdirs: Sequence[str], step: int | None) -> None:
    """Raises InputError, as `choose`, where no path is a run: JAX is not imported."""
    paths = [places.path(run_folder.split_step(given)[0]) for given in workdirs]
    if not any(places.is_remote(p) or (p / 'run.json').exists() for p in paths):
        choose(workdirs, step)


def choose(workdirs: Sequence[str], step: int | None) -> list[Chosen]:
    """The checkpoint of each `PATH` or `PATH@STEP`; `step` goes with a sole PATH.

    Raises:
      InputError: names each path that is no run, has no checkpoint, or occurs twice.
    """
    chosen: list[Chosen] = []
    problems = []
    if not workdirs:
        problems.append('--workdir is missing; give the folder of a run.')
    if step is not None and len(workdirs) > 1:
        problems.append(
            f'--step={step} does not say which of {len(workdirs)} runs; write '
            '--workdir=PATH@STEP.'
        )
    for given in workdirs if not problems else ():
        path, own_step = run_folder.split_step(given)
        if step is not None and own_step is not None:
            problems.append(
                f'--workdir={given} and --step={step} both name a step; give one.'
            )
            continue
        try:
            run_folder.read_run(places.path(path))
            at = restore.find_step(
                places.path(path), own_step if step is None else step
            )
        except errors.InputError as error:
            problems.append(str(error))
            continue
        found = Chosen(path, at.step, at.why)
        if _key(found) in map(_key, chosen):
            problems.append(f'--workdir={given} is step {found.step} again; remove it.')
        chosen.append(found)
    errors.refuse(problems)
    return chosen


def load(chosen: Chosen, *, base: str, on: jax.sharding.Mesh) -> Model:
    """The checkpoint's model: whole on each device, or its parts where tensor > 1.

    Raises:
      InputError: as `restore.load`; or the processes have not the same checkpoint.
    """
    at = restore.find_step(places.path(chosen.workdir), chosen.step)
    same_run.compare(at.info.digests or {}, remedy=same_run.SAME_FILES)
    mesh = on if on.size > 1 else None
    loaded = restore.load(chosen.workdir, step=chosen.step, base=base, mesh=mesh)
    return Model(
        generator=generation.Generator(loaded.model, loaded.tokenizer, mesh=on),
        tokenizer=loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
    )


def _key(chosen: Chosen) -> tuple[pathlib.Path, int]:
    """One key for all spellings of a folder's path."""
    return places.path(chosen.workdir).resolve(), chosen.step
