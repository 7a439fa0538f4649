"""The README.md of an exported folder: facts about the model, and how to ask it."""

import importlib.metadata
import pathlib
import re
from typing import Any

import huggingface_hub

from hax_jax import files, places, sha256sums
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
_GGUF = """\
llama-server -m model.gguf --jinja     # an OpenAI-compatible server, with its template
ollama create advice -f Modelfile      # then: ollama run advice
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
    kind: str = 'full',
    license: str = '',
    validation_loss: float | None = None,
) -> str:
    """The card of a folder: 'full', which transformers loads, 'adapter' or 'gguf'.

    `facts` become a table: {'rows': '512 positions'}. `base_name` is a hub name or a
    path (`base_path`); '' is none. `license` is the hub's identifier, such as 'mit'.
    """
    cells = {n: re.sub(r'\s+', ' ', x).replace('|', r'\|') for n, x in facts.items()}
    table = ['| | |', '|---|---|']
    table += [f'| {name} | {cell} |' for name, cell in cells.items()]
    front = _front_matter(title, base_name, kind, license, validation_loss)
    parts = [
        f'---\n{front}\n---',
        f'# {title}',
        '\n'.join(table),
        '## How it is asked',
        f'The prompt template is `{text.TEMPLATE_VERSION}`; an answer ends with the '
        'EOS token. No space follows the last line of the prompt:',
        f'```\n{text.HEAD}{{question}}{text.TAIL}{{answer}}<EOS>\n```',
        'The chat template gives this prompt; the model has learned no system prompts.',
        _code(base_name, kind, n_positions),
    ]
    return '\n\n'.join(parts) + '\n'


def _front_matter(
    title: str, base_name: str, kind: str, license: str, loss: float | None
) -> str:
    """The hub's metadata; of a base it names the hub's alone."""
    results = None
    if loss is not None:
        results = [
            huggingface_hub.EvalResult(
                task_type='text-generation',
                dataset_type='validation',
                dataset_name='validation split of the training data',
                metric_type='loss',
                metric_name='nats per weighted token',
                metric_value=round(loss, 4),
            )
        ]
    library = {'full': 'transformers', 'adapter': 'peft', 'gguf': 'gguf'}[kind]
    return huggingface_hub.ModelCardData(
        language='en',
        license=license or None,
        library_name=library,
        pipeline_tag='text-generation',
        tags=['gpt2', 'hax_jax', 'advice'],
        base_model=None if _is_local(base_name) else base_name,
        model_name=title if results else None,
        eval_results=results,
    ).to_yaml()


def _code(base_name: str, kind: str, n_positions: int) -> str:
    """How to run the model: Python, or commands."""
    if kind == 'gguf':
        return f'```\n{_GGUF}```'
    load, settings = _FULL, ','  # generation_config.json holds the settings
    if kind == 'adapter':
        load = _ADAPTER.format(base=f'{base_name!r}  # where the base model lies')
        sampling = schema.SamplingConfig(max_new_tokens=max_new_tokens(n_positions))
        settings = _SETTINGS.format(sampling=sampling)
    ask = _ASK.format(head=repr(text.HEAD), tail=repr(text.TAIL), settings=settings)
    return f'```python\n{load}{ask}```'


def max_new_tokens(n_positions: int) -> int:
    """The default limit of an answer: sampling's own, or half the positions."""
    return min(schema.SamplingConfig().max_new_tokens, n_positions // 2)


def write(folder: pathlib.Path, card: str, notes: list[str]) -> None:
    """Writes the card, the notes at its end, and SHA256SUMS: the folder is whole."""
    text = card + '\n## Notes\n\n' + '\n\n'.join(notes) + '\n' if notes else card
    files.write_text(folder / FILE, text)
    sha256sums.write(folder)


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


def base_path(path: str, *, is_run: bool) -> str:
    """What an adapter names as its base: a hub name, or './' and a folder's last part.

    A bare name of a folder would be looked for on the hub.
    """
    name = short_name(path, is_run=is_run)
    return name if name == path and not is_run else f'./{name}'


def _is_local(base_name: str) -> bool:
    return not base_name or base_name.startswith('./')


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
