"""How fast, and in how much memory, raw files become a dataset, stage by stage.

    PYTHONPATH=.:tests python tests/benchmarks/build_scale.py --bytes=1e8

Makes a corpus of a made-up forum (made_up_corpus.py) and builds it in a child process
with one worker and with two: all stages, from reading to the report. Then runs the
stages of one pair in this process, to say what each costs. `--input` builds files of
one's own instead, `--against` also builds in another checkout, in turns.

Memory is what the child and its workers have of their own at most (their proportional
set sizes, looked at twice a second; Linux alone).
"""

import argparse
import collections
import importlib.metadata
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import made_up_corpus

from data_pipeline import settings
from data_pipeline.compared import compared_row, packed_rows
from data_pipeline.pair_stages import stage_ledger, stages
from data_pipeline.preparing import prepare_batch
from data_pipeline.reading import inputs, one_input, reader

_ROOT = pathlib.Path(__file__).parents[2]
_LIBRARIES = ('numpy', 'duckdb', 'pyarrow', 'datasketch', 'py3langid')
# What the child prints as its next part begins.
_PARTS = {'comparing ': 'preparing', 'writing ': 'comparing', 'wrote ': 'writing'}


def main() -> None:
    """Prints a row for each build as it ends, then the cost of each stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--bytes', type=float, default=1e8)
    parser.add_argument('--workers', default='1,2')
    parser.add_argument('--input', action='append', default=[])
    parser.add_argument('--against', default='', help='another checkout')
    parser.add_argument('--pairs', type=int, default=1, help='times each is built')
    given = parser.parse_args()
    print(_machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        patterns = given.input
        if not patterns:
            patterns = made_up_corpus.Corpus(folder, int(given.bytes)).write()
        found = inputs.find(patterns)
        size = sum(each.size for each in found)
        print(f'{size / 1e6:,.1f} MB in {len(found):,} files')
        roots = [pathlib.Path(given.against)] * bool(given.against) + [_ROOT]
        for number in range(given.pairs):
            for workers in given.workers.split(','):
                for root in roots:
                    output = folder / f'data_{number}_{workers}_{root.name}'
                    built = _built(root, patterns, output, workers)
                    name = f'{root.name}, ' if given.against else ''
                    print(
                        f'{name}{workers} worker(s): {_row(size, *built)}', flush=True
                    )
        _print_stages(found, size)


def _row(size: int, wall: float, cpu: float, peak: int, parts: dict[str, float]) -> str:
    each = ', '.join(f'{name} {seconds:.1f}' for name, seconds in parts.items())
    return (
        f'{size / 1e6 / wall:.2f} MB/s, {wall:.1f} s ({each}), {cpu:.1f} s of '
        f'computing, peak {peak / 1e6:,.0f} MB'
    )


def _built(
    root: pathlib.Path, patterns: list[str], output: pathlib.Path, workers: str
) -> tuple[float, float, int, dict[str, float]]:
    """Seconds, seconds of computing, bytes and the seconds of each part of a build."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.NamedTemporaryFile('w+') as printed:
        child = subprocess.Popen(
            [
                sys.executable,
                '-u',
                '-m',
                'data_pipeline.build',
                *(f'--input={pattern}' for pattern in patterns),
                f'--output={output}',
                f'--num_workers={workers}',
                '--cache=off',
                '--config.split.max_shared_ngrams=1.0',  # the forum has few phrases
            ],
            cwd=root,
            env={**os.environ, 'PYTHONPATH': str(root)},
            stdout=printed,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        peak, parts, last = 0, {}, begun
        while child.poll() is None:
            peak = max(peak, _memory(child.pid))
            lines = pathlib.Path(printed.name).read_text().splitlines()
            for opening, name in _PARTS.items():
                if name not in parts and any(e.startswith(opening) for e in lines):
                    parts[name], last = time.monotonic() - last, time.monotonic()
            time.sleep(0.25)
    if child.returncode:
        sys.exit(f'the build failed with {child.returncode}')
    parts['end'] = time.monotonic() - last
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, cpu, peak, parts


def _memory(session: int) -> int:
    """Bytes of all processes of a session."""
    total = 0
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            if os.getsid(int(folder.name)) == session:
                lines = (folder / 'smaps_rollup').read_text().splitlines()
                total += sum(
                    int(line.split()[1]) for line in lines if line.startswith('Pss:')
                )
        except OSError:
            continue  # it has ended
    return total * 1024


def _print_stages(found: list[one_input.Input], size: int) -> None:
    """Prints what each stage of one pair costs, in this process."""
    spent: collections.Counter[str] = collections.Counter()
    chosen = settings.Settings()
    sequence = [
        stages.Stage(each.name, each.apply, _timed(each, spent))
        for each in prepare_batch.sequence(chosen)
    ]
    for batch, read in _read(found, spent):
        begun = time.process_time()
        ledger = stage_ledger.Ledger()
        outcomes = ledger.run(read, sequence)
        spent['ledger'] += time.process_time() - begun
        begun = time.process_time()
        rows = [
            compared_row.make(raw, kept, chosen.duplicates)
            for raw, (kept, reason) in zip(read, outcomes, strict=True)
            if not reason
        ]
        packed_rows.packed(rows)
        spent['signatures and columns'] += time.process_time() - begun
        del batch
    spent['ledger'] -= sum(spent[each.name] for each in sequence)
    for name, seconds in spent.items():
        print(f'{name:24} {seconds:6.1f} s {1e9 * seconds / size:6.0f} ms/MB')


def _read(
    found: list[one_input.Input], spent: collections.Counter[str]
) -> Iterator[tuple[object, list]]:
    for batch in reader.batches_of(found):
        begun = time.process_time()
        read = reader.read_batch(batch)
        spent['reading'] += time.process_time() - begun
        yield batch, read.pairs


def _timed(stage: stages.Stage, spent: collections.Counter[str]):  # noqa: ANN202
    def outcomes(pairs):  # noqa: ANN001, ANN202
        begun = time.process_time()
        made = stage.outcomes(pairs)
        spent[stage.name] += time.process_time() - begun
        return made

    return outcomes


def _machine() -> str:
    """The processor, its cores, and the versions of what does the work."""
    name = platform.processor() or platform.machine()
    info = pathlib.Path('/proc/cpuinfo')
    if info.is_file():
        models = [
            line.partition(':')[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith('model name')
        ]
        name = next(iter(models), name)
    versions = ', '.join(
        f'{each} {importlib.metadata.version(each)}' for each in _LIBRARIES
    )
    return (
        f'{name}, {os.cpu_count()} cores; Python {platform.python_version()}, '
        f'{versions}'
    )


if __name__ == '__main__':
    main()
