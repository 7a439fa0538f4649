"""How long each program takes to start: --help, a typo, a missing file, a trivial job.

    PYTHONPATH=.:tests python tests/benchmarks/start.py
    PYTHONPATH=.:tests python tests/benchmarks/start.py --tree=../before --tree=.

Prints a row for each, the median of --repeats calls after one that is not counted: wall
clock and CPU (user and system) in seconds. Several trees are called in turn. The jobs
are done on a dataset of 60 made-up pairs and a run of 2 layers of width 32, which are
made first; compiled programs are cached. The 124M to its first step:
`python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py --only=startup`.
"""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import tiny_data

_RUN, _DATA = '--workdir={0}/run', '--config.data.path={0}/data'
_CONFIG = '--config={0}/tiny.py'
_SHORT = ['--prompt=why', '--max_new_tokens=1']
# Program -> (flags that name a missing file, flags of a trivial job); {0} is the folder
# of the dataset and the run, {1} a new one.
_COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    'launch.hax': (['tarin'], ['train', '--help']),
    'launch.pack': (
        [_CONFIG, '--config.data.path={0}/no'],
        [_CONFIG, _DATA, '--config.data.question_weight=0.5'],
    ),
    'launch.train': (
        [_CONFIG, '--config.data.path={0}/no', _RUN],
        [_CONFIG, _DATA, '--workdir={1}', '--config.train.num_steps=1'],
    ),
    'launch.sample': (['--workdir={0}/no', *_SHORT], [_RUN, *_SHORT]),
    'launch.chat': (['--workdir={0}/no'], [_RUN, '--max_new_tokens=1']),
    'launch.evaluate': (['--workdir={0}/no'], [_RUN]),
    'launch.export': (
        ['--workdir={0}/no', '--format=hf', '--output={1}'],
        [_RUN, '--format=hf', '--output={1}'],
    ),
    'launch.checkpoints': (['--workdir={0}/no'], [_RUN]),
    'launch.report': (['--workdir={0}/no'], [_RUN, '--output={1}.html']),
    'launch.import_checkpoint': (['{0}/no.pt', '--output={1}'], []),
    'launch.benchmark': (['--config={0}/no.py'], []),
    'launch.prove_resume': (['--config={0}/no.py'], []),
    'data_pipeline.build': (
        ['--input={0}/no.md', '--output={1}'],
        ['--input={0}/pairs.md', '--output={1}'],
    ),
    'data_pipeline.collect': (
        ['--source=dump', '--input={0}/no.zst', '--output={1}.jsonl'],
        [],
    ),
    'data_pipeline.export_chat': (
        ['--data={0}/no', '--output={1}.jsonl'],
        ['--data={0}/data', '--output={1}.jsonl'],
    ),
    'data_pipeline.extract': (
        ['--input={0}/no.md', '--output={1}.jsonl'],
        ['--input={0}/pairs.md', '--output={1}.jsonl'],
    ),
}
_NAMED = ('jax', 'orbax', 'tensorflow')  # whose versions are printed
_TRAIN = ['launch.train', _CONFIG, _DATA, _RUN]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--tree', action='append', type=pathlib.Path)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--only', default='', help='programs, with commas')
    parser.add_argument('--cases', default='help,typo,missing,job')
    given = parser.parse_args()
    trees = given.tree or [pathlib.Path(__file__).parents[2]]
    names = [importlib.metadata.packages_distributions().get(name) for name in _NAMED]
    versions = [
        f'{each[0]} {importlib.metadata.version(each[0])}' for each in names if each
    ]
    print(
        f'{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, '
        f'{", ".join(versions)}'
    )
    for number, tree in enumerate(trees):
        print(f'tree {number}: {tree}')
    columns = ' '.join(f'{f"wall {n}":>7} {f"CPU {n}":>6}' for n in range(len(trees)))
    print(f'{"program":<26} {"case":<8} {columns}')
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ['JAX_COMPILATION_CACHE_DIR'] = f'{folder}/compiled'
        tiny_data.make(folder)
        _call(trees[-1], _filled(_TRAIN, folder, folder))
        for program, (missing, job) in _COMMANDS.items():
            if program not in (given.only.split(',') if given.only else _COMMANDS):
                continue
            cases = {'help': ['--help'], 'typo': ['--wrokdir=a'], 'missing': missing}
            for case, flags in (cases | ({'job': job} if job else {})).items():
                if case in given.cases.split(','):
                    _measure(trees, folder, program, case, flags, given.repeats)


def _measure(
    trees: list[pathlib.Path],
    folder: pathlib.Path,
    program: str,
    case: str,
    flags: list[str],
    repeats: int,
) -> None:
    """Prints a row: the medians of each tree."""
    found: list[list[tuple[float, float]]] = [[] for _ in trees]
    for repeat in range(repeats + 1):
        for number, tree in enumerate(trees):
            new = folder / f'{program}-{case}-{number}-{repeat}'
            seconds = _call(tree, _filled([program, *flags], folder, new))
            if repeat:
                found[number].append(seconds)
    columns = ' '.join(
        f'{statistics.median(wall):>7.2f} {statistics.median(cpu):>6.2f}'
        for wall, cpu in (zip(*each, strict=True) for each in found)
    )
    print(f'{program:<26} {case:<8} {columns}', flush=True)


def _filled(command: list[str], folder: pathlib.Path, new: pathlib.Path) -> list[str]:
    return [word.format(folder, new) for word in command]


def _call(tree: pathlib.Path, command: list[str]) -> tuple[float, float]:
    """(wall clock, CPU) of `python -m COMMAND` in a tree."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, '-m', *command],
        cwd=tree,
        env={**os.environ, 'PYTHONPATH': str(tree.resolve())},
        input='why\n' if command[0] == 'launch.chat' else '',
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):
        raise SystemExit(f'{" ".join(command)}: {done.stderr}')
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _processor() -> str:
    for line in pathlib.Path('/proc/cpuinfo').read_text('utf-8').splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.processor()


if __name__ == '__main__':
    main()
