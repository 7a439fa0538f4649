"""A run's model as a folder for others: written, read back, compared with the run."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, model_card, peft_adapter, peft_config, pretrained
from hax_jax.model import gpt2, lora
from hax_jax.runs import restore, run_folder

FORMATS = ('hf', 'merged', 'peft')
_NUM_PROBES = 3  # rows
_PROBE_LENGTH = 64
_VERSIONS = ('jax', 'flax', 'transformers', 'tokenizers', 'safetensors')


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
    """What was written; `notes` are what the folder's reader must know."""

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

    The folder is read back, and its logits must be those of the run's own model, its
    adapters unmerged, in float32.

    Raises:
      InputError: there is no such run or step, the format is not for it, or `output`
        can't be made.
      MismatchError: the folder is not the run; it was kept as `output`.mismatch.
    """
    folder, target = pathlib.Path(workdir), pathlib.Path(output).expanduser()
    run = run_folder.read_run(folder)
    problems = [
        *hf_folder.output_problems(target),
        *_format_problems(folder, run, format),
    ]
    if run['template'] != text.TEMPLATE_VERSION:  # the card gives the template's words
        problems.append(
            f'{folder} was trained with the prompt template {run["template"]!r}, and '
            f'this version writes {text.TEMPLATE_VERSION!r}; export it with the '
            'version that trained it.'
        )
    if problems:
        raise errors.InputError('\n'.join(problems))
    parts = restore.parts(workdir, step=step, base=base)
    tokenizer = text.load_tokenizer(str(folder / run_folder.TOKENIZER))
    own = probe_logits(_build(parts, parts.parameters))
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
                raise hf_folder.MismatchError(
                    f'the logits of the folder differ from those of {folder} by '
                    f'{comparison.largest:.3g} at {comparison.where}; at most '
                    f"{comparison.tolerance:.3g} is float32's own noise."
                )
        except hf_folder.MismatchError as error:
            raise hf_folder.MismatchError(
                f'{error}\nWhat was written is kept in {_keep(new, target)} for a '
                f'look, and {target} was not made. It is a defect of hax_jax: report '
                f'it with {folder}/config.json and {folder}/run.json.'
            ) from error
    return Exported(parts, comparison, notes)


def probe_logits(model: gpt2.Gpt2) -> Float[np.ndarray, 'B T V']:
    """A model's float32 logits on rows of random ids.

    The rows have the first positions, the last, and some of all.
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
    with jax.default_matmul_precision('highest'):  # else bfloat16 or TF32 somewhere
        hidden = model(
            jnp.asarray(ids), jnp.asarray(positions), jnp.ones(ids.shape, jnp.int32)
        )
        features, table = model.head(hidden)
        return np.asarray(features @ table.T, np.float32)


def compare(
    own: Float[np.ndarray, 'B T V'], written: Float[np.ndarray, 'B T V']
) -> Comparison:
    """Compares logits to 1e-4, or of larger ones to 1e-5 of the largest.

    float32 keeps 24 bits, and merging rounds otherwise in each layer, in proportion to
    what is computed: with GPT-2's 124M sizes, rank 16, random numbers, logits up to 7
    differed by 1.6e-5 and logits up to 88, as GPT-2 has, by 2.0e-4. What is wrong (a
    layout, a scale, a lost adapter) differs by far more. What is not finite agrees with
    nothing.
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
    if format not in FORMATS:
        return [f'--format={format!r} is not accepted; use one of {FORMATS}.']
    if rank and format == 'hf':
        return [
            f'--format=hf is of runs that trained every parameter, and {folder} '
            f'trained adapters (lora.rank={rank}); use --format=merged for a full '
            'folder with the adapters in it, or --format=peft for the adapters alone.'
        ]
    if not rank and format != 'hf':
        return [
            f'--format={format} is of runs that trained adapters, and {folder} trained '
            'every parameter (lora.rank=0); use --format=hf.'
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
    card = model_card.make(
        folder.resolve().name,
        model_card.run_facts(
            run,
            run_folder.read_config(folder),
            step=parts.step,
            why=parts.why,
            validation_loss=parts.validation_loss,
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
        ),
        base_name=base_name,
        adapter=format == 'peft',
        max_new_tokens=hf_folder.max_new_tokens(parts.model),
    )
    if format == 'hf':
        return hf_folder.write_hugging_face(
            new, parts.model, parts.parameters, tokenizer, card=card
        )
    if format == 'merged':
        model = lora.merged_model(parts.model, parts.lora)
        return hf_folder.write_hugging_face(
            new, model, parts.merged(), tokenizer, card=card
        )
    peft_adapter.write(
        new,
        parts.lora,
        parts.parameters,
        parts.model,
        base_name=base_name,
        base_hash=parts.base.hash,
    )
    # As in write_hugging_face: others may read what they may read beside it.
    shutil.copymode(new / peft_config.FILE, new / peft_adapter.SAFETENSORS)
    notes = hf_folder.write_tokenizer(
        new, tokenizer, n_positions=parts.model.n_positions
    )
    if lora.HEAD in parts.lora.targets and parts.model.tie_embeddings:
        notes.append(
            "this adapter is of the head too, and the base's head is its token "
            "embeddings: peft's merge_and_unload would change both and make another "
            'model. Use the adapter unmerged, or export the run with --format=merged.'
        )
    files.write_text(new / model_card.FILE, model_card.with_notes(card, notes))
    return notes


def _build(
    parts: restore.Parts,
    parameters: dict[str, np.ndarray],
    settings: schema.LoraConfig | None = None,
) -> gpt2.Gpt2:
    """The run's model of these parameters, beside those of its base if it has one."""
    if parts.lora.rank:
        parameters = {**parts.base.parameters, **parameters}
    return restore.build(
        parts.model, parameters, lora_settings=settings or parts.lora, dtype='float32'
    )


def _read_back(new: pathlib.Path, parts: restore.Parts, format: str) -> gpt2.Gpt2:
    """The model of the written folder.

    Raises:
      MismatchError: there is none.
    """
    try:
        if format == 'peft':
            adapter = peft_adapter.read(new, parts.model)
            return _build(parts, adapter.parameters, adapter.settings)
        model = pretrained.read_model_config(new)
        parameters = pretrained.load_parameters(new, model)
    except errors.InputError as error:
        raise hf_folder.MismatchError(
            f"what was written can't be read back: {error}"
        ) from error
    return restore.build(model, parameters, dtype='float32')


def _keep(new: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Renames the folder to a name beside `target` that nothing has."""
    kept, number = target.with_name(f'{target.name}.mismatch'), 1
    while os.path.lexists(kept):
        number += 1
        kept = target.with_name(f'{target.name}.mismatch{number}')
    new.rename(kept)
    return kept
