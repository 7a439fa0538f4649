"""Hugging Face's GPT-2 folders out: all that transformers loads, in one folder."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import safetensors
import safetensors.numpy

from hax_jax import files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import fast_tokenizer, model_card
from hax_jax.model import naming

WEIGHTS = 'model.safetensors'


class MismatchError(Exception):
    """What was written is not what was to be written; a defect, not a user's error."""


def output_problems(path: pathlib.Path) -> list[str]:
    """Why a folder can't be made at `path`, in words; empty if it can."""
    if os.path.lexists(path):
        return [f'--output={path} exists; give a new name, or move it away.']
    folder = path.parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return [f'--output={path}: {folder} is not a folder that can be written to.']
    return []


def write_hugging_face(
    folder: pathlib.Path,
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    *,
    card: str,
) -> list[str]:
    """Fills `folder`, which is there, with all that transformers loads.

    `parameters` is dotted path -> array, of a vocabulary without padding; `card` is the
    README.md (`model_card.make`). What the folder's reader must know is returned as
    notes, and added to the card.

    Raises:
      ValueError: `parameters` are not those of `model`.
      MismatchError: the folder's tokenizer, GPT-2's BPE, gives transformers other ids.
    """
    model = dataclasses.replace(model, pad_vocab_to_multiple_of=1)
    expected = naming.parameter_shapes(model)
    found = {name: array.shape for name, array in parameters.items()}
    if found != expected:
        raise ValueError(
            f'the parameters have {sorted(found.items() - expected.items())}, the '
            f'model says {sorted(expected.items() - found.items())}.'
        )
    _write_configs(folder, model, eos_id=tokenizer.eos_id)
    tensors = {
        naming.hugging_face(name): np.ascontiguousarray(parameters[name], np.float32)
        for name in expected
    }
    try:
        safetensors.numpy.save_file(tensors, folder / WEIGHTS, {'format': 'pt'})
    except safetensors.SafetensorError as error:  # the disk is full
        raise OSError(f'{folder / WEIGHTS} could not be written: {error}') from error
    # safetensors lets only its own user read it.
    shutil.copymode(folder / 'config.json', folder / WEIGHTS)
    notes = write_tokenizer(folder, tokenizer, n_positions=model.n_positions)
    files.write_text(folder / model_card.FILE, model_card.with_notes(card, notes))
    return notes


def write_tokenizer(
    folder: pathlib.Path, tokenizer: text.Tokenizer, *, n_positions: int
) -> list[str]:
    """Writes the tokenizer as transformers loads it, and compares; returns notes.

    A SentencePiece model that transformers can't follow id for id is left to
    sentencepiece: its tokenizer.json is not written.

    Raises:
      MismatchError: as `write_hugging_face`.
    """
    fast_tokenizer.write(folder, tokenizer, n_positions=n_positions)
    difference = fast_tokenizer.difference(folder, tokenizer)
    if not difference:
        return []
    if not (folder / text.SENTENCEPIECE_FILE).is_file():
        raise MismatchError(f'the tokenizer that was written differs: {difference}.')
    (folder / fast_tokenizer.JSON).unlink()
    return [
        f'{fast_tokenizer.JSON} is left out: transformers would give other ids than '
        f'sentencepiece, with which this model was trained ({difference}). Encode and '
        f'decode with {text.SENTENCEPIECE_FILE} and sentencepiece, not with '
        'AutoTokenizer, which some versions of transformers make of it by themselves:\n'
        f'\n{model_card.WITHOUT_TOKENIZER}'
    ]


def max_new_tokens(model: schema.ModelConfig) -> int:
    """How long an answer may be by default: as in sampling, or half the positions."""
    return min(schema.SamplingConfig().max_new_tokens, model.n_positions // 2)


def _write_configs(
    folder: pathlib.Path, model: schema.ModelConfig, *, eos_id: int
) -> None:
    """Writes config.json and generation_config.json."""
    import transformers  # 1 s to import

    special = {'bos_token_id': eos_id, 'eos_token_id': eos_id, 'pad_token_id': eos_id}
    transformers.GPT2Config(
        vocab_size=model.vocab_size,
        n_positions=model.n_positions,
        n_embd=model.n_embd,
        n_layer=model.n_layer,
        n_head=model.n_head,
        n_inner=model.n_inner or None,
        activation_function=model.activation,
        resid_pdrop=model.resid_pdrop,
        embd_pdrop=model.embd_pdrop,
        attn_pdrop=model.attn_pdrop,
        layer_norm_epsilon=model.layer_norm_epsilon,
        tie_word_embeddings=model.tie_embeddings,
        architectures=['GPT2LMHeadModel'],
        dtype='float32',
        **special,
    ).save_pretrained(folder)
    sampling = schema.SamplingConfig()
    transformers.GenerationConfig(
        max_new_tokens=max_new_tokens(model),
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        **special,
    ).save_pretrained(folder)
