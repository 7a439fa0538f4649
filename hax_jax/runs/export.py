"""Writes a run's model as a folder for other software, and compares it with the run."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float

from hax_jax import errors, files, places
from hax_jax.config import export_request, schema
from hax_jax.data import text
from hax_jax.formats import (
    chat_template,
    gguf_file,
    gguf_tokenizer,
    hf_folder,
    hf_tokenizer,
    model_card,
    peft_adapter,
    weight_files,
)
from hax_jax.model import gpt2, lora, lora_merge
from hax_jax.program import output_file
from hax_jax.runs import restore, run_folder, same_logits

_CARDS = {'hf': 'full', 'merged': 'full', 'peft': 'adapter', 'gguf': 'gguf'}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A written folder; `notes` are for those who use it.

    `rounding` is the largest difference that a smaller dtype makes in the logits.
    """

    parts: restore.Parts
    comparison: same_logits.Comparison
    rounding: float
    notes: list[str]


def write(
    workdir: str,
    output: str,
    request: export_request.Request,
    *,
    step: int | None = None,
    base: str = '',
) -> Exported:
    """Writes a run's model to the folder `output`, whole or not at all.

    `step` and `base` are those of `restore.parts`. Reads the folder back: its logits
    must equal those of the run's own model, its adapters not merged, in float32; with
    a smaller dtype, those of the run's model whose parameters are rounded to it.

    Raises:
      InputError: there is no such run or step, the format does not fit the run, or
        `output` can't be made.
      MismatchError: the folder differs from the run; it is kept as `output`.mismatch.
    """
    folder, target = places.path(workdir), pathlib.Path(output).expanduser()
    run = run_folder.read_run(folder)
    problems = output_file.new_folder('output', target)
    problems += _request_problems(folder, run, request)
    if run['template'] != text.TEMPLATE_VERSION:  # the card shows the template
        problems.append(
            f'{folder} was trained with the prompt template {run["template"]!r}, and '
            f'this version writes {text.TEMPLATE_VERSION!r}; export it with the '
            'version that trained it.'
        )
    errors.refuse(problems)
    parts = restore.parts(workdir, step=step, base=base)
    tokenizer = run_folder.load_tokenizer(folder, run)
    if request.format == 'gguf':
        errors.refuse(gguf_file.problems(parts.model, tokenizer))
    own, rounding = _own_logits(folder, parts, request)
    with files.new_folder(target) as new:
        try:
            notes = _fill(new, folder, run, parts, tokenizer, request)
            comparison = same_logits.compare(
                own, same_logits.probe(_read_back(new, parts, request))
            )
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
    return Exported(parts, comparison, rounding, notes)


def _own_logits(
    folder: pathlib.Path, parts: restore.Parts, request: export_request.Request
) -> tuple[Float[np.ndarray, 'B T V'], float]:
    """(the logits that the folder must have, how far a smaller dtype moves them)."""
    own = same_logits.probe(_build(parts, parts.parameters, parts.lora))
    if not np.isfinite(own).all():
        raise errors.InputError(
            f'{folder} at step {parts.step} gives logits that are not finite; export '
            'another of its steps with --step=N.'
        )
    if request.dtype == 'float32':
        return own, 0.0
    if request.format == 'gguf':
        kept = gguf_file.as_stored(parts.merged(), dtype=request.dtype)
    else:
        type_ = weight_files.DTYPES[request.dtype]
        with np.errstate(over='ignore'):  # it is found below
            kept = {
                name: array.astype(type_).astype(np.float32)
                for name, array in parts.merged().items()
            }
    model = lora_merge.merged_model(parts.model, parts.lora)
    rounded = same_logits.probe(restore.build(model, kept, dtype='float32'))
    if not np.isfinite(rounded).all():
        raise errors.InputError(
            f'--dtype={request.dtype} can not hold the parameters of {folder}: its '
            'logits are not finite; use --dtype=bfloat16 or float32.'
        )
    return rounded, float(np.abs(own - rounded).max())


def _request_problems(
    folder: pathlib.Path, run: dict[str, Any], request: export_request.Request
) -> list[str]:
    rank = run_folder.lora_config(run).rank
    format = request.format
    if found := list(request.conflicts()):
        return found
    if rank and format == 'hf':
        return [
            f'--format=hf is for runs that trained every parameter, and {folder} '
            f'trained adapters (lora.rank={rank}); use --format=merged for a full '
            'folder with the adapters in it, or --format=peft for the adapters alone.'
        ]
    if not rank and format in ('merged', 'peft'):
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
    request: export_request.Request,
) -> list[str]:
    """Writes all files of the format; returns notes."""
    base = run['base']
    base_name = ''
    if base:
        base_name = model_card.base_path(base['path'], is_run=base['step'] is not None)
    facts = model_card.run_facts(
        run,
        run_folder.read_config(folder),
        step=parts.step,
        why=parts.why,
        validation_loss=parts.validation_loss,
    )
    n_positions, name = parts.model.n_positions, folder.resolve().name
    card = model_card.make(
        name,
        facts,
        n_positions=n_positions,
        base_name=base_name,
        kind=_CARDS[request.format],
        license=request.license,
        validation_loss=parts.validation_loss,
    )
    if request.format != 'peft':
        model = lora_merge.merged_model(parts.model, parts.lora)
        if request.format == 'gguf':
            return _fill_gguf(new, model, parts, tokenizer, card, request, name)
        return hf_folder.write(
            new,
            model,
            parts.merged(),
            tokenizer,
            card=card,
            dtype=request.dtype,
            max_shard_size=request.max_shard_size,
        )
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
    model_card.write(new, card, notes)
    return notes


def _fill_gguf(
    new: pathlib.Path,
    model: schema.ModelConfig,
    parts: restore.Parts,
    tokenizer: text.Tokenizer,
    card: str,
    request: export_request.Request,
    name: str,
) -> list[str]:
    """Writes model.gguf, Ollama's Modelfile and the card; returns notes."""
    notes = gguf_file.write(
        new / gguf_file.FILE,
        model,
        parts.merged(),
        tokenizer,
        dtype=request.dtype,
        name=name,
    )
    modelfile = chat_template.modelfile(
        gguf_file.FILE,
        eos=gguf_tokenizer.eos_of(new / gguf_file.FILE),
        n_positions=model.n_positions,
    )
    files.write_text(new / chat_template.MODELFILE, modelfile)
    model_card.write(new, card, notes)
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


def _read_back(
    new: pathlib.Path, parts: restore.Parts, request: export_request.Request
) -> gpt2.Gpt2:
    """The model of the written folder; MismatchError if it can't be read."""
    try:
        if request.format == 'peft':
            adapter = peft_adapter.read(new, parts.model)
            return _build(parts, adapter.parameters, adapter.settings)
        if request.format == 'gguf':
            model, parameters = gguf_file.read(new / gguf_file.FILE)
        else:
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
