"""A call of `train` before its first step: which run, which base, which state."""

import dataclasses
import math
import pathlib
from typing import Any

import jax

from hax_jax import errors, files, places
from hax_jax.config import schema
from hax_jax.devices import first_process, peers
from hax_jax.evaluation import history
from hax_jax.formats import pretrained
from hax_jax.runs import only_writer, origin, restore, run_folder, saved_steps
from hax_jax.training import resume, run_setup
from hax_jax.training import train_state as ts


@dataclasses.dataclass(frozen=True)
class Claim:
    """A workdir that this call may write.

    `identity` is the coming run.json. `from_step` is the checkpoint to go on from; None
    begins the run.
    """

    setup: run_setup.Setup
    workdir: pathlib.Path
    identity: dict[str, Any]
    from_step: saved_steps.StepInfo | None

    def leaving_out(self, skip: tuple[tuple[int, int], ...]) -> 'Claim':
        """The claim whose run leaves out these rows of the stream, if there are any."""
        if not skip:
            return self
        begin = dataclasses.replace(self.setup.begin, skip=skip)
        setup = run_setup.beginning_at(self.setup, begin)
        return dataclasses.replace(self, setup=setup)

    def write(self) -> None:
        """Makes the workdir the run's; called before a whole step gets its name."""
        only_writer.still_held(self.workdir)
        source = self.setup.cache.path / run_folder.TOKENIZER
        if not run_folder.has_tokenizer(self.workdir, source):
            run_folder.copy_tokenizer(source, self.workdir)
        run_folder.write(self.workdir, self.setup.run, self.identity)
        base = self.identity['base']
        if base and base['step'] is not None:
            folder = places.path(base['path']).expanduser() / run_folder.CHECKPOINTS
            _keep_base(folder / str(base['step']), self.workdir)

    def step_is_saved(self) -> None:
        """Called when a step has its name: a kill can no longer undo the run."""
        (self.workdir / run_folder.UNSAVED).unlink(missing_ok=True)


def _keep_base(step: pathlib.Path, workdir: pathlib.Path) -> None:
    """Keeps the base's step while its run goes on: the run in `workdir` needs it."""
    try:
        if step.is_dir():
            saved_steps.keep(step, workdir)
    except OSError as error:
        print(
            f'WARNING: {step} is the base of this run and can not be marked '
            f'({errors.cause(error)}): going on with that run may delete it; '
            'keep a copy',
            flush=True,
        )


def claim(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    *,
    base: str,
    allow_change: list[str],
    rolled_back: bool = False,
) -> tuple[Claim, pretrained.Base | None]:
    """Checks that `workdir` is free for this run, or is this run's already.

    Returns the pretrained parameters that the run starts, or started, from, too. Goes
    on from the newest checkpoint that is whole; each later one is named and moves into
    the folder damaged/. `rolled_back`: this call has begun the run already.

    Raises:
      InputError: the run there is another one, its base is gone, or it has no state to
        go on from.
    """
    if not is_run(workdir, say=not rolled_back):
        setup = run_setup.beginning_at(setup, run_setup.Progress())
        source = _find_base(setup, workdir, None, base)
        if jax.process_index() == 0:
            run_folder.mark_unsaved(workdir, setup.run)
        return Claim(setup, workdir, _identity(setup, source), None), source
    then, now, source, changed = _compared(setup, workdir, base, allow_change)
    config = run_folder.read_config(workdir)
    newest, passed_over = newest_whole(workdir, then)
    setup = run_setup.beginning_at(setup, resume.progress(newest, config))
    _check_length(setup, workdir, changed, allow_change)
    for line in changed:
        print(f'changed: {line}', flush=True)
    if jax.process_index() == 0:
        _pass_over(workdir, newest, passed_over)
    if not then['id']:
        then = _with_digests(setup, workdir, then)
    identity = {
        **then,
        'base': now['base'],
        'dataset': now['dataset'],
        'changes': then['changes'] + changed,
    }
    return Claim(setup, workdir, identity, newest), source


def check_config(
    run: schema.Config, workdir: pathlib.Path, allow_change: list[str]
) -> None:
    """Raises InputError if a config is of another run than the one in `workdir`.

    Its model's sizes are not known yet: nothing is read but the config there.
    """
    if (workdir / 'run.json').exists():
        then = run_folder.read_run(workdir)
        resume.changes(
            then,
            run_folder.read_config(workdir),
            run,
            allow_change=allow_change,
            with_sizes=False,
        )


def check(
    setup: run_setup.Setup,
    workdir: pathlib.Path | None,
    *,
    base: str,
    allow_change: list[str],
) -> None:
    """Refuses, and keeps nothing, what `claim` would refuse: for a plan.

    Raises:
      InputError: the base's files are damaged or not of its model, or the run in
        `workdir` is another one.
    """
    if workdir and is_run(workdir):
        *_, changed = _compared(setup, workdir, base, allow_change)
        _check_length(setup, workdir, changed, allow_change)
    else:
        _identity(setup, _find_base(setup, workdir or pathlib.Path(), None, base))


def _compared(
    setup: run_setup.Setup, workdir: pathlib.Path, base: str, allow_change: list[str]
) -> tuple[dict[str, Any], dict[str, Any], pretrained.Base | None, list[str]]:
    """(run.json, the coming one, the base, what changed) of a run that goes on."""
    then = run_folder.read_run(workdir)
    config = run_folder.read_config(workdir)
    changed = resume.changes(then, config, setup.run, allow_change=allow_change)
    try:
        source = _find_base(setup, workdir, then, base)
    except errors.InputError as error:
        was, asked = config.model.pretrained, setup.run.model.pretrained
        if base or was == asked:
            raise
        raise errors.InputError(
            f'model.pretrained: {was!r} -> {asked!r}, which is not the base of the run '
            f'in {workdir}; give another run a --workdir of its own.\n{error}'
        ) from error
    now = _identity(setup, source)
    resume.check_identity(then, now, setup.run)
    return then, now, source, changed


def progress(workdir: pathlib.Path) -> run_setup.Progress:
    """What the run in `workdir` has trained; nothing where no run is.

    Raises:
      InputError: there is a run, and no state of it to go on from.
    """
    if not (workdir / 'run.json').exists() or not is_run(workdir):
        return run_setup.Progress()
    newest, _ = newest_whole(workdir, run_folder.read_run(workdir))
    return resume.progress(newest, run_folder.read_config(workdir))


def is_run(workdir: pathlib.Path, *, say: bool = True) -> bool:
    """Whether a run with a saved step lies in `workdir`; False if none was begun.

    `say`: a line tells of one that begins again.

    Raises:
      InputError: something of a run lies there, but not its state.
    """
    left = [name for name in places.TRACES if (workdir / name).exists()]
    steps = saved_steps.step_folders(workdir / run_folder.CHECKPOINTS)
    if (workdir / run_folder.UNSAVED).exists() and not steps:
        if left and say:
            print(
                f'the last call in {workdir} ended before its first checkpoint: the '
                'run begins again',
                flush=True,
            )
        return False
    if not left:
        return False
    if not steps:
        raise errors.InputError(
            f'{workdir} has {", ".join(left)} of a run, and no checkpoint. Copy '
            f'{run_folder.CHECKPOINTS}/ from a backup, or {_ANEW}'
        )
    if 'run.json' not in left:
        raise errors.InputError(
            f'{workdir} has checkpoints of a run whose run.json is missing. Copy it '
            f'from a backup, or {_ANEW}'
        )
    return True


_ANEW = (
    'begin anew with --restart (in Python restart=True), which moves the old files '
    'aside.'
)


def newest_whole(
    workdir: pathlib.Path, run: dict[str, Any]
) -> tuple[saved_steps.StepInfo, list[str]]:
    """The newest checkpoint that is whole, and a line for each later one that is not.

    All processes of a run give the same checkpoint: the first looks.

    Raises:
      InputError: no checkpoint is whole.
    """
    steps = saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, run['id'])
    passed_over: list[str] = []

    def look() -> int | None:
        found, lines = saved_steps.first_whole(reversed(steps))
        passed_over.extend(lines)
        return found.step if found else None

    step = first_process.decided(look, int | None)
    if step is None:
        raise errors.InputError(
            f'{run_folder.none_whole(workdir, passed_over)}\nOr {_ANEW}'
        )
    return next(info for info in steps if info.step == step), passed_over


def _pass_over(
    workdir: pathlib.Path, newest: saved_steps.StepInfo, passed_over: list[str]
) -> None:
    """Moves each step after the newest whole one into damaged/, which is said."""
    for line in passed_over:
        print(f'WARNING: {line}', flush=True)
    for path in saved_steps.step_folders(newest.path.parent):
        if int(path.name) > newest.step:
            kept = files.aside(path, workdir / run_folder.DAMAGED)
            print(f'{path} was moved to {kept}; its steps are made again', flush=True)


def _with_digests(
    setup: run_setup.Setup, workdir: pathlib.Path, run: dict[str, Any]
) -> dict[str, Any]:
    """The run.json of an older version's run, with an id.

    Its steps get digests, and the rows that they had trained.
    """
    config = run_folder.read_config(workdir)
    named = {**run, 'schema': run_folder.SCHEMA, 'id': run_folder.new_id()}
    if jax.process_index() == 0:
        steps = saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, '')
        for info in steps:
            if not info.problem:
                rows = resume.progress(info, config).to_metadata()
                info = dataclasses.replace(info, metadata={**info.metadata, **rows})
                saved_steps.write_record(info.path, info, named['id'])
        source = setup.cache.path / run_folder.TOKENIZER  # it has the same fingerprint
        run_folder.copy_tokenizer(source, workdir)
        run_folder.write(workdir, config, named)
        print(
            f'{workdir} is of an older version: its files have digests now', flush=True
        )
    peers.from_first('written')
    return named if first_process.is_here() else run_folder.read_run(workdir)


def past(claim: Claim) -> history.History:
    """The evaluations up to the state that this call goes on from."""
    newest = claim.from_step
    if newest is None:
        return history.History()
    folder = claim.workdir / run_folder.CHECKPOINTS
    saved = saved_steps.list_steps(folder, claim.identity['id'])
    return history.read(newest.metadata, [(s.step, s.validation_loss) for s in saved])


def first_state(claim: Claim, base: pretrained.Base | None) -> ts.TrainState:
    """The state that this call goes on from.

    It is drawn, or the base's, or the checkpoint's that the claim names.
    """
    setup, newest = claim.setup, claim.from_step
    state = ts.create(
        setup.blueprint,
        seed=setup.run.train.seed,
        base=base.parameters if base else None,
    )
    return resume.restored(setup, state, newest) if newest else state


def _identity(setup: run_setup.Setup, source: pretrained.Base | None) -> dict[str, Any]:
    return origin.identity(
        setup.run,
        source,
        tokenizer=setup.cache.meta['tokenizer'],
        template=setup.cache.meta['template'],
        dataset=setup.cache.fingerprint,
    )


def _find_base(
    setup: run_setup.Setup, workdir: pathlib.Path, then: dict | None, base: str
) -> pretrained.Base | None:
    named = setup.run.model.pretrained
    if base and not named:
        raise errors.InputError(
            f'--base={base} has no effect: model.pretrained is not set. Leave it out.'
        )
    if not named:
        return None
    if base and base != named and not then:
        raise errors.InputError(
            f'--base={base} says where the base of a run lies now, and this run only '
            f'begins; give --config.model.pretrained={base} in its place.'
        )
    if then and then.get('base'):
        return restore.load_run_base(workdir, base=base or named)
    if then and then.get('imported'):
        return None  # its parameters are in its checkpoints
    return restore.load_base(named)


def _check_length(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    changed: list[str],
    allow_change: list[str],
) -> None:
    """Raises InputError if the run is past its new end, or changes after its end."""
    train, begin = setup.run.train, setup.begin
    if begin.step > setup.num_steps:
        raise errors.InputError(
            f'{workdir} has done {begin.step} steps already, and the config asks for '
            f'{setup.num_steps}; give --config.train.num_steps={begin.step} or more.'
        )
    asked = run_setup.rows_asked(setup.run, setup.cache)
    # The last batch of an epoch may hold rows of the next one.
    if train.num_epochs and begin.rows - train.batch_size >= asked:
        least = math.ceil(100 * begin.rows / setup.cache.num_rows('train')) / 100
        raise errors.InputError(
            f'{workdir} has trained {begin.rows} rows already, and train.num_epochs='
            f'{train.num_epochs} asks for {asked}; give '
            f'--config.train.num_epochs={least} or '
            'more.'
        )
    allowed = [line for line in changed if line.split(':')[0] in allow_change]
    if begin.step == setup.num_steps and allowed:
        longer = 'train.num_epochs' if train.num_epochs else 'train.num_steps'
        raise errors.InputError(
            f'{workdir} has done all its {begin.step} steps, so nothing would be '
            f'trained with {"; ".join(allowed)}; raise {longer} too.'
        )
