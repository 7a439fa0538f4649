"""Writes the golden run of a version that kept no digests.

A development tool: run it from a checkout of 28fc0f6, the last commit of that version,
with the environment of requirements.txt:

    PYTHONPATH=.:tests python tests/golden/make_run_without_digests.py FOLDER

Copy config.json, run.json, metrics.jsonl and checkpoints/10 of FOLDER/run to
tests/golden/run_without_digests. Made with jax 0.10.2, orbax-checkpoint 0.12.8.
"""

import pathlib
import sys

import tiny_runs

SIZES = {'model__n_layer': 1, 'model__n_embd': 8}

if __name__ == '__main__':
    folder = pathlib.Path(sys.argv[1])
    cache = tiny_runs.write_cache(folder / 'cache')
    run = tiny_runs.make_config(**SIZES, train__num_steps=10, train__keep_best=1)
    tiny_runs.train(cache, folder / 'run', run)
