"""Going on with a run: what it may change, and its state from a checkpoint."""

from typing import Any

from flax import nnx

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.devices import runtime
from hax_jax.runs import checkpoint, origin, saved_steps
from hax_jax.training import optimizer, run_setup
from hax_jax.training import train_state as ts

# Fields that may change when a run goes on: length, cadence, places, reports.
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
    'train.on_bad_step',
    'train.on_spike',
    'train.patience',
    'train.patience_min_delta',
    'train.max_minutes',
    'train.hang_timeout_seconds',
    'train.tensorboard',
    'train.wandb_project',
    'train.layer_metrics_every_steps',
    'train.recheck_every_steps',
    'train.profile_steps',
    'data.path',
    'data.reader',
    'model.pretrained',
    'tokenizer.path',
    'tokenizer.add_tokens',
}
# Fields that may never change: another value is another run. Hashes hold data and base.
FIXED = {
    *(f'model.{name}' for name in origin.SIZES),
    'model.pad_vocab_to_multiple_of',
    'lora.rank',
    'lora.alpha',
    'lora.rslora',
    'lora.dora',
    'lora.targets',
    'optimizer.lr_multipliers',  # frozen parameters have no moments to go on with
    'data.seq_len',
    'data.question_weight',
    'data.long_answers',
}


def changes(
    then: dict[str, Any],
    config_then: schema.Config,
    config_now: schema.Config,
    *,
    allow_change: list[str],
    with_sizes: bool = True,
) -> list[str]:
    """The changed fields of a run that goes on, a line each.

    `with_sizes` says that both configs have their sizes resolved; else the fields of
    the model and its tokenizer are not compared.

    Raises:
      InputError: names every field that would make it another run, and every one that
        needs --allow_change.
    """
    old = convert.flatten(convert.to_dict(config_then))
    new = convert.flatten(convert.to_dict(config_now))
    if not then['dataset']:  # imported: nothing but the model is settled yet
        settled = ('model.', 'lora.')
        old = {name: old[name] for name in FIXED if name.startswith(settled)}
    problems, out, unsaid = [], [], []
    for name, value in new.items():
        is_size = name.startswith(('model.', 'tokenizer.'))
        if old.get(name, value) == value or (is_size and not with_sizes):
            continue
        change = f'{name}: {old[name]!r} -> {value!r}'
        if name == 'optimizer.clip_norm' and not (old[name] and value):
            problems.append(f'{change}: the moments are stored otherwise without it.')
        elif name in FIXED:
            problems.append(f'{change}: another value is another run.')
        elif name in FREE or name in allow_change:
            out.append(change)
        else:
            problems.append(f'{change}.')
            unsaid.append(name)
    if unsaid and len(unsaid) == len(problems):
        allowed = ','.join([*allow_change, *unsaid])
        problems.append(f'If you mean that, say --allow_change={allowed}.')
    _refuse(problems)
    return out


def check_identity(
    then: dict[str, Any], now: dict[str, Any], config: schema.Config
) -> None:
    """Raises InputError if the hashes of two run.json's are not of one run."""
    problems = []
    for name, what in (
        ('tokenizer', 'the tokenizer'),
        ('template', 'the prompt template'),
        ('dataset', 'the dataset'),
    ):
        is_settled = then['dataset'] or name != 'dataset'
        if is_settled and then[name] != now[name] and not problems:
            problems.append(
                f'{what} is not the one that the run was started with '
                f'({then[name][:16]} then, {now[name][:16]} now, by data.path='
                f'{config.data.path}).'
            )
    bases = then['base'], now['base']
    if bases[0].get('hash') != bases[1].get('hash'):
        begun, asked = (
            repr(each['path']) if each.get('path') else 'no model' for each in bases
        )
        problems.append(
            f'the run was started from {begun}, and model.pretrained asks for {asked} '
            '(compared by hash); if the model moved, set --config.model.pretrained to '
            'where it is.'
        )
    _refuse(problems)


def _refuse(problems: list[str]) -> None:
    if problems:
        raise errors.InputError(
            'this workdir holds a run that differs:\n'
            + '\n'.join(problems)
            + '\nFor another run use another --workdir; to start from the parameters '
            'of this one, give its workdir as model.pretrained, and leave '
            '--config.tokenizer.path= empty, which takes its tokenizer.'
        )


def check_names(allow_change: list[str], run: schema.Config) -> None:
    """Raises InputError for each name that is no field, or may never change."""
    fields = convert.flatten(convert.to_dict(run))
    problems = []
    for name in allow_change:
        if name not in fields:
            problems.append(f'--allow_change: {convert.unknown(name, fields)}')
        elif name in FIXED:
            problems.append(
                f'--allow_change={name}: this may never change in a run; leave it out, '
                'and give another run a --workdir of its own.'
            )
    errors.refuse(problems)


def progress(info: saved_steps.StepInfo, config: schema.Config) -> run_setup.Progress:
    """What a run had trained at a checkpoint; `config` is the run's config.json.

    A checkpoint of an older version counts no rows: they are those of all its steps. An
    imported one has none of this run's data.
    """
    then, step = info.metadata, info.step
    is_imported = 'imported' in then
    if 'rows' in then:
        skip = tuple((first, last) for first, last in then['skip'])
        return run_setup.Progress(
            step, then['rows'], then['row_seed'], skip, is_imported
        )
    if is_imported:
        return run_setup.Progress(step, is_imported=True)
    train = config.train
    return run_setup.Progress(step, step * train.batch_size, train.seed)


def restored(
    setup: run_setup.Setup, state: ts.TrainState, info: saved_steps.StepInfo
) -> ts.TrainState:
    """The state of a checkpoint; `state` gives its frozen parameters."""
    then, step = info.metadata, info.step
    print(f'continuing from step {step} of {setup.num_steps}', flush=True)
    kept = then.get(checkpoint.KEPT)
    blueprint = setup.blueprint
    moving, _ = blueprint.split_held(blueprint.state.params)
    abstract = ts.checkpointed(blueprint.state) | {checkpoint.OTHER: moving}
    if kept is None or (kept == checkpoint.PLAIN and blueprint.state.average is None):
        del abstract[checkpoint.OTHER]
    if 'guarded' not in then or 'imported' in then:  # an older version has none either
        del abstract[checkpoint.GUARD]
    if 'imported' in then:
        print(
            f'the parameters are those of {then["imported"]}; the moments begin at '
            f'zero and the learning rate is that of step {step}',
            flush=True,
        )
        del abstract[checkpoint.OPTIMIZER]
        trees = checkpoint.restore(info.path, abstract)
        opt_state = optimizer.starting_at(state.opt_state, step)
    else:
        _print_differences(setup, then)
        trees = checkpoint.restore(info.path, abstract)
        opt_state = trees[checkpoint.OPTIMIZER]
    params = trees[checkpoint.PARAMS]
    guard, other = trees.get(checkpoint.GUARD), trees.get(checkpoint.OTHER)
    if kept == checkpoint.AVERAGE:
        averaged, held = blueprint.split_held(params)
        params, other = nnx.merge_state(other, held), averaged
    return ts.at_step(blueprint, step, params, state.frozen, opt_state, guard, other)


def moved_mean(train: schema.TrainConfig, before: int, now: int, *, step: int) -> str:
    """What to say of last_k's mean at `step`, where a run of `before` steps has `now`.

    '' unless the mean has begun and has other steps than the new length's last ones.
    """
    first, wanted = (max(0, n - train.average_steps) + 1 for n in (before, now))
    first = min(first, step)  # until then the average is the newest step alone
    if train.average != 'last_k' or wanted > step or first == wanted:
        return ''
    return (
        f'train.average=last_k: the mean began at step {first}, by the old length, and '
        f'should have begun at step {wanted}: it stays another one than that of the '
        f'last {train.average_steps} steps'
    )


def _print_differences(setup: run_setup.Setup, then: dict[str, Any]) -> None:
    if then['num_steps'] != setup.num_steps:
        print(
            f'the run is now {setup.num_steps} steps long, not {then["num_steps"]}: '
            'the learning rate follows the new length from here on',
            flush=True,
        )
        moved = moved_mean(
            setup.run.train, then['num_steps'], setup.num_steps, step=setup.begin.step
        )
        if moved:
            print(moved, flush=True)
    stream = setup.stream
    if stream.seed_at(stream.start) != stream.seed:
        ends = -(-stream.start // stream.num_rows) * stream.num_rows
        left = -(-stream.left(ends) // setup.run.train.batch_size)
        print(
            f'train.seed: the epoch that has begun keeps the row order of seed '
            f'{stream.begun_seed} to its end, in step {setup.begin.step + left}; the '
            f'epochs after it have that of seed {stream.seed}, and dropout has it from '
            'here on',
            flush=True,
        )
    differences = runtime.differences(then['environment'], run_setup.environment(setup))
    for line in differences:
        print(f'environment differs: {line}', flush=True)
    if differences:
        print(
            'so the run from here on equals an uninterrupted one up to float noise, '
            'not bit for bit',
            flush=True,
        )
