"""An exported folder, anyone's GPT-2 folder, or an adapter: examined by itself.

The model reads texts like those that it learned, or else a plain English letter, which
any GPT-2 of English should know.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.doctor import data_checks, diagnosis, input_checks, model_checks
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers
from hax_jax.formats import hf_folder, peft_adapter, pretrained
from hax_jax.measures import measure_model, measure_rows, measure_weights
from hax_jax.model import abstract, lora, lora_merge, loss, param_tree

LETTER = (
    'My sister and I have not spoken since our mother moved in with her. I offered '
    'to help with the money, and she said that it was never about the money. I '
    'think she wanted me to come over on the weekends, but I live four hours away '
    'and I have two children and a job. Now my mother calls me every night and '
    'tells me that my sister is angry. I do not know what to say to either of them. '
    'Should I just drive up there one Saturday and knock on the door, or should I '
    'wait until she is ready to talk? I love them both, and I am afraid that if I '
    'wait too long it will be too late.\n\n'
    'Go and see her. Call first, tell her when you will be there, and do not bring '
    'up the money. Ask her what a week in her house looks like, and listen until '
    'she has finished. Then pick one thing that you can do from four hours away, '
    'such as the doctor, the bills, or a nurse for two nights of the month, and do '
    'it every time. It is not fair that she does the rest, so tell her that you '
    'know that.'
)
_USUAL_UNIGRAM = 0.75  # of ln(vocabulary), for English of 1,000 to 50,000 tokens
_PADDING = 128  # a model's table may be padded up to a multiple of this


def examine(
    folder: pathlib.Path,
    adapter: pathlib.Path | None = None,
    texts: Sequence[str] = (),
    *,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[diagnosis.Finding], dict[str, Any]]:
    """The findings of a folder, or of an adapter on it, and their numbers.

    The model reads `texts`, a row each, or without any the letter. `say` hears what
    comes next.

    Raises:
      InputError: a file is missing or damaged, or is not of a GPT-2.
    """
    model = hf_folder.read_model_config(folder, field='--folder')
    say('the weights')
    parameters = hf_folder.read_parameters(folder, model)
    tokenizer = None
    numbers: dict[str, Any] = {
        'pretrained': True,
        'ln_vocab': math.log(max(model.vocab_size, 2)),
        'unigram_entropy': _USUAL_UNIGRAM * math.log(max(model.vocab_size, 2)),
        'model_vocab': model.vocab_size,
        'learned_such_texts': bool(texts),
        **measure_weights.contents(parameters),
    }
    try:
        tokenizer = text.load_tokenizer(str(folder))
    except errors.InputError as error:
        numbers['tokenizer_problem'] = str(error)
    else:
        numbers |= _of_tokenizer(tokenizer)
        told = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
        numbers['config_eos'] = told.get('eos_token_id')
        numbers['tokenizer_eos'] = tokenizer.eos_id
    if tokenizer is not None and tokenizer.vocab_size <= model.vocab_size:
        rows, spans = _rows(model, tokenizer, texts or [LETTER])
        numbers |= _of_weights(model, parameters, rows, spans, say=say)
        if adapter is not None:
            say('the adapter')
            numbers |= _of_adapter(adapter, model, parameters, rows, spans)
    return diagnosis.roots(diagnosis.run(CHECKS, numbers)), numbers


def _of_tokenizer(tokenizer: text.Tokenizer) -> dict[str, Any]:
    (ids,) = tokenizer.encode([LETTER])
    pieces = [tokenizer.decode([i]) for i in ids]
    return {
        'tokenizer_size': tokenizer.vocab_size,
        'round_trip': tokenizer.decode(ids) == LETTER,
        'byte_piece_share': sum('\ufffd' in piece for piece in pieces) / len(ids),
        'bytes_per_token': len(LETTER.encode()) / len(ids),
    }


def _rows(
    model: schema.ModelConfig, tokenizer: text.Tokenizer, texts: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[tuple[int, int, int]]]:
    """The texts as rows [B, T], a segment each, and the part that each fills."""
    ids = [each[: model.n_positions + 1] for each in tokenizer.encode(list(texts))]
    spans = [(row, 0, len(each) - 1) for row, each in enumerate(ids)]
    shape = len(ids), max(end for _, _, end in spans)
    rows = {
        name: np.zeros(shape, np.int32)
        for name in ('inputs', 'targets', 'segment_ids', 'positions')
    }
    for row, _, end in spans:
        rows['inputs'][row, :end] = ids[row][:-1]
        rows['targets'][row, :end] = ids[row][1:]
        rows['segment_ids'][row, :end] = 1
        rows['positions'][row, :end] = np.arange(end)
    return rows, spans


def _of_weights(
    model: schema.ModelConfig,
    parameters: Mapping[str, np.ndarray],
    rows: dict[str, np.ndarray],
    spans: measure_model.Spans,
    *,
    say: Callable[[str], None],
) -> dict[str, Any]:
    say('what losses depend on')
    score = scorer(model, parameters)
    placed = {name: jnp.asarray(leaf) for name, leaf in parameters.items()}
    nll = score({}, rows)
    used = nll[measure_model.inside(spans, nll.shape)]
    exact = jax.default_backend() == 'cpu'

    def against(short: measure_rows.Rows) -> dict[str, Any]:
        return measure_model.against_formula(
            parameters, model, schema.LoraConfig(), short, is_exact=exact
        )

    told = measure_model.probe(
        score, rows, nll, spans, vocab_size=model.vocab_size, full=True, against=against
    )
    say('repairs of weights')
    return {
        'batch_loss': float(used.mean()),
        'losses_differ_by': float(used.std()),
        'losses_finite': bool(np.isfinite(used).all()),
        **told,
        **measure_weights.repairs(score, rows, spans, placed, model),
        **measure_weights.tied(score, rows, spans, placed),
        **measure_weights.weights(placed),
        'loss_shift': measure_model.shifts(score, rows, spans),
    }


def scorer(
    model: schema.ModelConfig, parameters: Mapping[str, np.ndarray]
) -> measure_model.Score:
    """Scores rows with a model of these parameters, in float32 on the first device."""
    made = abstract.abstract_model(
        dataclasses.replace(model, attention='xla'),
        schema.LoraConfig(),
        compute_dtype='float32',
        mesh=None,
    )

    @jax.jit
    def nll(params: Any, frozen: Any, rows: dict[str, jax.Array]) -> jax.Array:
        built = nnx.merge(made.graphdef, params, frozen)
        hidden = built(rows['inputs'], rows['positions'], rows['segment_ids'])
        features, table = built.head(hidden)
        return loss.token_nll(
            features, table, rows['targets'], vocab_size=model.vocab_size
        )[0]

    def score(replaced: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
        arrays = {**parameters, **replaced}
        trees = (
            param_tree.place_like(tree, arrays) for tree in (made.params, made.frozen)
        )
        return np.asarray(nll(*trees, {k: jnp.asarray(x) for k, x in rows.items()}))

    return score


def _of_adapter(
    folder: pathlib.Path,
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    rows: dict[str, np.ndarray],
    spans: measure_model.Spans,
) -> dict[str, Any]:
    found = peft_adapter.read(folder, model)

    def mean(model: schema.ModelConfig, arrays: Mapping[str, np.ndarray]) -> float:
        nll = scorer(model, arrays)({}, rows)
        return measure_model.mean(nll, measure_model.inside(spans, nll.shape))

    merged = lora_merge.merge(parameters, found.parameters, found.settings)
    sizes = lora_merge.merged_model(model, found.settings)
    rms = {
        name: float(np.sqrt(np.mean(np.square(leaf))))
        for name, leaf in found.parameters.items()
    }
    moved = {
        name: float(
            np.linalg.norm(merged[name] - parameters[name])
            / max(np.linalg.norm(parameters[name]), 1e-12)
        )
        for name in merged.keys() & parameters.keys()
        if merged[name] is not parameters[name]
    }
    return {
        'adapter_rms': rms,
        'adapter_scale': lora.scale(found.settings),
        'adapter_moved': max(moved.values(), default=0.0),
        'adapter_loss': mean(sizes, merged),
        'base_loss': mean(model, parameters),
        'base_matches': not found.base_hash
        or found.base_hash == pretrained.fingerprint(parameters),
    }


def vocabulary(n: Numbers) -> Finding | None:
    """The tokenizer's ids are the rows of the model's table."""
    if 'tokenizer_problem' in n:
        return Finding(
            'vocabulary',
            WARN,
            n['tokenizer_problem'][:160],
            'the folder has no tokenizer, so nobody knows what its ids mean',
            'copy the tokenizer files of the model into the folder',
            'a folder that others can use holds both',
        )
    if 'model_vocab' not in n:
        return None
    rows, ids = n['model_vocab'], n['tokenizer_size']
    evidence = f'the tokenizer has {ids:,} ids, the table of the model {rows:,} rows'
    ends, own = n.get('config_eos'), n.get('tokenizer_eos')
    if isinstance(ends, int) and own is not None and ends != own:
        return Finding(
            'vocabulary',
            FAIL,
            f'{evidence}; eos_token_id of config.json is {ends}, and EOS of the '
            f'tokenizer {own}',
            'other programs stop answers at another token than the model learned',
            f'set "eos_token_id": {own} in config.json and generation_config.json',
            'an answer ends with the EOS of its tokenizer',
        )
    if ids <= rows < ids + _PADDING:
        return diagnosis.good('vocabulary', evidence)
    return Finding(
        'vocabulary',
        FAIL,
        evidence,
        'tokens were added to the tokenizer and not to the model'
        if 0 < ids - rows < 100
        else 'the tokenizer is of another model',
        'give the tokenizer of this model, or resize its embeddings in transformers',
        'each id is a row of wte',
        (('ids', ids), ('rows', rows)),
    )


def adapter(n: Numbers) -> Finding | None:
    """An adapter does something to its base, and not harm."""
    if 'adapter_rms' not in n:
        return None
    b = {name: x for name, x in n['adapter_rms'].items() if name.endswith('.lora_b')}
    dead = [name for name, value in b.items() if not value]
    before, after = n['base_loss'], n['adapter_loss']
    evidence = (
        f'B of {len(b) - len(dead)} of {len(b)} adapters is not zero; scale '
        f'{n["adapter_scale"]:.2g}; kernels moved by up to {n["adapter_moved"]:.1%}; '
        f'loss of the texts {before:.2f} without and {after:.2f} with it'
    )
    if not n['base_matches']:
        cause = 'the adapter was trained on another base than this folder'
    elif dead:
        cause = (
            f'B of {len(dead)} adapters is zero, so they do nothing: they were never '
            'trained, or had no gradient'
        )
    elif after > before + 1.5:
        cause = (
            'the adapter harms what its base knows: the learning rate was too high, or '
            'the base is another'
        )
    else:
        return diagnosis.good('adapter', evidence)
    return Finding(
        'adapter',
        WARN if n['base_matches'] and not dead else FAIL,
        evidence,
        cause,
        'give the base that it was trained on, or train it anew',
        'lora_b begins at zero and moves with the first step',
        (('without', before), ('with', after)),
    )


CHECKS = (
    *input_checks.CHECKS,
    *model_checks.CHECKS,
    data_checks.tokenizer,
    vocabulary,
    adapter,
)
