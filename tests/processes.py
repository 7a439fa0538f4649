"""Several real processes that are one run, each with its own virtual CPU devices."""

import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

import forks
import programs


@dataclasses.dataclass(frozen=True)
class Ended:
    """How one process ended; `output` has both of its streams, as they came."""

    returncode: int  # -9 if a signal 9 ended it
    output: str
    seconds: float  # from the start of all


class Running:
    """Processes of one run; `children` are in the order of their process ids."""

    def __init__(
        self, children: list[subprocess.Popen], logs: list[pathlib.Path]
    ) -> None:
        self.children = children
        self._logs = logs
        self._begun = time.monotonic()

    def output(self, index: int) -> str:
        """What a process has printed so far."""
        return self._logs[index].read_text(encoding='utf-8', errors='replace')

    def wait(self, timeout: float = 400) -> list[Ended]:
        """Waits for all of them.

        Raises:
          AssertionError: one still runs after `timeout` seconds; with all outputs.
        """
        ended: dict[int, float] = {}
        while len(ended) < len(self.children):
            for index, child in enumerate(self.children):
                if index not in ended and child.poll() is not None:
                    ended[index] = time.monotonic() - self._begun
            if time.monotonic() - self._begun > timeout:
                outputs = '\n'.join(
                    f'--- process {index}: {child.poll()}\n{self.output(index)}'
                    for index, child in enumerate(self.children)
                )
                raise AssertionError(f'still running after {timeout} s:\n{outputs}')
            time.sleep(0.02)
        return [
            Ended(child.returncode, self.output(index), ended[index])
            for index, child in enumerate(self.children)
        ]


def environment(
    index: int, *, num_processes: int, port: int, devices: int
) -> dict[str, str]:
    """The variables of process `index` of so many, with `devices` devices each."""
    values = programs.devices(devices)
    if num_processes > 1:
        values |= {
            'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
            'JAX_NUM_PROCESSES': str(num_processes),
            'JAX_PROCESS_ID': str(index),
        }
    return values


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def started(
    *arguments: object,
    num_processes: int,
    devices: int = 1,
    own_arguments: Sequence[Sequence[object]] = (),
    own_environment: Sequence[Mapping[str, str]] = (),
    given: Sequence[str] = (),
) -> Iterator[Running]:
    """Starts `python ARGUMENTS` in each process, and kills those that are left.

    `own_arguments`, `own_environment` and `given` (standard input) have one entry for
    each process; without them, all do the same and nothing is given.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix='hax_jax_processes_') as folder:
        logs = [pathlib.Path(folder) / f'{i}.log' for i in range(num_processes)]
        children: list[subprocess.Popen] = []
        try:
            for index, log in enumerate(logs):
                own = own_arguments[index] if own_arguments else ()
                typed = log.with_suffix('.stdin')
                typed.write_text(given[index] if given else '')
                with log.open('wb') as output, typed.open('rb') as stdin:
                    child = forks.start(
                        *programs.replaced(arguments, *own),
                        env={
                            **os.environ,
                            'PYTHONPATH': programs.PATH,
                            **environment(
                                index,
                                num_processes=num_processes,
                                port=port,
                                devices=devices,
                            ),
                            **(own_environment[index] if own_environment else {}),
                        },
                        stdin=stdin,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                children.append(child)
            yield Running(children, logs)
        finally:
            for child in children:
                child.kill()  # a frozen one too
                child.wait()


def run(
    *arguments: object,
    num_processes: int,
    devices: int = 1,
    own_arguments: Sequence[Sequence[object]] = (),
    own_environment: Sequence[Mapping[str, str]] = (),
    given: Sequence[str] = (),
    timeout: float = 400,
) -> list[Ended]:
    """Starts the processes as `started` does, and waits for all of them to end.

    Raises:
      AssertionError: one still runs after `timeout` seconds; with all outputs.
    """
    with started(
        *arguments,
        num_processes=num_processes,
        devices=devices,
        own_arguments=own_arguments,
        own_environment=own_environment,
        given=given,
    ) as running:
        return running.wait(timeout)


def run_well(*arguments: object, **options: object) -> list[str]:
    """The outputs of processes that all end with 0; `options` are those of `run`."""
    ended = run(*arguments, **options)
    for index, process in enumerate(ended):
        assert process.returncode == 0, f'process {index}:\n{process.output}'
    return [process.output for process in ended]
