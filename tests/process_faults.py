"""Faults of runs of several processes: what each prints, how soon, with which code.

    python tests/process_faults.py [PROCESSES...]

prints a table, by default of 2 and 4 processes.
tests/test_process_faults.py is its short form.
"""

import dataclasses
import pathlib
import re
import signal
import sys
import tempfile
import time

import processes
import programs
import tiny_data


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong in one of the processes, and what all of them should say."""

    name: str
    process: int
    message: str
    code: int
    flags: tuple[str, ...] = ()  # of that process alone
    planted: str = ''  # tests/faulty_train.py
    signal: int = 0
    stops_training: bool = False
    hang_seconds: int = 600


_GONE = r'is gone \(last heard \d+ s ago\); start all again with the same command'
_FIRST = r'in process(es)? 0.*'
_RATE = '--config.optimizer.learning_rate'
FAULTS = [
    Fault(
        'other learning rate',
        1,
        f'optimizer.learning_rate: 0.001 {_FIRST}, 0.5 in process 1',
        2,
        flags=(f'{_RATE}=0.5',),
    ),
    Fault(
        'other seed',
        1,
        f'train.seed: 0 {_FIRST}, 5 in process 1',
        2,
        flags=('--config.train.seed=5',),
    ),
    Fault(
        'other code',
        1,
        rf'hax_jax/model/loss.py: "\w+" {_FIRST}, "changed" in process 1',
        2,
        planted='code',
    ),
    Fault(
        'workdir not shared',
        1,
        'the workdir is not shared: process 1',
        2,
        flags=('--workdir=OTHER',),
    ),
    Fault(
        '--restart on one',
        1,
        f'--restart: false {_FIRST}, true in process 1',
        2,
        flags=('--restart',),
    ),
    Fault(
        '--dry_run on one',
        0,
        '--dry_run: true in process 0, false in process',
        2,
        flags=('--dry_run',),
    ),
    Fault(
        'no workdir on one',
        0,
        'error: (process 0: )?--workdir is missing',
        2,
        flags=('--workdir=',),
    ),
    Fault(
        'exception in a step',
        1,
        "KeyError: 'planted'",
        1,
        planted='exception',
        stops_training=True,
    ),
    Fault(
        'InputError in a step',
        0,
        'error: (process 0: )?planted',
        2,
        planted='input error',
        stops_training=True,
    ),
    Fault(
        'stuck',
        1,
        'nothing has ended in 8 s .*process 1: ',
        75,
        planted='stuck',
        stops_training=True,
        hang_seconds=8,
    ),
    *(
        Fault(
            f'{number.name} {process}',
            process,
            f'process {process} {_GONE}',
            75,
            signal=number,
            stops_training=True,
        )
        for number in (signal.SIGKILL, signal.SIGSTOP)
        for process in (0, 1)
    ),
]


@dataclasses.dataclass(frozen=True)
class Outcome:
    ended: list[processes.Ended]
    seconds: float  # from the signal, or the message, to the end of the last process
    problem: str  # '' if all is as it should be


def command(data: pathlib.Path) -> list[str]:
    return [
        str(programs.ROOT / 'tests' / 'faulty_train.py'),
        f'--config={data}/tiny.py',
        f'--config.data.path={data}/data',
        '--config.train.checkpoint_every_steps=5',
        '--config.train.eval_every_steps=100000',
        # A step of one program, however many there are: compiled once.
        '--config.optimizer.schedule=constant',
    ]


def steps(workdir: pathlib.Path) -> list[int]:
    folder = workdir / 'checkpoints'
    return sorted(int(p.name) for p in folder.glob('*') if p.name.isdigit())


def run(
    fault: Fault,
    data: pathlib.Path,
    workdir: pathlib.Path,
    *,
    num_processes: int,
    goes_on: bool = True,
) -> Outcome:
    """Runs into the fault; where it was in training, goes on with the run after it.

    With `goes_on` false the run is left as it ended: another call goes on with it.
    """
    before = max(steps(workdir), default=0)
    flags = [f.replace('OTHER', f'{workdir}-other') for f in fault.flags]
    there = [i == fault.process for i in range(num_processes)]
    with processes.started(
        *command(data),
        f'--workdir={workdir}',
        '--config.train.num_steps=100000',
        f'--config.train.hang_timeout_seconds={fault.hang_seconds}',
        num_processes=num_processes,
        own_arguments=[flags if it else [] for it in there],
        own_environment=[{'FAULT': fault.planted} if it else {} for it in there],
    ) as running:
        begun = time.monotonic()
        if fault.stops_training:
            while not any(step >= before + 5 for step in steps(workdir)):
                gone = [child.poll() for child in running.children]
                if any(code is not None for code in gone):
                    break
                assert time.monotonic() - begun < 200, running.output(0)
                time.sleep(0.05)
        if fault.signal:
            running.children[fault.process].send_signal(fault.signal)
            begun = time.monotonic()
        at_fault = begun if fault.signal else 0.0
        alive = set(range(num_processes)) - ({fault.process} if fault.signal else set())
        while any(running.children[i].poll() is None for i in alive):
            if time.monotonic() - begun > 200:
                break
            said = running.output(fault.process)
            if not at_fault and re.search(fault.message, said):
                at_fault = time.monotonic()
            time.sleep(0.02)
        seconds = time.monotonic() - at_fault if at_fault else 0.0
        for child in running.children:
            child.kill()
        ended = running.wait()
    problem = _problem(fault, ended, alive)
    if not fault.stops_training and list(workdir.parent.glob(f'{workdir.name}*')):
        problem += f' something was written at {workdir}'
    if fault.stops_training and not problem and max(steps(workdir)) <= before:
        problem = f'nothing was saved after step {before}'
    if goes_on and fault.stops_training and not problem:
        problem = _goes_on(data, workdir, num_processes)
    return Outcome(ended, seconds, problem)


def _problem(fault: Fault, ended: list[processes.Ended], alive: set[int]) -> str:
    for i in sorted(alive):
        one = ended[i]
        if one.returncode != fault.code:
            return f'process {i} ended with {one.returncode}: {one.output[-600:]}'
        if not re.search(fault.message, one.output):
            return f'process {i} said {one.output[-600:]!r}'
        if i != fault.process and 'Traceback' in one.output:
            return f'process {i} has a traceback: {one.output[-1500:]}'
    return ''


def _goes_on(data: pathlib.Path, workdir: pathlib.Path, num_processes: int) -> str:
    last = steps(workdir)[-1]
    ended = processes.run(
        *command(data),
        f'--workdir={workdir}',
        f'--config.train.num_steps={last + 4}',
        num_processes=num_processes,
    )
    if any(one.returncode for one in ended) or steps(workdir)[-1] != last + 4:
        return f'does not go on: {[one.output[-600:] for one in ended]}'
    return ''


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [2, 4]
    print('| processes | fault | message | seconds | exit codes |')
    print('|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        tiny_data.make(root)
        for num_processes in sizes:
            for i, fault in enumerate(FAULTS):
                workdir = root / f'run{num_processes}-{i}'
                found = run(fault, root, workdir, num_processes=num_processes)
                other = found.ended[1 - fault.process].output.splitlines()
                said = next((o for o in other if re.search(fault.message, o)), '')
                codes = [one.returncode for one in found.ended]
                print(
                    f'| {num_processes} | {fault.name} | `{said.strip()}` | '
                    f'{found.seconds:.1f} | {codes} | {found.problem}',
                    flush=True,
                )


if __name__ == '__main__':
    main()
