"""Writes a run's model as a folder for other software, and compares it with the run."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hax_jax import errors, files, places, sha256sums
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, hf_tokenizer, model_card, peft_adapter
from hax_jax.model import gpt2, lora, lora_merge
from hax_jax.program import output_file
from hax_jax.runs import restore, run_folder

_NUM_PROBES = 3  # rows
_PROBE_LENGTH = 64


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The largest difference between two models' logits on the probe rows."""

    largest: float
    tolerance: float
    where: str

    @property
    def agrees(self) -> bool:
        return self.largest <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Exported:
    """A written folder; `notes` are for those who use it."""

    parts: restore.Parts
    comparison: Comparison
    notes: list[str]


def write(
    workdir: str, output: str, *, format: str, step: int | None = None, base: str = ''
) -> Exported:
    """Writes a run's model to the folder `output`, whole or not at all.

    `format` is 'hf' (all parameters of a run that trained all), 'merged' (all of a LoRA
    run, adapters merged) or 'peft' (a LoRA run's adapter). `step` and `base` are those
    of `restore.parts`.

    Reads the folder back: its logits must equal those of the run's own model, its
    adapters not merged, in float32.

    Raises:
      InputError: there is no such run or step, the format does not fit the run, or
        `output` can't be made.
      MismatchError: the folder differs from the run; it is kept as `output`.mismatch.
    """
    folder, target = places.path(workdir), pathlib.Path(output).expanduser()
    run = run_folder.read_run(folder)
    problems = output_file.new_folder('output', target)
    problems += _format_problems(folder, run, format)
    if run['template'] != text.TEMPLATE_VERSION:  # the card shows the template
        problems.append(
            f'{folder} was trained with the prompt template {run["template"]!r}, and '
            f'this version writes {text.TEMPLATE_VERSION!r}; export it with the '
            'version that trained it.'
        )
    if problems:
        raise errors.InputError('\n'.join(problems))
    parts = restore.parts(workdir, step=step, base=base)
    tokenizer = run_folder.load_tokenizer(folder, run)
    own = probe_logits(_build(parts, parts.parameters, parts.lora))
    if not np.isfinite(own).all():
        raise errors.InputError(
            f'{folder} at step {parts.step} gives logits that are not finite; export '
            'another of its steps with --step=N.'
        )
    with files.new_folder(target) as new:
        try:
            notes = _fill(new, folder, run, parts, tokenizer, format=format)
            comparison = compare(own, probe_logits(_read_back(new, parts, format)))
            if not comparison.agrees:
                raise errors.MismatchError(
                    f'the logits of the folder differ from those of {folder} by '
                    f'{comparison.largest:.3g} at {comparison.where}; at most '
                    f"{comparison.tolerance:.3g} is float32's own noise."
                )
        except errors.MismatchError as error:
            raise errors.MismatchError(
                f'{error}\nThe written folder is kept as {_keep(new, target)}, and '
                f'{target} was not made. This is a defect of hax_jax: report it with '
                f'{folder}/config.json and {folder}/run.json.'
            ) from error
    return Exported(parts, comparison, notes)


def probe_logits(model: gpt2.Gpt2) -> Float[np.ndarray, 'B T V']:
    """A model's float32 logits on rows of random ids.

    The rows have the first positions, the last, and positions spread over all.
    """
    sizes = model.model
    length = min(_PROBE_LENGTH, sizes.n_positions)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, sizes.vocab_size, (_NUM_PROBES, length))
    positions = np.stack(
        [
            np.arange(length),
            np.arange(sizes.n_positions - length, sizes.n_positions),
            np.linspace(0, sizes.n_positions - 1, length).astype(int),
        ]
    )
    with jax.default_matmul_precision('highest'):  # not bfloat16 or TF32
        hidden = model(
            jnp.asarray(ids), jnp.asarray(positions), jnp.ones(ids.shape, jnp.int32)
        )
        features, table = model.head(hidden)
        return np.asarray(features @ table.T, np.float32)


def compare(
    own: Float[np.ndarray, 'B T V'], written: Float[np.ndarray, 'B T V']
) -> Comparison:
    """Compares logits to within 1e-4, or 1e-5 of the largest logit if that is more.

    float32 keeps 24 bits, and merging changes the rounding in each layer, in proportion
    to the numbers: with GPT-2's 124M sizes, rank 16 and random numbers, logits up to 7
    differed by 1.6e-5 and logits up to 88, as GPT-2 has, by 2.0e-4. A wrong layout or
    scale or a lost adapter differs by far more. Logits that are not finite never agree.
    """
    difference = np.abs(own - written)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    row, place, token = np.unravel_index(np.argmax(difference), difference.shape)
    return Comparison(
        largest=float(difference[row, place, token]),
        tolerance=max(1e-4, 1e-5 * float(np.nan_to_num(np.abs(own)).max())),
        where=f'row {row}, place {place} of the probe, logit of id {token} '
        f'({own[row, place, token]:.6g} in the run, '
        f'{written[row, place, token]:.6g} in the folder)',
    )


def _format_problems(
    folder: pathlib.Path, run: dict[str, Any], format: str
) -> list[str]:
    rank = run_folder.lora_config(run).rank
    if format not in schema.EXPORT_FORMATS:
        return [
            f'--format={format!r} is not accepted; use one of {schema.EXPORT_FORMATS}.'
        ]
    if rank and format == 'hf':
        return [
            f'--format=hf is for runs that trained every parameter, and {folder} '
            f'trained adapters (lora.rank={rank}); use --format=merged for a full '
            'folder with the adapters in it, or --format=peft for the adapters alone.'
        ]
    if not rank and format != 'hf':
        return [
            f'--format={format} is for runs that trained adapters, and {folder} '
            'trained every parameter (lora.rank=0); use --format=hf.'
        ]
    return []


def _fill(
    new: pathlib.Path,
    folder: pathlib.Path,
    run: dict[str, Any],
    parts: restore.Parts,
    tokenizer: text.Tokenizer,
    *,
    format: str,
) -> list[str]:
    """Writes all files of the format; returns notes."""
    base = run['base']
    base_name = ''
    if base:
        is_run = base['step'] is not None
        base_name = model_card.short_name(base['path'], is_run=is_run)
    facts = model_card.run_facts(
        run,
        run_folder.read_config(folder),
        step=parts.step,
        why=parts.why,
        validation_loss=parts.validation_loss,
    )
    n_positions = parts.model.n_positions
    card = model_card.make(
        folder.resolve().name,
        facts,
        n_positions=n_positions,
        base_name=base_name,
        adapter=format == 'peft',
    )
    if format != 'peft':
        model = lora_merge.merged_model(parts.model, parts.lora)
        return hf_folder.write(new, model, parts.merged(), tokenizer, card=card)
    peft_adapter.write(
        new,
        parts.lora,
        parts.parameters,
        parts.model,
        base_name=base_name,
        base_hash=parts.base.hash,
    )
    notes = hf_tokenizer.write(new, tokenizer, n_positions=n_positions)
    if lora.HEAD in parts.lora.targets and parts.model.tie_embeddings:
        notes.append(
            "this adapter is of the head too, and the base's head is its token "
            "embeddings: peft's merge_and_unload would change both and make another "
            'model. Use the adapter unmerged, or export the run with --format=merged.'
        )
    files.write_text(new / model_card.FILE, model_card.with_notes(card, notes))
    sha256sums.write(new)
    return notes


def _build(
    parts: restore.Parts, parameters: dict[str, np.ndarray], settings: schema.LoraConfig
) -> gpt2.Gpt2:
    """The run's model of these parameters, beside those of its base if it has one."""
    if settings.rank:
        parameters = {**parts.base.parameters, **parameters}
    return restore.build(
        parts.model, parameters, lora_settings=settings, dtype='float32'
    )


def _read_back(new: pathlib.Path, parts: restore.Parts, format: str) -> gpt2.Gpt2:
    """The model of the written folder; MismatchError if it can't be read."""
    try:
        if format == 'peft':
            adapter = peft_adapter.read(new, parts.model)
            return _build(parts, adapter.parameters, adapter.settings)
        model = hf_folder.read_model_config(new)
        parameters = hf_folder.read_parameters(new, model)
    except errors.InputError as error:
        raise errors.MismatchError(
            f"the written folder can't be read back: {error}"
        ) from error
    return restore.build(model, parameters, dtype='float32')


def _keep(new: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Renames the folder to a free name beside `target`."""
    kept, number = target.with_name(f'{target.name}.mismatch'), 1
    while os.path.lexists(kept):
        number += 1
        kept = target.with_name(f'{target.name}.mismatch{number}')
    new.rename(kept)
    return kept
