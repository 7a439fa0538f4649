"""The lines of metrics.jsonl again, where people look at curves."""

import importlib.util
import json
import os
import pathlib
import uuid
from typing import Any

import tensorboardX

from hax_jax import config, files

TENSORBOARD = 'tensorboard'  # this and the next lie in the workdir
WANDB = 'wandb.json'


def check(train: config.TrainConfig) -> None:
    """Raises InputError if Weights & Biases is asked for and not installed."""
    if train.wandb_project and importlib.util.find_spec('wandb') is None:
        raise config.InputError(
            f'train.wandb_project={train.wandb_project!r} needs the package wandb, '
            "which is not here; pip install wandb, or leave train.wandb_project=''."
        )


class Trackers:
    """TensorBoard and Weights & Biases, each if the config says so."""

    def __init__(
        self, workdir: pathlib.Path, run: config.Config, *, start_step: int
    ) -> None:
        """What was written of steps after `start_step` gives way to what comes.

        Raises:
          InputError: Weights & Biases does not start.
        """
        self._tensorboard = self._wandb = None
        if run.train.wandb_project:
            self._wandb = _start_wandb(workdir, run)
        if run.train.tensorboard:
            # TensorBoard forgets what earlier files have from purge_step on. A run that
            # begins anew has written nothing that counts, not at step 0 either.
            self._tensorboard = tensorboardX.SummaryWriter(
                str(workdir / TENSORBOARD),
                purge_step=start_step + 1 if start_step else 0,
            )

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Writes the numbers among the values, as `kind/name` and `kind/outer/name`."""
        numbers = scalars(kind, values)
        if self._tensorboard:
            for tag, number in numbers.items():
                self._tensorboard.add_scalar(tag, number, step)
            self._tensorboard.flush()  # so that a killed run has it
        if self._wandb:
            # Steps that it has already, of a run that was killed past its last
            # checkpoint, it leaves as they are: they come again bit for bit.
            self._wandb.log(numbers, step=step)

    def close(self) -> None:
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()


def scalars(prefix: str, values: dict[str, Any]) -> dict[str, float]:
    """'a', {'b': {'c': 1, 'd': 'text'}, 'e': None} -> {'a/b/c': 1.0}."""
    out: dict[str, float] = {}
    for name, value in values.items():
        tag = f'{prefix}/{name}'
        if isinstance(value, dict):
            out |= scalars(tag, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            out[tag] = float(value)
    return out


def _start_wandb(workdir: pathlib.Path, run: config.Config) -> Any:
    """A run there that has the same id each time this workdir goes on."""
    import wandb

    project = run.train.wandb_project
    path = workdir / WANDB
    known = json.loads(path.read_text()) if path.exists() else {}
    if project not in known:
        known[project] = uuid.uuid4().hex[:12]
        files.write_json(path, known)
    try:
        return wandb.init(
            project=project,
            id=known[project],
            name=workdir.resolve().name,
            dir=str(workdir),
            config=config.to_dict(run),
            resume='allow',
        )
    except Exception as error:  # it raises many kinds
        raise config.InputError(
            f'Weights & Biases does not start ({_without_key(str(error))}); run `wandb '
            'login`, or set WANDB_MODE=offline (`wandb sync` sends it later), or leave '
            "train.wandb_project=''."
        ) from None


def _without_key(message: str) -> str:
    """The first line of an error, without the key that may stand in it."""
    key = os.environ.get('WANDB_API_KEY', '')
    line = message.strip().split('\n')[0][:200]
    return line.replace(key, '***') if key else line
