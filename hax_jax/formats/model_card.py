"""The README.md of an exported folder: facts about the model, and how to ask it."""

import importlib.metadata
import json
import re
from typing import Any

from hax_jax import places
from hax_jax.config import schema
from hax_jax.data import text

FILE = 'README.md'
_VERSIONS = ('jax', 'flax', 'transformers', 'tokenizers', 'safetensors')
_HUB_NAME = re.compile(r'(\w[\w.-]*/)?\w[\w.-]*')
_FULL = """\
import torch
import transformers

folder = '.'  # this one
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(folder)
"""
_ADAPTER = """\
import peft
import torch
import transformers

folder = '.'  # this one
base = {base}
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(base)
model = peft.PeftModel.from_pretrained(model, folder)
"""
_ASK = """\

question = 'My neighbor borrows my ladder and forgets it. May I ask for it back?'
# Encoded apart and joined, as in training.
pieces = [{head}, question, {tail}]
ids = tokenizer(pieces, split_special_tokens=True).input_ids
ids = torch.tensor([sum(ids, [])])
out = model.generate(
    input_ids=ids,
    attention_mask=torch.ones_like(ids){settings}
)
print(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
"""
_SETTINGS = """,
    max_new_tokens={sampling.max_new_tokens},
    do_sample=True,
    temperature={sampling.temperature},
    top_k={sampling.top_k},
    top_p={sampling.top_p},
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.eos_token_id,"""


def make(
    title: str,
    facts: dict[str, str],
    *,
    n_positions: int,
    base_name: str = '',
    adapter: bool = False,
) -> str:
    """The card of a folder that transformers loads, or with `adapter` one for peft.

    `facts` become a table: {'validation loss': '2.9 nats per weighted token'}.
    `base_name` is a hub name or a last path component (`short_name`); '' is none.
    """
    base = [f'base_model: {json.dumps(base_name)}'] if base_name else []
    front = [
        '---',
        f'library_name: {"peft" if adapter else "transformers"}',
        'pipeline_tag: text-generation',
        *base,
        '---',
    ]
    cells = {n: re.sub(r'\s+', ' ', x).replace('|', r'\|') for n, x in facts.items()}
    table = ['| | |', '|---|---|']
    table += [f'| {name} | {cell} |' for name, cell in cells.items()]
    load, settings = _FULL, ','  # generation_config.json holds the settings
    if adapter:
        load = _ADAPTER.format(base=f'{base_name!r}  # where the base model lies')
        sampling = schema.SamplingConfig(max_new_tokens=max_new_tokens(n_positions))
        settings = _SETTINGS.format(sampling=sampling)
    ask = _ASK.format(head=repr(text.HEAD), tail=repr(text.TAIL), settings=settings)
    parts = [
        '\n'.join(front),
        f'# {title}',
        '\n'.join(table),
        '## How it is asked',
        f'The prompt template is `{text.TEMPLATE_VERSION}`; an answer ends with the '
        'EOS token. No space follows the last line of the prompt:',
        f'```\n{text.HEAD}{{question}}{text.TAIL}{{answer}}<EOS>\n```',
        f'```python\n{load}{ask}```',
    ]
    return '\n\n'.join(parts) + '\n'


def max_new_tokens(n_positions: int) -> int:
    """The default limit of an answer: sampling's own, or half the positions."""
    return min(schema.SamplingConfig().max_new_tokens, n_positions // 2)


def with_notes(card: str, notes: list[str]) -> str:
    """The card with the notes at its end."""
    return card + '\n## Notes\n\n' + '\n\n'.join(notes) + '\n' if notes else card


def run_facts(
    run: dict[str, Any],
    run_config: schema.Config,
    *,
    step: int,
    why: str,
    validation_loss: float | None,
) -> dict[str, str]:
    """Facts about a run, of its run.json and config.json; no text of the dataset."""
    data, train, model = run_config.data, run_config.train, run['model']
    length = f'{train.num_epochs} epochs'
    if train.num_steps:
        length = f'{train.num_steps} steps'
    loss = 'not evaluated at this step'
    if validation_loss is not None:
        loss = f'{validation_loss:.4f} nats per weighted token'
    versions = [f'{name} {importlib.metadata.version(name)}' for name in _VERSIONS]
    return {
        'model': f'GPT-2 of {model["n_layer"]} blocks, width {model["n_embd"]}; a '
        f'prompt and its answer have {model["n_positions"]} positions together',
        'base': _base(run['base']),
        'dataset': f'fingerprint {run["dataset"]}',
        'rows': f'{data.seq_len} positions; an answer token weighs 1, a question token '
        f'{data.question_weight:g}',
        'training': f'step {step} ({why}) of a run of {length}, {train.batch_size} '
        f'rows a step, learning rate {run_config.optimizer.learning_rate:g}, seed '
        f'{train.seed}',
        'validation loss': loss,
        'LoRA': lora_in_words(run_config.lora),
        'tokenizer': f'fingerprint {run["tokenizer"]}',
        'template': run['template'],
        'versions': ', '.join(versions),
    }


def short_name(path: str, *, is_run: bool) -> str:
    """A hub name as it is; the last component of a path on some machine."""
    here = places.path(path).expanduser()
    if not is_run and _HUB_NAME.fullmatch(path) and not here.exists():
        return path
    return here.resolve().name


def _base(base: dict[str, Any]) -> str:
    if not base:
        return 'none: trained from random weights'
    is_run = base['step'] is not None
    at = f', a run of hax_jax at step {base["step"]}' if is_run else ''
    name = short_name(base['path'], is_run=is_run)
    return f'{name}{at} (its parameters hash to {base["hash"]})'


def lora_in_words(settings: schema.LoraConfig) -> str:
    if not settings.rank:
        return 'no: every parameter was trained'
    root = 'sqrt(rank)' if settings.rslora else 'rank'
    return (
        f'rank {settings.rank}, alpha {settings.alpha:g}, scaled by alpha / {root}'
        f'{", DoRA" if settings.dora else ""}, dropout {settings.dropout:g}, on '
        + ', '.join(settings.targets)
    )
