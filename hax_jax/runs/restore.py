"""Parameters, adapters and whole models from a run's checkpoints.

from hax_jax.runs import restore

parameters = restore.parameters('runs/lora')                  # adapters merged
adapter = restore.parameters('runs/lora', adapter_only=True)  # lora_a, lora_b
"""

import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from hax_jax import errors, local_copy, near_names, places
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.formats import hf_folder, pretrained
from hax_jax.model import abstract, gpt2, lora, lora_merge, naming, param_tree
from hax_jax.runs import checkpoint, origin, run_folder, saved_steps


def load_base(path: str, *, step: int | None = None) -> pretrained.Base:
    """The model at `path`: a Hugging Face folder or hub name, or a run.

    A run gives its parameters at `step`, else at its best step, adapters merged.
    """
    source = origin.find_source(path)
    if source.is_run:
        found = parts(str(_local_run(source.path, step)), step=step)
        parameters, step = found.merged(), found.step
    else:
        parameters = hf_folder.read_parameters(source.path, source.model)
    digest = pretrained.fingerprint(parameters)
    return pretrained.Base(path, step, source.model, parameters, digest)


def _local_run(folder: pathlib.Path, step: int | None) -> pathlib.Path:
    """The run itself; of one at gs://, a local copy that has one step of it."""
    if not places.is_remote(folder):
        return folder
    chosen = find_step(folder, step)
    step_name = f'{run_folder.CHECKPOINTS}/{chosen.step}/'
    needed = ('run.json', 'config.json', f'{run_folder.TOKENIZER}/', step_name)
    own = (f'{run_folder.OWN_BASE}/',)
    return local_copy.folder(folder, only=needed + own)


@dataclasses.dataclass(frozen=True)
class Parts:
    """A run's trained parameters on the host, without the vocabulary's padding.

    `parameters` are all of the model's, or the adapter's, which stands on `base`; both
    are dotted path -> float32 array. `model` has the base's sizes.
    """

    model: schema.ModelConfig
    lora: schema.LoraConfig
    base: pretrained.Base | None
    parameters: dict[str, np.ndarray]
    step: int
    why: str
    validation_loss: float | None

    def merged(self) -> dict[str, np.ndarray]:
        """All parameters of `lora_merge.merged_model(model, lora)`."""
        if self.base is None:
            return self.parameters
        return lora_merge.merge(self.base.parameters, self.parameters, self.lora)


def parts(workdir: str, *, step: int | None = None, base: str = '') -> Parts:
    """A run's trained parameters at `step`, else at its best step, else its latest.

    Raises:
      InputError: there is no such run or step, or its base is not what it was.
    """
    folder = places.path(workdir)
    run = run_folder.read_run(folder)
    model, settings = run_folder.model_config(run), run_folder.lora_config(run)
    if base and not settings.rank:
        raise errors.InputError(
            f'--base={base}: {folder} trained every parameter and stands on no base; '
            'leave it out.'
        )
    shapes = naming.parameter_shapes(model)
    if settings.rank:
        shapes = lora.adapter_shapes(shapes, settings)
    chosen = find_step(folder, step)
    parameters = checkpoint.load_parameters(chosen.info.path, shapes)
    return Parts(
        model=dataclasses.replace(model, pad_vocab_to_multiple_of=1),
        lora=settings,
        base=load_run_base(folder, base=base) if settings.rank else None,
        parameters=naming.unpad_vocab(parameters, model),
        step=chosen.step,
        why=chosen.why,
        validation_loss=chosen.info.validation_loss,
    )


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A checkpoint of a run that is whole, and why this one."""

    info: saved_steps.StepInfo
    why: str

    @property
    def step(self) -> int:
        return self.info.step


def find_step(folder: pathlib.Path, step: int | None) -> Chosen:
    """The checkpoint at `step`, else the best that is whole, else the latest.

    Every byte of it has been compared with its digest. Each step that is passed over,
    being damaged, is named on standard error.

    Raises:
      InputError: the run has no checkpoint, or none at `step`, or it is damaged.
    """
    run = run_folder.read_run(folder)
    steps = saved_steps.list_steps(folder / run_folder.CHECKPOINTS, run['id'])
    if not steps:
        raise errors.InputError(
            f'{folder} has no checkpoint; let launch.train reach one, or copy '
            f'{run_folder.CHECKPOINTS}/ from a backup.'
        )
    if step is None:
        info, passed_over = saved_steps.first_whole(by_worth(steps))
        if info is None:
            raise errors.InputError(run_folder.none_whole(folder, passed_over))
        for line in passed_over:
            print(f'warning: {folder}: {line}', file=sys.stderr, flush=True)
        others_are_damaged = passed_over and info.validation_loss is not None
        of = ', of the steps that are whole' if others_are_damaged else ''
        return Chosen(info, f'{in_words(info)}{of}')
    others = ', '.join(str(info.step) for info in steps if info.step != step)
    for info in steps:
        if info.step == step:
            damage = info.damage()
            if info.is_gone():
                continue
            if damage:
                raise errors.InputError(
                    f'{folder} at step {step} is damaged: {damage}. Its other steps: '
                    f'{others or "none"}.'
                )
            return Chosen(info, 'as asked')
    near = near_names.steps(step, [info.step for info in steps])
    raise errors.InputError(f'{folder} has no checkpoint of step {step}; {near}.')


def by_worth(steps: list[saved_steps.StepInfo]) -> list[saved_steps.StepInfo]:
    """Steps in the order in which they are taken, if whole.

    The lowest validation loss first, the later of two equal ones; then those that were
    not evaluated, the latest first. Damaged records lead, so that all are spoken of.
    """

    def rank(info: saved_steps.StepInfo) -> tuple[bool, bool, float, int]:
        loss = info.validation_loss
        return not info.problem, loss is None, loss or 0.0, -info.step

    return sorted(steps, key=rank)


def in_words(info: saved_steps.StepInfo) -> str:
    """Why this is the first whole step of `by_worth`."""
    if info.validation_loss is None:
        return 'the latest that is whole; it was not evaluated'
    averaged = info.metadata.get(checkpoint.KEPT) == checkpoint.AVERAGE
    of = ' of averaged weights' if averaged else ''
    return f'the best validation loss{of}, {info.validation_loss:.4f}'


def parameters(
    workdir: str,
    *,
    step: int | None = None,
    base: str = '',
    adapter_only: bool = False,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """A run's parameters for use elsewhere: dotted path -> float32 array.

    All of them, adapters merged, or the adapter alone; numpy arrays, or jax Arrays that
    lie on `mesh` as in training, each device holding its own part.

    Raises:
      InputError: as `parts`; or `adapter_only`, and the run has no adapter.
    """
    found = parts(workdir, step=step, base=base)
    if adapter_only and not found.lora.rank:
        raise errors.InputError(
            f'{workdir} trained all parameters and has no adapter; leave out '
            'adapter_only.'
        )
    arrays = found.parameters if adapter_only else found.merged()
    if mesh is None:
        return arrays
    return {
        name: param_tree.place(
            array, mesh_lib.parameter_sharding(mesh, name, array.shape)
        )
        for name, array in arrays.items()
    }


def build(
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    *,
    lora_settings: schema.LoraConfig | None = None,
    dtype: str,
    mesh: Mesh | None = None,
) -> gpt2.Gpt2:
    """A model of these parameters on the first device, or sharded over `mesh`.

    With adapters they are the base's and the adapter's, which is not merged. Attention
    is 'xla': the implementation that trained may not run here.
    """
    described = abstract.abstract_model(
        dataclasses.replace(model, attention='xla'),
        lora_settings or schema.LoraConfig(rank=0),
        compute_dtype=dtype,
        mesh=mesh,
    )
    params = param_tree.place_like(described.params, parameters)
    frozen = param_tree.place_like(described.frozen, parameters)
    return nnx.merge(described.graphdef, params, frozen)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A run's model, adapters merged, in the run's dtype."""

    model: gpt2.Gpt2
    model_config: schema.ModelConfig
    tokenizer: text.Tokenizer
    step: int
    why: str


def load(
    workdir: str, *, step: int | None = None, base: str = '', mesh: Mesh | None = None
) -> Loaded:
    """The model of a run: at `step`, else at its best step, else at its latest.

    It lies on the first device, or sharded over `mesh`.

    Raises:
      InputError: there is no such run or step, its base is not what it was, or it knows
        another prompt template.
    """
    folder = places.path(workdir)
    run = run_folder.read_run(folder)
    check_template(folder, run)
    found = parts(workdir, step=step, base=base)
    sizes = lora_merge.merged_model(found.model, found.lora)
    dtype = origin.compute_dtype(run_folder.read_config(folder))
    model = build(sizes, found.merged(), dtype=dtype, mesh=mesh)
    return Loaded(
        model=model,
        model_config=model.model,
        tokenizer=run_folder.load_tokenizer(folder, run),
        step=found.step,
        why=found.why,
    )


def check_template(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Raises InputError if a run.json names another prompt template than this one."""
    if run['template'] != text.TEMPLATE_VERSION:
        raise errors.InputError(
            f'{folder} was trained with the prompt template {run["template"]!r}, and '
            f'this version writes {text.TEMPLATE_VERSION!r}; use the version that '
            'trained it.'
        )


def load_run_base(folder: pathlib.Path, *, base: str = '') -> pretrained.Base:
    """The base that a run was started from, checked by its hash.

    Raises:
      InputError: it is gone, or another model lies there now.
    """
    then = run_folder.read_run(folder)['base']
    own = folder / run_folder.OWN_BASE
    path = base or (str(own) if own.is_dir() else then['path'])
    try:
        found = load_base(path, step=then['step'])
    except errors.InputError as error:
        raise errors.InputError(
            f'{folder} was started from the base {then["path"]}, which must be read '
            f'again (looked at {path}): {error}\n'
            'If it moved, say where with --base=PATH; what was deleted of it must come '
            'from a backup.'
        ) from error
    if found.hash != then['hash']:
        raise errors.InputError(
            f'{path} is not the base that {folder} was started from: its parameters '
            f'hash to {found.hash[:16]}, the run has {then["hash"][:16]}; give the '
            'right one with --base=PATH.'
        )
    return found
