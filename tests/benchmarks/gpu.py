"""Everything about speed that needs a GPU, in one call; JSON lines.

    PYTHONPATH=. python tests/benchmarks/gpu.py --out=FOLDER

Needs torch, transformers and peft beside JAX; no data, no TensorFlow, no network. In
turn: is fused attention right (accelerator_check.py); the largest good batch of each
side, for the 124M in full and the 1.5B with LoRA, bfloat16, rows of 1,024; both sides
at their best batches in turn, A B A B; ours on packed rows of real lengths; generation
beside transformers' with a static cache; and what a step of ours spends its time on.
What fails is a line of its own and ends nothing else. The profile of each of our models
stays in FOLDER. About 10 minutes; --quick does it in small, also on a CPU.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import compare

_XL = {'layers': 48, 'width': 1600, 'heads': 25, 'vocab': 50304}
_124M = {'layers': 12, 'width': 768, 'heads': 12, 'vocab': 50304}
_TINY = {'layers': 2, 'width': 64, 'heads': 2, 'vocab': 512}
_GAIN = 1.03  # a batch twice as large that gives less is not worth its memory
# One process's share of the memory at a time: JAX would take three quarters of it.
_SHARED = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}


def models(quick: bool) -> dict[str, dict[str, Any]]:
    """The training that is timed: name -> a workload without its batch."""
    full = compare.train(
        0,
        128 if quick else 1024,
        sizes=_TINY if quick else _124M,
        dtype='bfloat16',
        runs=1 if quick else 5,
        variants=['sdpa', 'nano'] + ['nano compiled'] * (not quick),
    )
    lora = {**full, 'sizes': _TINY if quick else _XL, 'lora': 8, 'variants': ['sdpa']}
    return {'124M full': full, '1.5B LoRA': lora}


class Sides:
    """Starts workers; says how many positions a second each gives."""

    def start(self, who: str, work: dict[str, Any]) -> compare.Worker:
        environment = {**os.environ, **_SHARED}
        if who.startswith('ours'):
            return compare.Worker('worker_ours.py', work, environment)
        return compare.Worker('worker_torch.py', {**work, 'variant': who}, environment)

    def best_batch(
        self, who: str, work: dict[str, Any], batches: list[int]
    ) -> dict[str, Any]:
        """The smallest batch behind which there is little to gain, and its speed."""
        tried, best = {}, 0
        for batch in batches:
            given = {**work, 'batch': batch}
            try:
                rounds = compare.in_turn({who: self.start(who, given)}, 2, work['runs'])
            except compare.WorkerEnded:
                tried[batch] = 0.0  # out of memory
                break
            seconds = min(line[who]['seconds'] for line in rounds) / work['runs']
            tried[batch] = batch * work['length'] / seconds
            if best and tried[batch] < _GAIN * tried[best]:
                break
            best = batch
        return {'batch': best, 'positions_per_second': tried}


def train(sides: Sides, name: str, work: dict[str, Any], batches: list[int]) -> None:
    everyone = ['ours', *work['variants']]
    best = {}
    for who in everyone:
        found = sides.best_batch(who, work, batches)
        say('largest good batch', model=name, who=who, **found)
        if found['batch']:
            best[who] = found['batch']
    if 'ours' not in best or len(best) < 2:
        return
    workers = {
        who: sides.start(who, {**work, 'batch': batch}) for who, batch in best.items()
    }
    rounds = compare.in_turn(workers, 4, work['runs'])
    rates = {
        who: [
            best[who] * work['length'] * work['runs'] / line[who]['seconds']
            for line in rounds
        ]
        for who in best
    }
    fastest = max((who for who in best if who != 'ours'), key=lambda w: max(rates[w]))
    ratios = [a / b for a, b in zip(rates['ours'], rates[fastest], strict=True)]
    say(
        'in turn',
        model=name,
        batches=best,
        against=fastest,
        ratio=statistics.median(ratios),
        ratios=ratios,
        positions_per_second={who: statistics.median(r) for who, r in rates.items()},
        memory={who: rounds[-1][who]['memory'] for who in best},
    )
    packed = {**work, 'batch': best['ours'], 'whole_rows': False}
    rounds = compare.in_turn({'ours': sides.start('ours', packed)}, 3, work['runs'])
    seconds = min(line['ours']['seconds'] for line in rounds) / work['runs']
    say(
        'packed rows of real lengths',
        model=name,
        positions_per_second=best['ours'] * work['length'] / seconds,
    )


def generate(sides: Sides, quick: bool) -> None:
    for batch in [1, 8] if quick else [1, 8, 64]:
        work = compare.generate(batch) | {'dtype': 'bfloat16'}
        if quick:
            work |= {'sizes': _TINY, 'prompt': 8, 'new': 16}
        everyone = ['ours', 'sdpa', 'eager static']
        workers = {who: sides.start(who, work) for who in everyone}
        rounds = compare.in_turn(workers, 3, 1)
        seconds = {who: [line[who]['seconds'] for line in rounds] for who in everyone}
        medians = {who: statistics.median(times) for who, times in seconds.items()}
        fastest = min(everyone[1:], key=medians.get)
        pairs = zip(seconds['ours'], seconds[fastest], strict=True)
        say(
            'generation',
            batch=batch,
            against=fastest,
            ratio=statistics.median(theirs / ours for ours, theirs in pairs),
            seconds=medians,
        )


def benchmark(work: dict[str, Any], folder: pathlib.Path, name: str) -> None:
    """launch.benchmark's own line: share of the matmul peak, compile time, memory."""
    sizes = work['sizes']
    arguments = [
        '--config=tests/benchmarks/gpt2_124m.py',
        '--only=train',
        '--whole_rows',
        f'--config.model.n_layer={sizes["layers"]}',
        f'--config.model.n_embd={sizes["width"]}',
        f'--config.model.n_head={sizes["heads"]}',
        f'--config.model.vocab_size={sizes["vocab"]}',
        f'--config.data.seq_len={work["length"]}',
        f'--config.train.batch_size={work["batch"]}',
        f'--config.train.compute_dtype={work["dtype"]}',
        f'--config.lora.rank={work["lora"]}',
        f'--profile={folder / name.replace(" ", "_")}',
    ]
    run = subprocess.run(
        [sys.executable, '-m', 'launch.benchmark', *arguments],
        capture_output=True,
        text=True,
    )
    print(run.stdout, end='', flush=True)
    if run.returncode:
        say('failed', part=f'launch.benchmark {name}', why=run.stderr[-2000:])


def say(what: str, **values: Any) -> None:
    print(json.dumps({'gpu': what, **values}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--quick', action='store_true')
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    if not given.quick:
        subprocess.run([sys.executable, 'tests/accelerator_check.py'], check=False)
    sides = Sides()
    batches = [2, 4] if given.quick else [8, 16, 32, 64]
    parts = {}
    for name, work in models(given.quick).items():
        parts[name] = lambda name=name, work=work: train(sides, name, work, batches)
        at = {**work, 'batch': batches[-3] if not given.quick else 2}
        parts[f'{name}, profile'] = lambda name=name, at=at: benchmark(
            at, given.out, name
        )
    parts['generation'] = lambda: generate(sides, given.quick)
    for name, part in parts.items():
        try:
            part()
        except compare.WorkerEnded as error:
            say('failed', part=name, why=str(error)[:2000])
    say('done', seconds=time.monotonic() - begun)


if __name__ == '__main__':
    main()
