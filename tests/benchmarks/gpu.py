"""Everything about speed that needs a GPU, in one call; JSON lines.

    PYTHONPATH=. python tests/benchmarks/gpu.py --out=FOLDER

No data, no TensorFlow, no network; `full`, `lora` and `generation` need torch,
transformers and peft beside JAX. --parts names some of these, in order; all by default:

    check       is each attention right (accelerator_check.py)
    table       the 124M at 1,024: attention x loss chunk x scanned or unrolled, then
                batches of 16 to 128 with the fastest, then the kernel's blocks
    packed      rows packed with pairs of real lengths beside whole rows, A B A B
    full, lora  the 124M in full and the 1.5B with LoRA, bfloat16: the largest good
                batch of each side, both in turn, and a profile of ours in FOLDER
    generation  beside transformers' with a static cache, at 1, 8 and 64
    flags       XLA's flags, each in turn with none

What fails is a line of its own and ends nothing else. A part begins nothing new once
--minutes are over since the start, and says what it left out. On machines that end a
call after 10 minutes, three: --parts=check,table; full,generation; packed,lora,flags.
--quick does it in small, also on a CPU.
"""

import argparse
import functools
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import compare

_XL = {'layers': 48, 'width': 1600, 'heads': 25, 'vocab': 50304}
_124M = {'layers': 12, 'width': 768, 'heads': 12, 'vocab': 50304}
_TINY = {'layers': 2, 'width': 64, 'heads': 2, 'vocab': 512}
_GAIN = 1.03  # a batch twice as large that gives less is not worth its memory
# One process's share of the memory at a time: JAX would take three quarters of it.
_SHARED = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
_GOAL_PACKED = 0.95  # positions a second of packed rows, of those of whole rows
_FLAGS = (
    '--xla_gpu_enable_latency_hiding_scheduler=true',
    '--xla_gpu_autotune_level=0',
    '--xla_gpu_enable_triton_gemm=false',
    '--xla_gpu_enable_command_buffer=',
)
# Of the Triton kernel: queries and keys of a block, forward and backward.
_BLOCKS = (
    {'block_k': 64},
    {'block_q': 64, 'block_k': 64},
    {'block_q_dkv': 32, 'block_kv_dkv': 64, 'block_q_dq': 64, 'block_kv_dq': 32},
    {'block_q_dkv': 64, 'block_kv_dkv': 128, 'block_q_dq': 128, 'block_kv_dq': 64},
    {'block_q_dkv': 64, 'block_kv_dkv': 64, 'block_q_dq': 64, 'block_kv_dq': 64},
)


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

    def __init__(self, until: float) -> None:
        self._until = until

    def late(self) -> bool:
        """Whether the time that was given is over."""
        return time.monotonic() > self._until

    def start(self, who: str, work: dict[str, Any]) -> compare.Worker:
        environment = {**os.environ, **_SHARED, **work.get('environment', {})}
        if who.startswith('ours'):
            return compare.Worker('worker_ours.py', work, environment)
        return compare.Worker('worker_torch.py', {**work, 'variant': who}, environment)

    def rate(self, work: dict[str, Any]) -> float:
        """Ours: positions a second, the best of three turns; 0.0 if it did not run."""
        try:
            rounds = compare.in_turn(
                {'ours': self.start('ours', work)}, 3, work['runs']
            )
        except compare.WorkerEnded:
            return 0.0
        seconds = min(line['ours']['seconds'] for line in rounds) / work['runs']
        return work['batch'] * work['length'] / seconds

    def ratios(self, one: dict[str, Any], other: dict[str, Any]) -> list[float]:
        """How much more positions a second ours has with `one`, in each of 4 turns."""
        workers = {'ours': self.start('ours', one), 'ours 2': self.start('ours', other)}
        rounds = compare.in_turn(workers, 4, one['runs'])
        return [line['ours 2']['seconds'] / line['ours']['seconds'] for line in rounds]

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


def table(sides: Sides, work: dict[str, Any], quick: bool) -> None:
    """Each attention, loss chunk and form of layers; what tells most comes first."""
    kinds = ['blockwise', 'xla'] if quick else ['triton', 'blockwise', 'xla', 'cudnn']
    length = work['length']
    base = (kinds[0], min(512, length), False)
    ways = itertools.product(kinds, sorted({128, base[1], length}), [False, True])
    rates, left_out = {}, []

    def far(way: tuple[str, int, bool]) -> int:
        return sum(a != b for a, b in zip(way, base, strict=True))

    for way in sorted(ways, key=far):
        given = dict(zip(('attention', 'loss_chunk', 'scan'), way, strict=True))
        if sides.late():
            left_out.append(given)
            continue
        rates[way] = sides.rate({**work, **given})
        say('table', **given, batch=work['batch'], positions_per_second=rates[way])
    if left_out:
        say('left out', ways=left_out)
    best = max(rates, key=rates.get, default=base)
    given = dict(zip(('attention', 'loss_chunk', 'scan'), best, strict=True))
    for batch in [4] if quick else [16, 64, 128]:
        if sides.late():
            return say('left out', batches_from=batch)
        found = sides.rate({**work, **given, 'batch': batch})
        say('batch', **given, batch=batch, positions_per_second=found)
    for blocks in () if quick else _BLOCKS:
        if sides.late():
            return say('left out', blocks_from=blocks)
        found = sides.rate({**work, **given, 'attention': 'triton', 'blocks': blocks})
        say('blocks', blocks=blocks, positions_per_second=found)


def packed(sides: Sides, work: dict[str, Any]) -> None:
    """Rows of many short pairs against rows of one, the same number of positions."""
    ratios = sides.ratios({**work, 'whole_rows': False}, work)
    ratio = statistics.median(ratios)
    good = ratio >= _GOAL_PACKED
    say('packed rows', ratio=ratio, ratios=ratios, goal=_GOAL_PACKED, good=good)


def flags(sides: Sides, work: dict[str, Any], quick: bool) -> None:
    """Each of XLA's flags in turn with none."""
    for flag in [''] if quick else _FLAGS:
        if sides.late():
            return say('left out', flags_from=flag)
        environment = {'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {flag}'.strip()}
        try:
            ratios = sides.ratios({**work, 'environment': environment}, work)
        except compare.WorkerEnded as error:
            say('failed', part=f'flags {flag}', why=str(error)[:500])
        else:
            say('flag', flag=flag, ratio=statistics.median(ratios), ratios=ratios)


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


def train_and_profile(
    sides: Sides,
    name: str,
    work: dict[str, Any],
    batches: list[int],
    folder: pathlib.Path,
) -> None:
    train(sides, name, work, batches)
    benchmark({**work, 'batch': batches[0] if len(batches) < 3 else 16}, folder, name)


def check(quick: bool) -> None:
    more = ['--quick'] * quick
    program = [sys.executable, 'tests/accelerator_check.py', *more]
    say('check', good=subprocess.run(program, check=False).returncode == 0)


def parts(
    sides: Sides, folder: pathlib.Path, quick: bool
) -> dict[str, Callable[[], None]]:
    full, lora = models(quick).values()
    batches = [2, 4] if quick else [8, 16, 32, 64]
    at = {**full, 'batch': 2 if quick else 32}
    return {
        'check': functools.partial(check, quick),
        'table': functools.partial(table, sides, at, quick),
        'packed': functools.partial(packed, sides, at),
        'full': functools.partial(
            train_and_profile, sides, '124M full', full, batches, folder
        ),
        'lora': functools.partial(
            train_and_profile, sides, '1.5B LoRA', lora, batches, folder
        ),
        'generation': functools.partial(generate, sides, quick),
        'flags': functools.partial(flags, sides, at, quick),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--parts', help='some, with commas; all if not given')
    parser.add_argument('--minutes', type=float, default=9.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    known = parts(Sides(begun + 60 * given.minutes), given.out, given.quick)
    wanted = given.parts.split(',') if given.parts else list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f'--parts: {unknown} are not in {", ".join(known)}')
    for name in wanted:
        try:
            known[name]()
        except compare.WorkerEnded as error:
            say('failed', part=name, why=str(error)[:2000])
    say('done', seconds=time.monotonic() - begun)


if __name__ == '__main__':
    main()
