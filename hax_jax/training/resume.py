"""What a run may change when it goes on, and what would make it another run."""

import difflib
from typing import Any

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.runs import run_folder

# May change when a run goes on: how long, how often, where, what is watched.
FREE = {
    'train.num_steps',
    'train.num_epochs',
    'train.log_every_steps',
    'train.eval_every_steps',
    'train.num_sample_questions',
    'train.sample_max_new_tokens',
    'train.checkpoint_every_steps',
    'train.keep_last',
    'train.keep_best',
    'train.patience',
    'train.max_minutes',
    'train.tensorboard',
    'train.wandb_project',
    'train.layer_metrics_every_steps',
    'train.profile_steps',
    'data.path',
    'data.reader',
    'model.pretrained',
    'tokenizer.path',
}
# May never change: another value is another run. data and base are held by their hash.
FIXED = {
    *(f'model.{name}' for name in run_folder.SIZES),
    'model.pad_vocab_to_multiple_of',
    'lora.rank',
    'lora.alpha',
    'lora.rslora',
    'lora.dora',
    'lora.targets',
    'optimizer.lr_multipliers',  # what is frozen has no moments to go on with
    'data.seq_len',
    'data.question_weight',
    'data.long_answers',
}


def changes(
    then: dict[str, Any],
    now: dict[str, Any],
    config_then: schema.Config,
    config_now: schema.Config,
    *,
    allow_change: list[str],
) -> list[str]:
    """What a run that goes on changes, a line each; configs have sizes resolved.

    Raises:
      InputError: names everything that would make it another run, and every field that
        needs --allow_change.
    """
    old = convert.flatten(convert.to_dict(config_then))
    new = convert.flatten(convert.to_dict(config_now))
    if not then['dataset']:  # imported: nothing but the model is settled yet
        settled = ('model.', 'lora.')
        old = {name: old[name] for name in FIXED if name.startswith(settled)}
        then = {**then, 'dataset': now['dataset']}
    problems, out = [], []
    for name, value in new.items():
        if old.get(name, value) == value:
            continue
        change = f'{name}: {old[name]!r} -> {value!r}'
        if name in FIXED:
            problems.append(f'{change}: another value is another run.')
        elif name in FREE or name in allow_change:
            out.append(change)
        else:
            problems.append(f'{change}: say --allow_change={name} if you mean it.')
    for name, what in (
        ('tokenizer', 'the tokenizer'),
        ('template', 'the prompt template'),
        ('dataset', 'the dataset'),
    ):
        if then[name] != now[name] and not problems:
            problems.append(
                f'{what} is not the one that the run was started with '
                f'({then[name][:16]} then, {now[name][:16]} now).'
            )
    if then['base'].get('hash') != now['base'].get('hash'):
        problems.append(
            f'the base {now["base"].get("path")!r} is not the model that the run was '
            f'started from, {then["base"].get("path")!r} (by its hash); if that one '
            'moved, set model.pretrained to where it is.'
        )
    if problems:
        raise errors.InputError(
            'this workdir holds a run that differs:\n'
            + '\n'.join(problems)
            + '\nFor another run use another --workdir; to start from the parameters '
            'of this one, give its workdir as model.pretrained.'
        )
    return out


def check_names(allow_change: list[str], run: schema.Config) -> None:
    """Raises InputError for each name that is no field, or may never change."""
    fields = convert.flatten(convert.to_dict(run))
    problems = []
    for name in allow_change:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f'; did you mean {near[0]}?' if near else '.'
            problems.append(f'--allow_change={name} is not a field of the config{hint}')
        elif name in FIXED:
            problems.append(f'--allow_change={name}: this may never change in a run.')
    if problems:
        raise errors.InputError('\n'.join(problems))
