"""The README.md of an exported folder: what the model is, and how it is asked."""

import json
import pathlib
import re
from typing import Any

from hax_jax.config import schema
from hax_jax.data import text

FILE = 'README.md'
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
ids = [i for piece in pieces for i in tokenizer(piece).input_ids]
ids = torch.tensor([ids])
out = model.generate(
    input_ids=ids,
    attention_mask=torch.ones_like(ids){settings}
)
print(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
"""
# Stands in for the line that makes the tokenizer, where transformers has none.
WITHOUT_TOKENIZER = """\
```python
import sentencepiece

tokenizer = sentencepiece.SentencePieceProcessor(model_file=f'{folder}/tokenizer.model')
# In place of tokenizer(piece).input_ids:
tokenizer.encode(piece.replace('\\u2581', '_'))
# In place of tokenizer.decode(..., skip_special_tokens=True):
tokenizer.decode([int(i) for i in out[0, ids.shape[1] :] if i != tokenizer.eos_id()])
```
"""


def make(
    title: str,
    facts: dict[str, str],
    *,
    base_name: str = '',
    adapter: bool = False,
    max_new_tokens: int,
) -> str:
    """The card of a folder that transformers loads, or with `adapter` one for peft.

    `facts` become a table: ('validation loss', '2.9 nats per weighted token').
    `base_name` is a hub name or a last path component (`short_name`); '' is none.
    """
    front = ['---', f'library_name: {"peft" if adapter else "transformers"}']
    front.append('pipeline_tag: text-generation')
    if base_name:
        front.append(f'base_model: {json.dumps(base_name)}')
    front.append('---')
    table = ['| | |', '|---|---|']
    table += [f'| {name} | {_cell(value)} |' for name, value in facts.items()]
    sampling = schema.SamplingConfig(max_new_tokens=max_new_tokens)
    if adapter:
        comment = '  # where the base model lies'
        load = _ADAPTER.format(base=f'{base_name!r}{comment}')
        settings = _settings(sampling)
    else:  # generation_config.json says how
        load, settings = _FULL, ','
    ask = _ASK.format(
        head=repr(text.HEAD),
        tail=repr(text.TAIL),
        settings=settings,
    )
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


def with_notes(card: str, notes: list[str]) -> str:
    """The card with what its reader must know beside it."""
    if not notes:
        return card
    return card + '\n## Notes\n\n' + '\n\n'.join(notes) + '\n'


def run_facts(
    run: dict[str, Any],
    run_config: schema.Config,
    *,
    step: int,
    why: str,
    validation_loss: float | None,
    versions: dict[str, str],
) -> dict[str, str]:
    """What a run.json and a config.json tell of a model; none of the dataset's text."""
    data, train = run_config.data, run_config.train
    model = run['model']
    facts = {
        'model': f'GPT-2 of {model["n_layer"]} blocks, width {model["n_embd"]}; a '
        f'prompt and its answer have {model["n_positions"]} positions together',
        'base': 'none: trained from random weights',
    }
    base = run['base']
    if base:
        is_run = base['step'] is not None
        at = f', a run of hax_jax at step {base["step"]}' if is_run else ''
        name = short_name(base['path'], is_run=is_run)
        facts['base'] = f'{name}{at} (its parameters hash to {base["hash"]})'
    length = (
        f'{train.num_steps} steps' if train.num_steps else f'{train.num_epochs} epochs'
    )
    facts |= {
        'dataset': f'fingerprint {run["dataset"]}',
        'rows': f'{data.seq_len} positions; an answer token weighs 1, a question token '
        f'{data.question_weight:g}',
        'training': f'step {step} ({why}) of a run of {length}, {train.batch_size} '
        f'rows a step, learning rate {run_config.optimizer.learning_rate:g}, seed '
        f'{train.seed}',
        'validation loss': 'not evaluated at this step'
        if validation_loss is None
        else f'{validation_loss:.4f} nats per weighted token',
        'LoRA': _lora(run_config.lora),
        'tokenizer': f'fingerprint {run["tokenizer"]}',
        'template': run['template'],
        'versions': ', '.join(
            f'{name} {version}' for name, version in versions.items()
        ),
    }
    return facts


def short_name(path: str, *, is_run: bool) -> str:
    """A hub name as it is; of a path on some machine, the last component alone."""
    here = pathlib.Path(path).expanduser()
    if not is_run and _HUB_NAME.fullmatch(path) and not here.exists():
        return path
    return here.resolve().name


def _lora(settings: schema.LoraConfig) -> str:
    if not settings.rank:
        return 'no: every parameter was trained'
    root = 'sqrt(rank)' if settings.rslora else 'rank'
    return (
        f'rank {settings.rank}, alpha {settings.alpha:g}, scaled by alpha / {root}'
        f'{", DoRA" if settings.dora else ""}, dropout {settings.dropout:g}, on '
        + ', '.join(settings.targets)
    )


def _settings(sampling: schema.SamplingConfig) -> str:
    return (
        f',\n    max_new_tokens={sampling.max_new_tokens},\n    do_sample=True,\n'
        f'    temperature={sampling.temperature},\n    top_k={sampling.top_k},\n'
        f'    top_p={sampling.top_p},\n    eos_token_id=tokenizer.eos_token_id,\n'
        '    pad_token_id=tokenizer.eos_token_id,'
    )


def _cell(value: str) -> str:
    return re.sub(r'\s+', ' ', value).replace('|', '\\|')
