"""How fast, and in how much memory, many threads become a dataset.

    PYTHONPATH=.:tests python tests/benchmarks/build_scale.py --threads=300000

Makes threads of a made-up forum (made_up_threads.py), one in ten with the question of
the one before it, and builds them in a child process, with one worker and with one a
core. Memory is what the child and its workers have of their own at most (their
proportional set sizes, looked at twice a second; Linux alone).
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import made_up_threads

from data_pipeline.rows import raw_thread

_ROOT = pathlib.Path(__file__).parents[2]


def main() -> None:
    """Prints a row for each build as it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--threads', type=int, default=300_000)
    parser.add_argument('--workers', default=f'1,{os.cpu_count()}')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        raw = pathlib.Path(temporary) / 'threads.jsonl'
        with open(raw, 'w', encoding='utf-8') as file:
            for thread in made_up_threads.raw(given.threads):
                file.write(raw_thread.to_line(thread) + '\n')
        print(f'{given.threads:,} threads, {raw.stat().st_size / 1e6:,.0f} MB')
        for workers in given.workers.split(','):
            output = pathlib.Path(temporary) / f'data_{workers}'
            wall, cpu, peak = _built(raw, output, workers)
            print(
                f'{workers} worker(s): {wall:.0f} s, {cpu:.0f} s of computing, '
                f'{given.threads / wall:,.0f} threads/s, peak {peak / 1e6:,.0f} MB',
                flush=True,
            )


def _built(
    raw: pathlib.Path, output: pathlib.Path, workers: str
) -> tuple[float, float, int]:
    """Seconds, seconds of computing and bytes of a build."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    child = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'data_pipeline.build',
            f'--input={raw}',
            f'--output={output}',
            f'--num_workers={workers}',
            '--config.split.max_shared_ngrams=1.0',  # the forum has few phrases
        ],
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    peak = 0
    while child.poll() is None:
        peak = max(peak, _memory(child.pid))
        time.sleep(0.5)
    if child.returncode:
        sys.exit(f'the build failed with {child.returncode}')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, cpu, peak


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


if __name__ == '__main__':
    main()
