"""The lines of metrics.jsonl for TensorBoard and Weights & Biases."""

import importlib.util
import os
import pathlib
import tempfile
import time
import uuid
from typing import Any

from tensorboardX import record_writer, summary
from tensorboardX.proto import event_pb2, summary_pb2

from hax_jax import errors, files, places
from hax_jax.config import convert, schema

TENSORBOARD = 'tensorboard'  # this and the next lie in the workdir
WANDB = 'wandb.json'


def check(train: schema.TrainConfig) -> None:
    """Raises InputError if Weights & Biases is asked for and not installed."""
    if train.wandb_project and importlib.util.find_spec('wandb') is None:
        raise errors.InputError(
            f'train.wandb_project={train.wandb_project!r} needs the package wandb, '
            "which is not here; pip install wandb, or leave train.wandb_project=''."
        )


class Trackers:
    """TensorBoard and Weights & Biases, each if the config says so."""

    def __init__(
        self, workdir: pathlib.Path, run: schema.Config, *, start_step: int
    ) -> None:
        """Values of steps after `start_step` give way to the new ones.

        Raises:
          InputError: Weights & Biases does not start.
        """
        self._tensorboard = self._wandb = None
        self._hparams = _hparams(run)
        if run.train.wandb_project:
            self._wandb = _start_wandb(workdir, run)
        if run.train.tensorboard:
            # A run that starts over replaces all values, those of step 0 too.
            self._tensorboard = EventFile(
                workdir / TENSORBOARD, first_step=start_step + 1 if start_step else 0
            )

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Writes the numbers of a line of metrics.jsonl under the names of `tags`.

        The summary of a run brings its settings and best loss, as TensorBoard's
        hparams.
        """
        numbers = tags(kind, values)
        if self._tensorboard and numbers:
            self._tensorboard.write(step, numbers)
        if self._tensorboard and kind == 'summary':
            self._tensorboard.write_hparams(step, self._hparams)
        if self._wandb:
            # W&B ignores steps it already has, of a run killed after its last
            # checkpoint; the repeated steps have the same values, bit for bit.
            self._wandb.log(numbers, step=step)

    def write_answers(self, step: int, answers: dict[str, str]) -> None:
        """The run's answers by the question's id, as TensorBoard's text."""
        if self._tensorboard:
            self._tensorboard.write_texts(
                step, {f'samples/{name}': text for name, text in answers.items()}
            )

    def publish(self) -> None:
        """Copies TensorBoard's file to a workdir at gs://."""
        if self._tensorboard:
            self._tensorboard.publish()

    def close(self) -> None:
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()


class EventFile:
    """A file in TensorBoard's format; each value is flushed to disk at once.

    tensorboardX's SummaryWriter hands events to a thread, whose flush does not wait for
    them: the last ones before a kill would be missing. So its records are used alone.
    """

    def __init__(self, folder: pathlib.Path, *, first_step: int) -> None:
        """Starts a new file; TensorBoard then drops older values from first_step on.

        Source: event_accumulator.py of TensorBoard, a session that starts.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._remote, self._local = None, None
        now = time.time_ns()  # files are read in the order of their names
        path = folder / f'events.out.tfevents.{now // 10**9}.{now % 10**9:09d}.hax_jax'
        if places.is_remote(path):  # grows here, and is copied whole
            self._local = tempfile.TemporaryDirectory()
            self._remote, path = path, pathlib.Path(self._local.name, path.name)
        self._path = path
        self._records = record_writer.RecordWriter(str(path))
        self._add(event_pb2.Event(file_version='brain.Event:2'))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(event_pb2.Event(step=first_step, session_log=start))

    def write(self, step: int, numbers: dict[str, float]) -> None:
        values = [
            summary_pb2.Summary.Value(tag=tag, simple_value=number)
            for tag, number in numbers.items()
        ]
        self._add(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=values)))
        self._records.flush()

    def write_texts(self, step: int, texts: dict[str, str]) -> None:
        for tag, text in texts.items():
            # Four spaces: Markdown shows the text as it is.
            literal = '\n'.join(f'    {line}' for line in text.split('\n'))
            self._add(event_pb2.Event(step=step, summary=summary.text(tag, literal)))
        self._records.flush()

    def write_hparams(self, step: int, settings: dict[str, Any]) -> None:
        """A run's settings, beside its validation loss in TensorBoard's table."""
        for each in summary.hparams(settings, {'loss/validation': 0.0}):
            self._add(event_pb2.Event(step=step, summary=each))
        self._records.flush()

    def _add(self, event: event_pb2.Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def publish(self) -> None:
        if self._remote:
            self._remote.write_bytes(self._path.read_bytes())

    def close(self) -> None:
        self._records.flush()
        self._records.close()
        self.publish()
        if self._local:
            self._local.cleanup()


# A field of metrics.jsonl -> its name in TensorBoard, which sorts groups by name: these
# come first. A field that is not here has no curve; metrics.jsonl has all.
_NAMES = {
    'train/loss': 'loss/train',
    'train/learning_rate': 'optimizer/learning_rate',
    'train/grad_norm': 'optimizer/grad_norm',
    'train/lost_updates': 'optimizer/lost_updates',
    'train/z_loss': 'loss/z_loss',
    'train/tokens_per_second': 'speed/tokens_per_second',
    'train/trained_tokens_per_second': 'speed/trained_tokens_per_second',
    'train/mfu': 'speed/mfu',
    'evaluation/eval_loss': 'loss/validation',
    'evaluation/by/all/answer/perplexity': 'answers/perplexity',
    'evaluation/by/all/answer/bits_per_byte': 'answers/bits_per_byte',
    'evaluation/by/all/answer/accuracy': 'answers/accuracy',
    'evaluation/by/all/eos/probability': 'answers/eos_probability',
    'samples/distinct_2': 'texts/distinct_2',
    'samples/repetition_4': 'texts/repetition_4',
    'samples/mean_length': 'texts/mean_length',
    'samples/eos_share': 'texts/eos_share',
}
_MOST_SOURCES = 10  # those with the most tokens
_SOURCE = 'validation_by_source'


def tags(kind: str, values: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by the names of their curves."""
    if kind == 'summary':
        return {}
    found = scalars(kind, values)
    named = {new: found[name] for name, new in _NAMES.items() if name in found}
    if kind == 'layers':
        by = values['by'].items()
        named |= {
            f'weights/{measure}/{layer}': float(number)
            for layer, norms in by
            for measure, number in norms.items()
        }
    if kind == 'evaluation':
        by = {
            source: parts for source, parts in values['by'].items() if source != 'all'
        }
        largest = sorted(by, key=lambda source: -by[source]['answer']['tokens'])
        named |= {
            f'{_SOURCE}/{source}': float(by[source]['answer']['nll'])
            for source in largest[:_MOST_SOURCES]
        }
    if kind == 'train':
        named |= {
            f'time/{part}': float(seconds)
            for part, seconds in values.get('seconds', {}).items()
        }
    return named


def _hparams(run: schema.Config) -> dict[str, Any]:
    """The settings that are not their default, and the learning rate."""
    changed = {name: value for name, (value, _) in convert.changed(run).items()}
    changed['optimizer.learning_rate'] = run.optimizer.learning_rate
    return {
        name: str(value) if isinstance(value, list) else value
        for name, value in changed.items()
    }


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


def _start_wandb(workdir: pathlib.Path, run: schema.Config) -> Any:
    """A W&B run whose id stays the same each time this workdir is continued."""
    import wandb

    project = run.train.wandb_project
    path = workdir / WANDB
    try:
        known = files.read_json_object(path) if path.exists() else {}
    except ValueError as error:
        raise errors.InputError(
            f'{path} is damaged ({error}); delete it, and W&B shows the rest as '
            'another run.'
        ) from error
    if project not in known:
        known[project] = uuid.uuid4().hex[:12]
        files.write_json(path, known)
    try:
        return wandb.init(
            project=project,
            id=known[project],
            name=workdir.resolve().name,
            dir=None if places.is_remote(workdir) else str(workdir),
            config=convert.to_dict(run),
            resume='allow',
        )
    except Exception as error:  # it raises many kinds
        raise errors.InputError(
            f'Weights & Biases does not start ({_without_key(str(error))}); run `wandb '
            'login`, or set WANDB_MODE=offline (`wandb sync` sends it later), or leave '
            "train.wandb_project=''."
        ) from None


def _without_key(message: str) -> str:
    """The first line of an error, with the API key masked."""
    key = os.environ.get('WANDB_API_KEY', '')
    line = message.strip().split('\n')[0][:200]
    return line.replace(key, '***') if key else line
