"""The lock of a run at gs://: an object that its holder writes again and again.

It is made with the precondition that no object is there (generation 0), and each later
write names the generation that it replaces, so of two writers one is refused. A holder
whose object has not changed for STALE_SECONDS is gone, and its lock is taken over.
"""

import contextlib
import getpass
import json
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from hax_jax import errors
from hax_jax.store import failures
from hax_jax.store.gs_path import GsPath, filesystem, no_bucket

BEAT_SECONDS, STALE_SECONDS, LOOK_SECONDS = 15.0, 90.0, 2.0
_held: dict[GsPath, 'Lease'] = {}


class Lease:
    """The lock object at `path`, while this process holds it."""

    def __init__(self, path: GsPath) -> None:
        self.path = path
        self._nonce = uuid.uuid4().hex
        self._generation = 0
        self._beats = 0
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, daemon=True)

    def acquire(self) -> None:
        """Takes the lock, or another's that is gone, which is printed.

        Raises:
          LockedError: another process holds the lock, and lives.
          PlaceError: the store fails, or refuses to be written.
        """
        seen, since, told = 0, time.monotonic(), False
        while not self._write(0):
            generation, owner = self._read()
            if generation == 0:
                continue  # it was freed in between
            words = _in_words(owner)
            if owner.get('nonce') == self._nonce:  # the answer to our write was lost
                self._generation = generation
                break
            here = _is_here(owner)
            if here and _lives(owner):
                raise errors.LockedError(words)
            if seen and generation != seen:
                raise errors.LockedError(words)
            if here or time.monotonic() - since > STALE_SECONDS:
                if self._write(generation):
                    print(f'{self.path} was held by {words}, gone: taken over')
                    break
                continue
            if not told:
                print(
                    f'{self.path} is held by {words}: waiting up to '
                    f'{STALE_SECONDS:.0f} s to see whether it lives',
                    flush=True,
                )
                told = True
            seen = generation
            time.sleep(LOOK_SECONDS)
        _held[self.path] = self
        self._thread.start()

    def release(self) -> None:
        """Frees the lock, if it is still this one's."""
        self._ended.set()
        self._thread.join()
        _held.pop(self.path, None)
        bucket, key, _ = filesystem().split_path(str(self.path))
        with contextlib.suppress(errors.PlaceError, OSError), failures.named(self.path):
            filesystem().call(
                'DELETE', 'b/{}/o/{}', bucket, key, ifGenerationMatch=self._generation
            )

    def check(self) -> None:
        """Writes the lock once more. Raises InputError if another has taken it over."""
        with self._guard:
            if self._write(self._generation):
                return
            generation, owner = self._read()
            if owner.get('nonce') == self._nonce:
                self._generation = generation
                return
        by = f'by {_in_words(owner)}' if generation else 'and freed it'
        raise errors.InputError(
            f'{self.path} was taken over {by}, because this process was not heard of '
            f'for {STALE_SECONDS:.0f} s; nothing more is saved from here.'
        )

    def _beat_on(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            # A failure here is met again, and told, by `check` before a save.
            with contextlib.suppress(errors.PlaceError, errors.InputError, OSError):
                self.check()

    def _write(self, generation: int) -> bool:
        """Whether the object of this generation (0: none) was replaced by ours."""
        self._beats += 1
        value = {**_this_process(), 'nonce': self._nonce, 'beats': self._beats}
        fs = filesystem()
        bucket, key, _ = fs.split_path(str(self.path))
        try:
            with failures.named(self.path):
                _, content = fs.call(
                    'POST',
                    f'{fs._location}/upload/storage/v1/b/{bucket}/o',
                    uploadType='media',
                    name=key,
                    ifGenerationMatch=generation,
                    headers={'Content-Type': 'application/json'},
                    data=json.dumps(value).encode(),
                )
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise no_bucket(GsPath(f'gs://{bucket}')) from error
        self._generation = int(json.loads(content)['generation'])
        return True

    def _read(self) -> tuple[int, dict[str, Any]]:
        """(generation, owner) of the object; (0, {}) if there is none."""
        try:
            info = self.path._ask('info')
            owner = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return 0, {}
        except ValueError:
            owner = {}
        return int(info['generation']), owner if isinstance(owner, dict) else {}


@contextlib.contextmanager
def held(path: GsPath) -> Iterator[None]:
    """Holds the lock at `path` against every other process, on whatever machine."""
    lease = Lease(path)
    lease.acquire()
    try:
        yield
    finally:
        lease.release()


def check(path: GsPath) -> None:
    """Raises InputError if this process held the lock at `path` and has lost it."""
    if path in _held:
        _held[path].check()


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {
        'host': socket.gethostname(),
        'pid': pid,
        'user': getpass.getuser(),
        'machine': _machine(),
        'process': _started(pid),
    }


def _machine() -> str:
    """One boot of one machine, and the container in it."""
    try:
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot} {pathlib.Path("/proc/self/ns/pid").readlink()}'
    except OSError:
        return uuid.uuid4().hex  # unknown: like no other


def _started(pid: int) -> str:
    """When a process of this machine started, in ticks; '' if there is none."""
    try:
        return (
            pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]
        )
    except (OSError, IndexError):
        return ''


def _is_here(owner: dict[str, Any]) -> bool:
    return owner.get('machine') == _machine()


def _lives(owner: dict[str, Any]) -> bool:
    return _started(int(owner.get('pid', 0))) == owner.get('process')


def _in_words(owner: dict[str, Any]) -> str:
    return (
        f'process {owner.get("pid", "?")} of {owner.get("user", "?")} on '
        f'{owner.get("host", "?")}'
    )
