"""Loads a run or a pretrained model that is not in training, and evaluates it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hax_jax import errors, places
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.devices import runtime, same_run
from hax_jax.evaluation import eval_step, evaluate
from hax_jax.model import abstract, attention, naming, param_tree
from hax_jax.runs import origin, restore, run_folder


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to evaluate, before a weight is read.

    `run` has the model's sizes, and the data settings that its rows are packed with.
    `step` is None for a Hugging Face folder. `dataset` is the fingerprint of the rows
    that a run was trained on, '' where there are none; `digests` are those of a
    checkpoint's files, if it has any.
    """

    path: str
    step: int | None
    why: str
    run: schema.Config
    tokenizer: text.Tokenizer
    dataset: str
    base: str = ''
    digests: dict[str, str] | None = None

    @property
    def name(self) -> str:
        return self.path if self.step is None else f'{self.path} at step {self.step}'


def of_run(workdir: str, *, step: int | None = None, base: str = '') -> Candidate:
    """A run at `step`, else at its best step, else at its latest.

    Raises:
      InputError: there is no such run or step, or it knows another prompt template.
    """
    folder = places.path(workdir)
    identity = run_folder.read_run(folder)
    restore.check_template(folder, identity)
    chosen = restore.find_step(folder, step)
    return Candidate(
        path=workdir,
        step=chosen.step,
        why=chosen.why,
        run=run_folder.read_config(folder),
        tokenizer=run_folder.load_tokenizer(folder, identity),
        dataset=identity['dataset'],
        base=base,
        digests=chosen.info.digests,
    )


def of_pretrained(path: str, *, batch_size: int) -> Candidate:
    """A Hugging Face folder or hub name, with its own tokenizer.

    Raises:
      InputError: there is none at `path`, it is a run, or it lacks its tokenizer.
    """
    source = origin.find_source(path)
    if source.is_run:
        raise errors.InputError(
            f'--pretrained={path} is a run of launch.train; give it as --workdir.'
        )
    run = schema.Config(
        data=schema.DataConfig(seq_len=min(1024, source.model.n_positions)),
        model=schema.ModelConfig(pretrained=path),
        train=schema.TrainConfig(batch_size=batch_size),
    )
    run, tokenizer_path = origin.resolve(run)
    tokenizer = text.load_tokenizer(tokenizer_path)
    run = origin.with_vocab(run, tokenizer)
    return Candidate(path, None, 'as it is', run, tokenizer, '')


def named(given: str, *, base: str = '', batch_size: int = 8) -> Candidate:
    """A run's FOLDER or FOLDER@STEP, else a Hugging Face folder or hub name.

    Raises:
      InputError: as `of_run` and `of_pretrained`.
    """
    path, step = run_folder.split_step(given)
    if step is not None or (places.path(path) / 'run.json').exists():
        return of_run(path, step=step, base=base)
    return of_pretrained(path, batch_size=batch_size)


def all_different(candidates: list[Candidate]) -> list[Candidate]:
    """The models. Raises InputError if two of them are one."""
    names = {(places.path(c.path).resolve(), c.step) for c in candidates}
    if len(names) < len(candidates):
        raise errors.InputError(
            f'both models are {candidates[0].path}'
            + (f' at step {candidates[0].step}' if candidates[0].step else '')
            + '; give another model as the second, or another --step.'
        )
    return candidates


@dataclasses.dataclass(frozen=True)
class Scored:
    """An evaluation, and notes on how it was made that are worth a line each."""

    evaluation: evaluate.Evaluation
    notes: list[str]


def score(
    candidate: Candidate,
    cache: records.PackedCache,
    split: str,
    *,
    batch_size: int = 0,
    on_batch: Callable[[], None] = lambda: None,
) -> Scored:
    """Evaluates a split; `cache` has the rows of the candidate's tokenizer.

    The program, the batches and the unmerged adapters are those of training, so the
    same machine gives a run's own numbers to the last bit. If the run's mesh, attention
    or batch size is not possible here, a note names the substitute.
    `batch_size` 0 is the run's own. `on_batch` is called after each batch.
    """
    run, notes = candidate.run, []
    mesh = _mesh(run, notes)
    wanted, shards = _batch_size(run, batch_size), mesh_lib.num_batch_shards(mesh)
    batch_size = wanted + -wanted % shards
    if batch_size != wanted:
        notes.append(f'batches of {batch_size} rows, not {wanted}: {shards} devices')
    implementation = _attention(run, cache.seq_len, notes)
    dtype = origin.compute_dtype(run)
    with jax.set_mesh(mesh):
        described = abstract.abstract_model(
            dataclasses.replace(run.model, attention=implementation),
            run.lora,
            compute_dtype=dtype,
            mesh=mesh,
        )
        score_batch = eval_step.make_eval_step(described, mesh=mesh)
        params, frozen = _placed(described, candidate)

        def score_step(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
            scores = jax.device_get(score_batch(params, frozen, batch))
            on_batch()
            return scores

        evaluation = evaluate.evaluate(
            score_step,
            cache,
            split,
            sharding=mesh_lib.batch_sharding(mesh),
            batch_size=batch_size,
        )
    now = {
        **runtime.environment(),
        'compute_dtype': dtype,
        'attention': implementation,
        'mesh': dict(mesh.shape),
    }
    different = runtime.differences(_environment(candidate, now), now)
    if different:
        notes.append(
            'evaluated elsewhere than trained, so equal to metrics.jsonl up to float '
            'noise: ' + '; '.join(different)
        )
    return Scored(evaluation, notes)


def num_batches(
    candidate: Candidate, cache: records.PackedCache, split: str, *, batch_size: int
) -> int:
    """About how many batches `score` makes, for a progress bar."""
    return -(-cache.num_rows(split) // _batch_size(candidate.run, batch_size))


def _batch_size(run: schema.Config, batch_size: int) -> int:
    return batch_size or run.train.batch_size // run.train.grad_accum_steps


def _mesh(run: schema.Config, notes: list[str]) -> Mesh:
    try:
        return mesh_lib.make_mesh(run.mesh)
    except errors.InputError as error:
        notes.append(f"on all devices as mesh.data=-1, not on the run's mesh: {error}")
        return mesh_lib.make_mesh(schema.MeshConfig())


def _attention(run: schema.Config, seq_len: int, notes: list[str]) -> str:
    settings = {
        'seq_len': seq_len,
        'head_dim': run.model.n_embd // run.model.n_head,
        'attn_pdrop': run.model.attn_pdrop,
        'compute_dtype': origin.compute_dtype(run),
    }
    try:
        return attention.resolve(run.model.attention, **settings).name
    except errors.InputError as error:
        chosen = attention.resolve('auto', **settings).name
        notes.append(f"model.attention={chosen!r} instead of the run's: {error}")
        return chosen


def _placed(described: abstract.AbstractModel, candidate: Candidate) -> tuple[Any, Any]:
    """(params, frozen) on the devices; each device gets only its own shard."""
    if candidate.step is None:
        base = restore.load_base(candidate.path)
        same_run.compare({candidate.path: base.hash}, remedy=same_run.SAME_FILES)
        arrays = base.parameters
    else:
        same_run.compare(candidate.digests or {}, remedy=same_run.SAME_FILES)
        found = restore.parts(candidate.path, step=candidate.step, base=candidate.base)
        arrays = found.parameters
        if found.base is not None:
            arrays = {**found.base.parameters, **arrays}
    arrays = naming.pad_vocab(arrays, candidate.run.model)
    return (
        param_tree.place_like(described.params, arrays),
        param_tree.place_like(described.frozen, arrays),
    )


def _environment(candidate: Candidate, now: dict[str, Any]) -> dict[str, Any]:
    """The environment recorded at the run's step; `now` if none was recorded."""
    if candidate.step is None:
        return now
    found = restore.find_step(places.path(candidate.path), candidate.step)
    return found.info.metadata.get('environment', now)
