"""The checkpoints that a program was asked for, each as a Generator on all devices."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import jax
from flax import nnx
from jax.sharding import Mesh

from hax_jax import errors
from hax_jax.data import text
from hax_jax.devices import mesh
from hax_jax.model import gpt2, param_tree
from hax_jax.runs import checkpoint, restore, run_folder
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


def choose(workdirs: Sequence[str], step: int | None) -> list[Chosen]:
    """The checkpoint of each `PATH` or `PATH@STEP`; `step` is that of a sole PATH.

    Raises:
      InputError: names all that are no runs, have no checkpoint, or are there twice.
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
        path, own_step = _split(given)
        if step is not None and own_step is not None:
            problems.append(
                f'--workdir={given} and --step={step} both name a step; give one.'
            )
            continue
        try:
            found = _find(path, own_step if step is None else step)
        except errors.InputError as error:
            problems.append(str(error))
            continue
        if _key(found) in map(_key, chosen):
            problems.append(f'--workdir={given} is step {found.step} again; remove it.')
        chosen.append(found)
    if problems:
        raise errors.InputError('\n'.join(problems))
    return chosen


def load(chosen: Chosen, *, base: str, on: Mesh) -> Model:
    """The checkpoint's model: whole on each device, or its parts where tensor > 1.

    Raises:
      InputError: as `restore.load`.
    """
    loaded = restore.load(chosen.workdir, step=chosen.step, base=base)
    model = _spread(loaded.model, on) if on.shape['tensor'] > 1 else loaded.model
    return Model(
        generator=generation.Generator(model, loaded.tokenizer, mesh=on),
        tokenizer=loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
    )


def _split(given: str) -> tuple[str, int | None]:
    """'runs/a@200' -> ('runs/a', 200), unless a folder has that whole name."""
    match = re.fullmatch(r'(.+)@(\d+)', given)
    if match is None or pathlib.Path(given).exists():
        return given, None
    return match[1], int(match[2])


def _key(chosen: Chosen) -> tuple[pathlib.Path, int]:
    """The same for a folder however it is written."""
    return pathlib.Path(chosen.workdir).resolve(), chosen.step


def _find(workdir: str, step: int | None) -> Chosen:
    folder = pathlib.Path(workdir)
    run_folder.read_run(folder)
    path = folder / run_folder.CHECKPOINTS
    steps = []
    if path.is_dir():
        with checkpoint.Checkpoints(path, read_only=True) as checkpoints:
            steps = checkpoints.steps()
    if not steps:
        raise errors.InputError(
            f'{folder} has no checkpoint yet; let launch.train reach one.'
        )
    if step is None:
        return Chosen(workdir, *run_folder.choose_step(steps))
    there = sorted(s.step for s in steps)
    if step not in there:
        raise errors.InputError(
            f'{folder} has no checkpoint of step {step}; it has '
            f'{", ".join(map(str, there))}.'
        )
    return Chosen(workdir, step, 'as asked')


def _spread(model: gpt2.Gpt2, on: Mesh) -> gpt2.Gpt2:
    graphdef, params = nnx.split(model)
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: jax.device_put(
            x, mesh.parameter_sharding(on, param_tree.dotted(path), x.shape)
        ),
        params,
    )
    return nnx.merge(graphdef, params)
