"""What test_several_processes.py runs in each process: two programs, call by call.

    python tests/launch/several_child.py ROOT LABEL

The flags of launch.evaluate can't be defined beside those of launch.sample, so they are
deleted in between. Writes ROOT/LABEL.INDEX.json: for each call what it printed, or its
error. Without a run in ROOT it makes one first.
"""

import contextlib
import importlib
import io
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
from absl import flags

from hax_jax import errors
from hax_jax.devices import runtime, same_run

LETTERS = ['the aunt has my coat', 'supper', 'a letter by the garden door', 'train']


def call(main: Callable[[], Any], *arguments: object) -> dict[str, str]:
    out, said = io.StringIO(), io.StringIO()
    error = ''
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        flags.FLAGS(['program', *map(str, arguments)])
        try:
            main()
        except errors.InputError as raised:
            error = str(raised)
    return {'out': out.getvalue(), 'said': said.getvalue(), 'error': error}


def forget_flags() -> None:
    for name in list(flags.FLAGS):
        if name not in ('v', 'verbosity'):
            delattr(flags.FLAGS, name)


def make_run(root: pathlib.Path) -> None:
    """A run of 6 steps saved at 3 and 6, and letters as prompt files."""
    evaluate_child = importlib.import_module('evaluate_child')
    evaluate_child.write_dataset(root / 'data', seed=0)
    evaluate_child.train(root / 'data', root / 'run')
    (root / 'letters.txt').write_text('\n---\n'.join(LETTERS))


def evaluations(root: pathlib.Path, out: pathlib.Path) -> dict[str, dict[str, str]]:
    main = importlib.import_module('launch.evaluate').main
    run = f'--workdir={root / "run"}'
    return {
        'steps': call(main, run, '--step=3', '--step=6', f'--output={out}/steps.json'),
        'no step': call(main, run, '--step=4'),
        'no run': call(main),
    }


def samples(root: pathlib.Path, out: pathlib.Path) -> dict[str, dict[str, str]]:
    main = importlib.import_module('launch.sample').main
    run, letters = f'--workdir={root / "run"}', f'--prompts={root / "letters.txt"}'
    asked = ('--max_new_tokens=8', '--batch_size=4', '--temperature=2')
    to_file = (run, letters, *asked, '--num_samples=3', '--stop=e', '--logprobs')
    whole, torn = out / 'whole.jsonl', out / 'torn.jsonl'
    table = f'--table={out / "table.md"}'
    found = {
        'whole': call(main, *to_file, f'--output={whole}', table),
        'list': call(main, letters, '--list'),
        'standard input': call(main, run, '--prompts=-', *asked),
        'no letters': call(main, run, f'--prompts={root / "gone.txt"}'),
    }
    if jax.process_index() == 0:
        torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    found['torn'] = call(main, *to_file, f'--output={torn}')
    found['full'] = call(main, *to_file, f'--output={torn}')
    if jax.device_count() > 1:
        cut = out / 'tensor.jsonl'
        found['tensor'] = call(main, *to_file, f'--output={cut}', '--tensor=2')
    return found


if __name__ == '__main__':
    runtime.start()
    root, label = pathlib.Path(sys.argv[1]), sys.argv[2]
    if label == 'alone':
        make_run(root)
    out = root / label
    out.mkdir(exist_ok=True)
    found = evaluations(root, out)
    forget_flags()
    found |= samples(root, out)
    found['other files'] = call(
        lambda: same_run.compare(
            {'runs/a': jax.process_index()}, remedy=same_run.SAME_FILES
        )
    )
    path = root / f'{label}.{jax.process_index()}.json'
    path.write_text(json.dumps(found))
