"""The lock of a run at gs://: one holder, who is named, and followed when gone."""

import json
import pathlib
import re
from typing import Any

import fake_gcs
import pytest

from hax_jax import errors, files, places


@pytest.fixture
def lock(gcs: fake_gcs.Server, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    from hax_jax.store import lease

    monkeypatch.setattr(lease, 'STALE_SECONDS', 0.3)
    monkeypatch.setattr(lease, 'LOOK_SECONDS', 0.05)
    return places.path('gs://bucket/run/lock')


def held_by(gcs: fake_gcs.Server, **changes: Any) -> None:
    """A lock of another machine's process."""
    owner = {'host': 'tpu-7', 'pid': 41, 'user': 'ann', 'machine': 'other boot'}
    content = json.dumps({**owner, 'process': '9', **changes}).encode()
    gcs.put('bucket', 'run/lock', content)


def test_it_is_held_and_freed(gcs: fake_gcs.Server, lock: pathlib.Path) -> None:
    with files.locked(lock, wait=False):
        assert gcs.names('bucket') == ['run/lock']
        places.still_locked(lock)
        with (
            pytest.raises(files.LockedError, match=r'process \d+ of'),
            files.locked(lock, wait=False),
        ):
            pass
    assert gcs.names('bucket') == []


def test_a_lock_that_does_not_change_is_taken_over_and_said(
    gcs: fake_gcs.Server, lock: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_by(gcs)
    with files.locked(lock, wait=False):
        pass
    out = capsys.readouterr().out
    assert 'is held by process 41 of ann on tpu-7: waiting up to' in out
    assert 'was held by process 41 of ann on tpu-7, gone: taken over' in out


def test_a_lock_that_changes_is_refused(
    gcs: fake_gcs.Server, lock: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hax_jax.store import lease

    held_by(gcs)
    monkeypatch.setattr(lease.time, 'sleep', lambda _: held_by(gcs))
    with (
        pytest.raises(files.LockedError, match='process 41 of ann on tpu-7'),
        files.locked(lock, wait=False),
    ):
        pass


def test_a_dead_process_of_this_machine_is_followed_at_once(
    gcs: fake_gcs.Server,
    lock: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from hax_jax.store import lease

    monkeypatch.setattr(lease, 'STALE_SECONDS', 1e9)
    held_by(gcs, machine=lease._machine(), pid=2**22 + 1)
    with files.locked(lock, wait=False):
        assert re.search('held by .* gone: taken over', capsys.readouterr().out)


def test_who_has_lost_the_lock_saves_nothing_more(
    gcs: fake_gcs.Server, lock: pathlib.Path
) -> None:
    with files.locked(lock, wait=False):
        held_by(gcs)
        with pytest.raises(errors.InputError, match=r'taken over by process 41 of ann'):
            places.still_locked(lock)
    assert b'tpu-7' in gcs.content('bucket', 'run/lock')  # not ours to free


def test_a_lost_answer_is_no_other_holder(
    gcs: fake_gcs.Server, lock: pathlib.Path
) -> None:
    gcs.faults.append(fake_gcs.Fault('POST .*upload', 'lost', times=1))
    with files.locked(lock, wait=False):
        gcs.faults[0].met = 0
        places.still_locked(lock)
    assert gcs.names('bucket') == []
