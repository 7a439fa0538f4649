"""The commands that go on with a run which stopped by itself."""

import pathlib
import shlex
from collections.abc import Sequence

from hax_jax import places
from hax_jax.config import schema
from hax_jax.guards import stops

_HIGHEST_RATE = 1e-3  # of configs/


def advice(
    error: stops.StoppedError,
    arguments: Sequence[str],
    run: schema.Config,
    workdir: pathlib.Path,
) -> str:
    """What to type next, each command on a line of its own.

    `arguments` are those that the program was started with.
    """
    lower = _with_lower_rate(arguments, run, is_run=error.saved is not None)
    if isinstance(error, stops.DivergedError):
        if error.is_on_disk and error.saved is None:
            lower.append('--restart')
        words = f'Go on with a lower learning rate:\n  {_command(lower)}'
        if error.is_on_disk and error.saved is not None:
            step = f'{workdir}/checkpoints/{error.step}'
            move = ['gcloud', 'storage', 'mv'] if places.is_remote(workdir) else ['mv']
            aside = shlex.join([*move, step, f'{workdir}/damaged-{error.step}'])
            words = f'Take that step out of the run:\n  {aside}\n{words}'
        return words
    lines = []
    spike = 'spike' in error.found.kind
    if not error.tried:
        field = 'on_spike' if spike else 'on_bad_step'
        skipped = _set(arguments, {f'train.{field}': 'skip'})
        lines += ['Go on without that update:', f'  {_command(skipped)}']
    lines += ['Go on with a lower learning rate:', f'  {_command(lower)}']
    replay = [*_drop(arguments, 'restart'), f'--replay={error.found.step}']
    lines += ['See the loss and gradient of its pairs:', f'  {_command(replay)}']
    return '\n'.join(lines)


def _with_lower_rate(
    arguments: Sequence[str], run: schema.Config, *, is_run: bool
) -> list[str]:
    """The arguments with a tenth of the rate, and 1e-3 at most.

    The final rate goes with it where it would be over it. A run that goes on needs
    leave for both.
    """
    settings = run.optimizer
    rate = min(settings.learning_rate / 10, _HIGHEST_RATE)
    fields = {'optimizer.learning_rate': rate}
    if settings.final_learning_rate > rate:
        share = settings.final_learning_rate / settings.learning_rate
        fields['optimizer.final_learning_rate'] = rate * share
    changed = _set(arguments, {name: f'{value:.6g}' for name, value in fields.items()})
    return _allow(changed, list(fields)) if is_run else changed


def _set(arguments: Sequence[str], fields: dict[str, str]) -> list[str]:
    """The arguments with these fields of the config, and without --restart."""
    given = tuple(f'--config.{name}=' for name in fields)
    kept = [each for each in _drop(arguments, 'restart') if not each.startswith(given)]
    return [*kept, *(f'--config.{name}={value}' for name, value in fields.items())]


def _allow(arguments: Sequence[str], names: list[str]) -> list[str]:
    """The arguments with one --allow_change: what it had, and `names`."""
    allowed, kept, queue = [], [], list(arguments)
    while queue:
        argument = queue.pop(0)
        name, equals, value = argument.partition('=')
        if name.lstrip('-') != 'allow_change':
            kept.append(argument)
        else:
            allowed += (value if equals else queue.pop(0)).split(',')
    allowed += [name for name in names if name not in allowed]
    return [*kept, f'--allow_change={",".join(allowed)}']


def _drop(arguments: Sequence[str], flag: str) -> list[str]:
    """The arguments without a flag that is true or false."""
    return [
        each
        for each in arguments
        if each.partition('=')[0].lstrip('-') not in (flag, f'no{flag}')
    ]


def _command(arguments: Sequence[str]) -> str:
    return shlex.join(['python', '-m', 'launch.train', *arguments])
