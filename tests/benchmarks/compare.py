"""Times our side and torch's in turn, A B A B, and prints their ratios.

    PYTHONPATH=. python tests/benchmarks/compare.py              # every workload
    PYTHONPATH=. python tests/benchmarks/compare.py 'train 8x128' --pairs=7
    PYTHONPATH=. python tests/benchmarks/compare.py --isa=avx2   # both sides limited

The first line says which processor and vector instructions, cores, threads and versions
the figures are of, those of each side. `--isa=avx2` imitates an older processor on one
with AVX-512 (instruction_sets.py).

Both sides stay loaded, each in a process of its own, and wait while the other works: a
machine that drifts drifts for both. A turn is several steps, as training is: the first
after a pause finds caches and pages taken. A ratio over 1 says that ours is faster; it
is the median over pairs. Of torch's variants the fastest counts. Needs torch,
transformers and, for LoRA, peft; nothing of it is a requirement of users or tests.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
from typing import Any

import instruction_sets

from hax_jax.devices import allocator

_FOLDER = pathlib.Path(__file__).parent
_124M = {'layers': 12, 'width': 768, 'heads': 12, 'vocab': 50257}
_TINY = {'layers': 2, 'width': 64, 'heads': 2, 'vocab': 512}
_EAGER = ['eager', 'sdpa', 'nano']


def train(batch: int, length: int, **more: Any) -> dict[str, Any]:
    return {
        'kind': 'train',
        'sizes': _124M,
        'batch': batch,
        'length': length,
        'dtype': 'float32',
        'lora': 0,
        'variants': _EAGER,
        'runs': max(2, 4096 // max(1, batch * length)),  # 2 to 4 steps at a turn
        **more,
    }


def generate(batch: int) -> dict[str, Any]:
    return {
        'kind': 'generate',
        'sizes': _124M,
        'batch': batch,
        'prompt': 64,
        'new': 128,
        'dtype': 'float32',
        'variants': ['eager', 'sdpa'],
        'runs': 1,
    }


# The goals are medians of pairs against torch's fastest eager variant, on 2 CPU cores.
WORKLOADS = {
    'train 8x128': (train(8, 128), 1.3),
    'train 4x512': (train(4, 512), 1.3),
    'train 2x1024': (train(2, 1024), 1.35),
    'train 8x128 bfloat16': (train(8, 128, dtype='bfloat16'), 1.25),
    'train 8x128 compiled': (train(8, 128, variants=['nano compiled']), None),
    'lora 8x128': (train(8, 128, lora=8, variants=['eager', 'sdpa']), 1.3),
    'generate 1': (generate(1), 2.0),
    'generate 8': (generate(8), 2.0),
    'tiny': (train(2, 32, sizes=_TINY), None),
}


class WorkerEnded(Exception):
    """A side of the comparison is gone, most often for want of memory."""


class Worker:
    """A side in a process of its own; `about` are its versions, threads and vectors."""

    def __init__(
        self, script: str, work: dict[str, Any], environment: dict[str, str]
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_FOLDER / script), json.dumps(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.about = self._answer()

    def run(self, times: int) -> dict[str, float]:
        print(times, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise WorkerEnded(self._process.args)
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)


def in_turn(
    everyone: dict[str, Worker], num_rounds: int, runs: int
) -> list[dict[str, dict[str, float]]]:
    """What each said in each round, of `runs` runs, after two to warm up; ends them."""
    for worker in everyone.values():
        worker.run(2)  # compiles
    rounds = [
        {who: worker.run(runs) for who, worker in everyone.items()}
        for _ in range(num_rounds)
    ]
    for worker in everyone.values():
        worker.close()
    return rounds


def start(work: dict[str, Any], isa: str) -> tuple[Worker, dict[str, Worker]]:
    """Our side and torch's, one for each variant, with the instructions of `isa`."""
    only = instruction_sets.ONLY_AVX2 if isa else {'ours': {}, 'torch': {}}
    work = {**work, 'isa': isa}
    environment = {**os.environ, **allocator.tunables(os.environ), **only['ours']}
    flags = [os.environ.get('XLA_FLAGS', ''), only['ours'].get('XLA_FLAGS', '')]
    environment['XLA_FLAGS'] = ' '.join(flags).strip()
    ours = Worker('worker_ours.py', work, environment)
    theirs = {
        variant: Worker(
            'worker_torch.py',
            {**work, 'variant': variant},
            {**os.environ, **only['torch']},
        )
        for variant in work['variants']
    }
    return ours, theirs


def machine(ours: dict[str, Any], torch: dict[str, Any], isa: str) -> dict[str, Any]:
    """The line that says whose figures follow."""
    processor = instruction_sets.processor()
    limited = f'{isa.upper()}, imitated on {processor["vectors"]}' if isa else 'no'
    return {**processor, 'limited': limited, 'ours': ours, 'torch': torch}


def compare(name: str, num_pairs: int, isa: str, *, say_machine: bool) -> None:
    work, goal = WORKLOADS[name]
    ours, theirs = start(work, isa)
    if say_machine:
        about = machine(ours.about, next(iter(theirs.values())).about, isa)
        print(json.dumps(about), flush=True)
    everyone = {'ours': ours, **theirs}
    rounds = in_turn(everyone, num_pairs, work['runs'])
    seconds = {
        who: [line[who]['seconds'] / work['runs'] for line in rounds]
        for who in everyone
    }
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    fastest = min(theirs, key=medians.get)
    ratios = sorted(
        b / a for a, b in zip(seconds['ours'], seconds[fastest], strict=True)
    )
    row = {
        'workload': name,
        'ratio': round(statistics.median(ratios), 3),
        'ratios': [round(ratio, 3) for ratio in ratios],
        'goal': goal,
        'against': fastest,
        'seconds': {who: round(value, 4) for who, value in medians.items()},
        'peak_memory_gb': {
            who: round(rounds[-1][who]['memory'] / 1e9, 2) for who in everyone
        },
    }
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('workloads', nargs='*', help=', '.join(WORKLOADS))
    parser.add_argument('--pairs', type=int, default=5)
    parser.add_argument('--isa', default='', choices=['', 'avx2'])
    given = parser.parse_args()
    unknown = [name for name in given.workloads if name not in WORKLOADS]
    if unknown or given.pairs < 1:
        parser.error(f'{unknown or given.pairs}: give some of {", ".join(WORKLOADS)}')
    names = given.workloads or [name for name in WORKLOADS if name != 'tiny']
    for i, name in enumerate(names):
        compare(name, given.pairs, given.isa, say_machine=i == 0)


if __name__ == '__main__':
    main()
