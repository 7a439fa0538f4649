"""The scripts of launch/ in a checkout of their own, with fakes first on PATH.

The fakes of tests/launch/fake_bin note their calls in `fake/calls`; gcloud's machines
are folders in `fake/vms`, and their workers' commands run here.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
_FAKE_BIN = ROOT / 'tests' / 'launch' / 'fake_bin'
_PATIENCE_SECONDS = 60


class Room:
    """A checkout (`root`), the fakes' folder (`fake`), and processes started there."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root, self.fake = folder / 'check out', folder / 'fake'
        (self.fake / 'vms').mkdir(parents=True)
        shutil.copytree(
            ROOT / 'launch', self.root / 'launch', ignore=shutil.ignore_patterns('*.py')
        )
        for name in ('hax_jax', 'data_pipeline', 'configs'):
            (self.root / name).mkdir()
        for name in ('requirements.txt', 'configs/c.py'):
            (self.root / name).touch()
        self.environment = {
            'PATH': f'{_FAKE_BIN}{os.pathsep}{os.environ["PATH"]}',
            'HOME': str(folder),
            'USER': 'Some.One',
            'FAKE': str(self.fake),
            'HAX_JAX_POLL_SECONDS': '0.05',
        }
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, script: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return self._begin('bash', f'launch/{script}', *arguments, **more)

    def call(self, program: str, *arguments: str) -> tuple[int, str]:
        """(exit code, output) of a fake of ours."""
        process = self._begin(program, *arguments)
        output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
        return process.returncode, output

    def _begin(self, *command: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    def run(self, script: str, *arguments: str, **more: str) -> tuple[int, str]:
        """(exit code, output) of a script."""
        process = self.start(script, *arguments, **more)
        output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
        return process.returncode, output

    def calls(self) -> str:
        return self.read('calls')

    def read(self, name: str) -> str:
        path = self.fake / name
        return path.read_text(encoding='utf-8') if path.exists() else ''

    def write(self, name: str, text: str) -> None:
        (self.fake / name).write_text(text, encoding='utf-8')

    def machines(self) -> list[str]:
        return sorted(path.name for path in (self.fake / 'vms').iterdir())

    def wait_for(self, what: Callable[[], Any]) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < end, self.calls()
            time.sleep(0.01)

    def kill_machine(self, name: str) -> None:
        """Takes a spot machine away: its state changes and its processes are gone."""
        vm = self.fake / 'vms' / name
        (vm / 'state').write_text('PREEMPTED\n')
        _kill_all(f'HOME={vm}/home')

    def close(self) -> None:
        _kill_all(f'FAKE={self.fake}\0')
        for process in self._processes:
            process.wait(timeout=_PATIENCE_SECONDS)
            if process.stdout:
                process.stdout.close()


def _kill_all(mark: str) -> None:
    """Kills every process whose environment contains `mark`."""
    for entry in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / 'environ').read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def opened(folder: pathlib.Path) -> Iterator[Room]:
    room = Room(folder)
    try:
        yield room
    finally:
        room.close()
