"""preferences/: the preference pairs of a dataset as TRL's trainers read them.

    README.md          what they are: counts, rule, form; also names files and columns
                       for `datasets.load_dataset('…/preferences')`
    <split>.jsonl      {"prompt": …, "chosen": …, "rejected": …, "score_chosen": …, …}
    SHA256SUMS         of both

Texts are plain where no source is a conversation: the prompt is then the question in
this project's template, so that prompt and answer are what a model was trained on. If
one is, all are lists of messages, since a column has one type; the chat template that
exports have makes the same texts of them.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from data_pipeline.preferences import choosing
from hax_jax import files, sha256sums
from hax_jax.data import records, text

FOLDER = 'preferences'
CARD = 'README.md'
_FACTS = ('source', 'group', 'id_chosen', 'id_rejected')
_USE = """\
## Use

```python
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer

data = load_dataset('preferences', split='train')
DPOTrainer('EXPORTED_MODEL', args=DPOConfig(), train_dataset=data).train()
```
"""
_MESSAGES = """\
    list:
    - name: role
      dtype: string
    - name: content
      dtype: string
"""


def row(made: choosing.Preference, *, as_messages: bool) -> dict[str, Any]:
    """A preference in TRL's explicit-prompt form, with its scores and its source."""
    values: dict[str, Any]
    if as_messages:
        roles = ('user', 'assistant')
        values = {
            'prompt': [
                {'role': roles[i % 2], 'content': said}
                for i, said in enumerate(made.prompt)
            ],
            'chosen': [{'role': 'assistant', 'content': made.chosen}],
            'rejected': [{'role': 'assistant', 'content': made.rejected}],
        }
    else:
        (question,) = made.prompt
        values = {
            'prompt': f'{text.HEAD}{question}{text.TAIL}',
            'chosen': made.chosen,
            'rejected': made.rejected,
        }
    for name in ('score_chosen', 'score_rejected'):
        score = getattr(made, name)
        whole = score is not None and float(score).is_integer()
        values[name] = int(score) if whole else score
    return values | {name: getattr(made, name) for name in _FACTS}


def write(
    folder: pathlib.Path,
    of: Callable[[str], Iterator[choosing.Preference]],
    account: dict[str, Any],
) -> dict[str, Any]:
    """Writes preferences/ into a dataset's folder; returns the manifest's entry.

    `account` is that of `choosing.Preferences.choose`. A split without preferences has
    no file.

    Raises:
      ValueError: other numbers were written than the account has, a defect of this
        program.
    """
    path = folder / FOLDER
    path.mkdir()
    entry: dict[str, Any] = {}
    for split in records.SPLITS:
        digest = hashlib.sha256()
        count = 0
        wanted = account['kept'][split]['pairs']
        if wanted:
            with open(path / f'{split}.jsonl', 'wb') as file:
                for made in of(split):
                    values = row(made, as_messages=bool(account['conversations']))
                    line = json.dumps(values, ensure_ascii=False) + '\n'
                    file.write(line.encode())
                    digest.update(line.encode())
                    count += 1
        if count != wanted:
            raise ValueError(f'{count} preferences of {split}, not {wanted}')
        entry[split] = {'pairs': count, 'sha256': digest.hexdigest()}
    files.write_text(path / CARD, card(account))
    sha256sums.write(path)
    return entry


def card(account: dict[str, Any]) -> str:
    """The dataset's card, with the files and columns as `datasets` reads them."""
    kept = {name: each for name, each in account['kept'].items() if each['pairs']}
    as_messages = bool(account['conversations'])
    column = _MESSAGES if as_messages else '    dtype: string\n'
    lines = ['---\nconfigs:\n- config_name: default\n  data_files:\n']
    lines += [f'  - split: {name}\n    path: {name}.jsonl\n' for name in kept]
    lines += ['dataset_info:\n  features:\n']
    for name in ('prompt', 'chosen', 'rejected'):
        lines.append(f'  - name: {name}\n{column}')
    for name in ('score_chosen', 'score_rejected'):
        lines.append(f'  - name: {name}\n    dtype: float64\n')
    for name in _FACTS:
        lines.append(f'  - name: {name}\n    dtype: string\n')
    lines.append('---\n' if kept else '')
    head = ''.join(lines) if kept else ''
    rule = account['settings']
    later = 'came later and ' if rule['later'] else ''
    most = rule['most_per_question']
    form = (
        'Prompts and answers are lists of messages; the chat template of the '
        "project's exports makes the texts of them that its models were trained on."
        if as_messages
        else 'The prompt is the question in the template of this project, so that '
        'prompt and answer together are what its models were trained on; for another '
        f'model remove {json.dumps(text.HEAD)} before and {json.dumps(text.TAIL)} '
        'behind the question.'
    )
    table = [
        f'| {name} | {each["pairs"]:,} | {each["questions"]:,} |'
        for name, each in account['kept'].items()
    ]
    dropped = [
        f'| {why.replace("|", "/")} | {n:,} |' for why, n in account['dropped'].items()
    ]
    return (
        f'{head}# Preference pairs\n\n'
        'A prompt with a better and a worse answer, for training by preferences (DPO '
        'and its kin) after a model was trained on the pairs of the dataset.\n\n'
        '| split | preference pairs | questions |\n|---|---|---|\n'
        + '\n'.join(table)
        + '\n\n## The rule\n\n'
        f'Of two answers to one question, the better one {later}has at least '
        f'{rule["ratio"]:g} times the votes of the worse one, whose votes count as 1 '
        'if they are fewer (SHP: Ethayarajh et al., ICML 2022). Where a row names a '
        'chosen and a rejected answer, or ranks or rates its answers, its word counts '
        '(the best is preferred to each lower one). '
        + (f'A question has at most {most:,} pairs, the clearest. ' if most else '')
        + 'A pair is in the split of its question, and no question is in two splits. '
        'Both answers went through the cleaning and the quality rules of the dataset.'
        f'\n\n{form}\n\n'
        + (
            '| dropped because | pairs |\n|---|---|\n' + '\n'.join(dropped) + '\n\n'
            if dropped
            else ''
        )
        + (_USE if kept else '')
    )
