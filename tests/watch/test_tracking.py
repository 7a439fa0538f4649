"""What TensorBoard and Weights & Biases are given, read back from their own files."""

import importlib.machinery
import json
import pathlib
import struct
import sys
import types
from typing import Any

import pytest
import tiny_runs
from tensorboardX.proto import event_pb2

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.watch import tracking


def events(workdir: pathlib.Path) -> list[event_pb2.Event]:
    """All events in the order of their files: TFRecord, length-delimited."""
    out = []
    for path in sorted((workdir / tracking.TENSORBOARD).iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (size,) = struct.unpack_from('<Q', data, place)
            event = event_pb2.Event()
            event.ParseFromString(data[place + 12 : place + 12 + size])
            out.append(event)
            place += 12 + size + 4
    return out


def shown(workdir: pathlib.Path) -> list[tuple[str, int, float]]:
    """What TensorBoard shows: a session that starts at a step forgets what was there.

    Source: tensorboard/backend/event_processing/event_accumulator.py, _CheckForRestart.
    """
    seen: list[tuple[str, int, float]] = []
    for event in events(workdir):
        if event.session_log.status == event_pb2.SessionLog.START:
            seen = [entry for entry in seen if entry[1] < event.step]
        seen += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return seen


def write(workdir: pathlib.Path, run: schema.Config, steps: list[int]) -> None:
    start = steps[0] - 1 if steps[0] else 0
    trackers = tracking.Trackers(workdir, run, start_step=start)
    for step in steps:
        trackers.write('train', step, {'loss': step / 2, 'text': 'no number'})
    trackers.close()


def test_scalars_are_the_numbers_by_their_path() -> None:
    values = {
        'loss': 1,
        'by': {'h.0': {'norm': 0.5}},
        'name': 'a',
        'x': None,
        'y': True,
    }
    assert tracking.scalars('layers', values) == {
        'layers/loss': 1.0,
        'layers/by/h.0/norm': 0.5,
    }


def test_tensorboard_shows_no_step_twice_after_a_kill(tmp_path: pathlib.Path) -> None:
    run = tiny_runs.make_config()
    write(tmp_path, run, [0, 1, 2, 3, 4])
    write(tmp_path, run, [3, 4, 5])  # goes on from step 2
    assert shown(tmp_path) == [('loss/train', step, step / 2) for step in range(6)]
    write(tmp_path, run, [0, 1])  # begins again
    assert shown(tmp_path) == [('loss/train', 0, 0.0), ('loss/train', 1, 0.5)]


def test_a_line_is_on_disk_before_the_next_one(tmp_path: pathlib.Path) -> None:
    trackers = tracking.Trackers(tmp_path, tiny_runs.make_config(), start_step=0)
    trackers.write('train', 1, {'loss': 2.0})
    assert shown(tmp_path) == [('loss/train', 1, 2.0)]
    trackers.close()


def test_tensorboard_can_be_turned_off(tmp_path: pathlib.Path) -> None:
    write(tmp_path, tiny_runs.make_config(train__tensorboard=False), [1])
    assert list(tmp_path.iterdir()) == []


class FakeWandb(types.ModuleType):
    """Records what it is given; its `init` may be told to fail."""

    def __init__(self, failure: str = '') -> None:
        super().__init__('wandb')
        self.__spec__ = importlib.machinery.ModuleSpec('wandb', None)
        self.failure = failure
        self.given: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    def init(self, **settings: Any) -> 'FakeWandb':
        if self.failure:
            raise RuntimeError(self.failure)
        self.given.append(settings)
        return self

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


WATCHED = {'train__wandb_project': 'advice', 'train__tensorboard': False}


def test_wandb_gets_each_line_and_the_same_run_when_it_goes_on(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, 'wandb', fake)
    run = tiny_runs.make_config(**WATCHED)
    tracking.check(run.train)
    write(tmp_path, run, [1, 2])
    write(tmp_path, run, [3])
    write(
        tmp_path, tiny_runs.make_config(**{**WATCHED, 'train__wandb_project': 'b'}), [4]
    )
    assert fake.logged == [(step, {'loss/train': step / 2}) for step in (1, 2, 3, 4)]
    first, second, other = fake.given
    assert first == second
    assert first['id'] != other['id']
    assert first['project'] == 'advice'
    assert first['resume'] == 'allow'
    assert first['config'] == convert.to_dict(run)
    assert fake.finished == 3
    (tmp_path / tracking.WANDB).write_text('{"adv')
    with pytest.raises(errors.InputError, match=r'wandb\.json is damaged'):
        write(tmp_path, run, [5])


def test_wandb_that_is_not_installed_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking.importlib.util, 'find_spec', lambda _: None)
    tracking.check(tiny_runs.make_config().train)
    with pytest.raises(errors.InputError, match='pip install wandb'):
        tracking.check(tiny_runs.make_config(**WATCHED).train)


def test_wandb_that_does_not_start_says_what_to_do_and_keeps_the_key_secret(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('WANDB_API_KEY', 'a-secret-key')
    fake = FakeWandb('no user has a-secret-key\nmore of it')
    monkeypatch.setitem(sys.modules, 'wandb', fake)
    with pytest.raises(errors.InputError) as error:
        write(tmp_path, tiny_runs.make_config(**WATCHED), [1])
    assert 'no user has ***' in str(error.value)
    assert 'WANDB_MODE=offline' in str(error.value)
    assert 'a-secret-key' not in str(error.value)
    assert error.value.__cause__ is None


def test_the_real_wandb_takes_it_offline(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('wandb', reason='wandb is optional and not installed')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    run = tiny_runs.make_config(**WATCHED)
    write(tmp_path, run, [1, 2])
    write(tmp_path, run, [3])
    known = json.loads((tmp_path / tracking.WANDB).read_text())
    written = list((tmp_path / 'wandb').rglob(f'run-{known["advice"]}.wandb'))
    assert len(written) == 2  # a file for each call, of one run


def test_curves_have_a_dozen_headlines_and_at_most_ten_sources() -> None:
    scores = {'perplexity': 9.0, 'bits_per_byte': 1.0, 'accuracy': 0.5, 'nll': 2.0}
    by = {
        name: {'answer': {**scores, 'tokens': tokens}, 'eos': {'probability': 0.1}}
        for tokens, name in enumerate(['all', *(f'reddit:{i}' for i in range(12))])
    }
    train = {'loss': 3.0, 'grad_norm': 1.0, 'learning_rate': 1e-4, 'steps': 10}
    train |= {'tokens_per_second': 5.0, 'trained_tokens_per_second': 4.0, 'mfu': 0.4}
    headlines = tracking.tags('train', train)
    evaluated = tracking.tags('evaluation', {'eval_loss': 2.5, 'by': by})
    sources = {tag for tag in evaluated if tag.startswith('validation_by_source/')}
    headlines |= {tag: evaluated[tag] for tag in evaluated.keys() - sources}
    assert headlines['loss/train'] == 3.0
    assert headlines['loss/validation'] == 2.5
    assert headlines['answers/perplexity'] == 9.0
    assert len(headlines) <= 12
    # The ten with the most tokens.
    assert sources == {f'validation_by_source/reddit:{i}' for i in range(2, 12)}
    others = tracking.tags('layers', {'by': {'h.0': {'norm': 0.5}}})
    others |= tracking.tags('train', {'seconds': {'step': 1.0}})
    assert others == {'weights/norm/h.0': 0.5, 'time/step': 1.0}
    assert max(headlines) < min([*others, *sources])  # TensorBoard sorts by name


def test_answers_are_text_and_settings_stand_beside_the_loss(
    tmp_path: pathlib.Path,
) -> None:
    trackers = tracking.Trackers(tmp_path, tiny_runs.make_config(), start_step=0)
    trackers.write_answers(5, {'q1': 'Dear you,\n<b>no</b>'})
    trackers.write('summary', 5, {'best_validation_loss': 2.0})
    trackers.close()
    values = {v.tag: v for event in events(tmp_path) for v in event.summary.value}
    text = values['samples/q1/text_summary']
    assert text.metadata.plugin_data.plugin_name == 'text'
    assert text.tensor.string_val[0].decode() == '    Dear you,\n    <b>no</b>'
    start = values['_hparams_/session_start_info'].metadata.plugin_data.content
    assert b'optimizer.learning_rate' in start
