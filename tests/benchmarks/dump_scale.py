"""How fast, and in how much memory, a synthetic dump is collected.

    PYTHONPATH=.:tests python tests/benchmarks/dump_scale.py --bytes=2e9

Makes posts and comments of so many bytes of JSON together (dump_synthesis.py), as .zst
whose window is 2 GiB and as plain lines, which show the memory without the window; once
with all objects of the wanted subreddit and once with 2% of them. Each is collected by
a child process, with the default rules and with every post wanted. Times are the whole
child's, its start and its output included; the core's rate is JSON by the seconds that
all its threads computed. With --folder dumps are kept, and those of before are used.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import dump_synthesis

_ROOT = pathlib.Path(__file__).parents[2]
_RULES = {'default': [], 'every post': ['--min_upvotes=-1000000000']}


def main() -> None:
    """Prints a row for each run as it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--bytes', type=float, default=2e9, help='of JSON')
    parser.add_argument('--folder', help='a temporary one by default')
    parser.add_argument('--suffixes', default='.zst,.jsonl')
    parser.add_argument('--others', default='0,0.98', help='shares of other subreddits')
    parser.add_argument('--max_answers_per_post', default='1')
    given = parser.parse_args()
    print(
        'file    of others  rules       JSON GB  wall s   CPU s  MB/s per core  '
        'peak MB  threads'
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(given.folder or temporary)
        for others in map(float, given.others.split(',')):
            for suffix in given.suffixes.split(','):
                dump = folder / f'{given.bytes:.0f}_{others}{suffix}'
                size = _made(dump, int(given.bytes), suffix, others)
                for rules, flags in _RULES.items():
                    flags = [
                        *flags,
                        f'--max_answers_per_post={given.max_answers_per_post}',
                    ]
                    wall, cpu, peak, threads = _collected(dump, suffix, flags)
                    print(
                        f'{suffix:7} {others:9.0%}  {rules:10}  {size / 1e9:7.1f} '
                        f'{wall:7.1f} {cpu:7.1f}  {size / 1e6 / cpu:13.0f}  '
                        f'{peak / 1e6:7.0f}  {threads:7,}',
                        flush=True,
                    )


def _made(folder: pathlib.Path, num_bytes: int, suffix: str, others: float) -> int:
    """Bytes of JSON of the dump in a folder, made there unless it is there whole."""
    done = folder / 'size.json'
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: a child's peak counts its parent's memory, too.
        context = multiprocessing.get_context('spawn')
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            made = pool.submit(
                dump_synthesis.write, folder, num_bytes, suffix=suffix, others=others
            )
        done.write_text(json.dumps(made.result()[1]))
    return json.loads(done.read_text())


def _collected(
    dump: pathlib.Path, suffix: str, flags: list[str]
) -> tuple[float, float, int, int]:
    """Seconds of wall, of all threads; peak bytes of memory; threads of the output."""
    with tempfile.TemporaryDirectory(dir=dump) as name:
        output = pathlib.Path(name) / 'out.jsonl'
        begun = time.perf_counter()
        child = subprocess.Popen(
            [
                *(sys.executable, '-m', 'data_pipeline.collect', '--source=dump'),
                *('--subreddit=advice', f'--input={dump}/R*{suffix}', '--limit=0'),
                *(f'--output={output}', '--no_log_file', *flags),
            ],
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        if status:
            sys.exit(
                f'collecting {dump} ended with {os.waitstatus_to_exitcode(status)}'
            )
        with open(output, 'rb') as file:
            threads = sum(1 for _ in file)
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, threads


if __name__ == '__main__':
    main()
