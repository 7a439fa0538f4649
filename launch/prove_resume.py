"""Shows that a run which is killed and started again is the run that nothing stopped.

    python -m launch.prove_resume --config=configs/scratch_small.py \\
        --config.data.path=data/sample_base --kills=20
    python -m launch.prove_resume --config=configs/gpt2_lora.py \\
        --config.data.path=data/advice --steps=60 --kills=50 --output=proof

It calls launch.train as you would: once without a stop, then again and again in one
workdir, killed at random moments: anywhere in a call, before its first step, in its
steps, in its saves. Of six signals four are SIGKILL, one SIGTERM, one Ctrl-C. A call
that ends by itself before its signal counts as no kill: its run is compared, and
another begins. After the last kill the run goes on to its end.

Compared bit by bit, at the end of each killed run: the loss, gradient norm, weight and
token count of every step, evaluations, samples, parameters, moments, and the metadata
of checkpoints. Which rows a step trained on is written nowhere; from equal parameters,
other rows have another loss and gradient, so the losses of all steps show their order.

Prints one line: "bit-equal after 20 kills ..." (exit code 0) or the first difference
(exit code 1).
"""

from __future__ import annotations

import dataclasses
import pathlib
import signal
import sys
import tempfile
from typing import Any

from absl import flags

from hax_jax import counted, errors, files
from hax_jax.program import entry, later, output_file, progress, results
from launch import shared_flags

with later.imports():
    import jax

    from hax_jax.config import schema
    from hax_jax.data import dataset_folder
    from hax_jax.proof import killed_run

_FEWEST_CHECKPOINTS = 3
# Fields of `train` that both runs have, whatever the config says.
_FIXED = {
    'num_epochs': 0.0,
    'log_every_steps': 1,
    'max_minutes': 0.0,
    'tensorboard': False,
    'wandb_project': '',
    'profile_steps': '',
}

shared_flags.CONFIG.define()
_KILLS = flags.DEFINE_integer('kills', 20, 'How many calls to kill.')
_STEPS = flags.DEFINE_integer(
    'steps',
    24,
    'Steps of each run. It saves 6 times and evaluates 4 times, unless '
    '--config.train.checkpoint_every_steps and eval_every_steps say otherwise.',
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the moments of the kills.')
_OUTPUT = flags.DEFINE_string(
    'output',
    '',
    "A new folder for both runs, the calls' output (log.txt) and report.json; without "
    'it they are kept only if a difference is found.',
)


def main() -> int:
    run = shared_flags.CONFIG.value()
    train = _train_fields(run)
    problems = errors.gathered(
        lambda: _check(train), lambda: dataset_folder.read_manifest(run.data.path)
    )
    errors.refuse(problems)  # before JAX is imported
    jax.config.update('jax_platforms', 'cpu')  # the accelerator is the children's
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell starts what is in its background without Ctrl-C; a child would be too.
        signal.signal(signal.SIGINT, lambda *_: None)
    with tempfile.TemporaryDirectory(prefix='prove_resume_') as temporary:
        output = pathlib.Path(_OUTPUT.value or f'{temporary}/proof')
        with files.new_folder(output) as folder:
            proof = _prove(
                _command(run, train), folder, train['checkpoint_every_steps']
            )
        if proof.failure and not _OUTPUT.value:
            output = output.rename(f'{temporary}.different')
    print(_verdict(proof), flush=True)
    results.give({'verdict': _verdict(proof), **dataclasses.asdict(proof)})
    if proof.failure or _OUTPUT.value:
        entry.say(f'both runs, log.txt and report.json are in {output}')
    return 1 if proof.failure else 0


def _train_fields(run: schema.Config) -> dict[str, Any]:
    """The fields of `train` that both runs have in place of the config's own."""
    steps = _STEPS.value
    cadence = {
        'checkpoint_every_steps': max(1, steps // 6),
        'eval_every_steps': max(1, steps // 4),
    }
    for name in cadence.keys() & _given():
        cadence[name] = getattr(run.train, name)
    return {'num_steps': steps, **_FIXED, **cadence}


def _given() -> set[str]:
    """The fields of `train` that the command line sets."""
    named = (argument.split('=')[0] for argument in sys.argv)
    start = '--config.train.'
    return {name.removeprefix(start) for name in named if name.startswith(start)}


def _check(train: dict[str, Any]) -> None:
    """Raises InputError, naming every flag that is wrong."""
    problems = shared_flags.no_sizes(_KILLS, _STEPS)
    for name in sorted({'num_steps', *_FIXED} & _given()):
        instead = 'give --steps' if name.startswith('num_') else 'remove it'
        problems.append(
            f'--config.train.{name} is set by launch.prove_resume itself; {instead}.'
        )
    every = train['checkpoint_every_steps']
    if 0 < _STEPS.value < _FEWEST_CHECKPOINTS * every:
        problems.append(
            f'--steps={_STEPS.value} with a checkpoint every {every} steps makes under '
            f'{_FEWEST_CHECKPOINTS} checkpoints; give '
            f'--steps={_FEWEST_CHECKPOINTS * every} or more.'
        )
    if _SEED.value < 0:
        problems.append(f'--seed={_SEED.value} is not accepted; use 0 or more.')
    if _OUTPUT.value:
        problems += output_file.new_folder('output', pathlib.Path(_OUTPUT.value))
    errors.refuse(problems)


def _command(run: schema.Config, train: dict[str, Any]) -> list[str]:
    """launch.train with this call's config, all but its --workdir."""
    given = [argument for argument in sys.argv[1:] if argument.startswith('--config')]
    changed = [
        f'--config.train.{name}={value}'
        for name, value in train.items()
        if getattr(run.train, name) != value
    ]
    # A run can't warm up for longer than it lasts.
    if run.optimizer.warmup_steps >= _STEPS.value:
        changed.append(f'--config.optimizer.warmup_steps={_STEPS.value // 4}')
    names = {argument.partition('=')[0] for argument in changed}
    given = [each for each in given if each.partition('=')[0] not in names]
    return [sys.executable, '-m', 'launch.train', *given, *changed]


def _prove(
    command: list[str], folder: pathlib.Path, checkpoint_every: int
) -> killed_run.Proof:
    """Fills the folder with both runs, their log and the report."""
    entry.say(f'1 of 2: {_STEPS.value} steps that nothing stops')
    try:
        proof = killed_run.unbroken(command, folder)
    except killed_run.CallError as error:
        raise errors.InputError(
            f'launch.train ended with code {error.code} before anything was killed: '
            f'{error}'
        ) from error
    entry.say(
        f'2 of 2: {_KILLS.value} kills; a whole call takes '
        f'{progress.duration(proof.pace.whole)}'
    )
    with progress.Progress('killing', _KILLS.value, 'kill', say=entry.say) as shown:
        killed_run.kill(
            proof,
            command,
            folder,
            kills=_KILLS.value,
            checkpoint_every=checkpoint_every,
            seed=_SEED.value,
            on_kill=lambda hit: shown.add(1, f'{hit.signal} after step {hit.logged}'),
        )
    report = {'verdict': _verdict(proof), 'command': command, 'seed': _SEED.value}
    files.write_json(folder / 'report.json', report | dataclasses.asdict(proof))
    return proof


def _verdict(proof: killed_run.Proof) -> str:
    kills = counted.of(len(proof.kills), 'kills')
    if proof.failure:
        return f'DIFFERENT after {kills}: {proof.failure}'
    last = proof.runs[-1]
    saving = sum(bool(hit.saving) for hit in proof.kills)
    return (
        f'bit-equal after {kills} ({saving} of them during a save) of '
        f'{counted.of(len(proof.runs), "runs")}: {last.losses} losses, '
        f'{last.evaluations} evaluations, {last.samples} samples and {last.tensors} '
        f'tensors in {len(last.checkpoints)} checkpoints'
    )


if __name__ == '__main__':
    entry.run(main, prepare=shared_flags.CONFIG.check, in_one_process=True)
