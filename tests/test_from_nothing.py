"""A run from nothing: a server of threads, then collect, build and train."""

import json
import pathlib
import time

import fake_arctic_shift
import loopback
import made_up_threads
import programs
import pytest

from data_pipeline import dataset
from hax_jax.data import dataset_folder

CONFIG = """
from configs import scratch_small


def get_config():
    draft = scratch_small.get_config()
    draft.tokenizer.vocab_size = 512
    draft.model.n_layer = 2
    draft.model.n_embd = 64
    draft.model.n_positions = draft.data.seq_len = 256
    draft.train.batch_size = 8
    draft.train.num_steps = 150
    draft.train.eval_every_steps = 50
    draft.optimizer.learning_rate = 3e-3
    return draft
"""


@pytest.mark.slow
def test_two_thousand_threads_become_a_model_that_has_learned_of_them(
    tmp_path: pathlib.Path,
) -> None:
    posts, trees = made_up_threads.make(2000)
    server = fake_arctic_shift.FakeArcticShift(posts, trees=trees, bad_every=97)
    raw, data, run = (tmp_path / name for name in ('threads.jsonl', 'data', 'run'))
    (tmp_path / 'config.py').write_text(CONFIG)
    seconds = {}

    def program(name: str, *arguments: str) -> str:
        begun = time.monotonic()
        done = programs.run('-m', name, *arguments)
        seconds[name] = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with loopback.serve(server) as url:
        program(
            'data_pipeline.collect',
            f'--base_url={url}',
            '--subreddit=advice',
            '--limit=0',
            '--delay=0',
            '--batch_delay=0',
            f'--output={raw}',
        )
    # Of every 20: one is removed, one of a poor score, one answered by a bot alone.
    ids = [json.loads(line)['id'] for line in raw.read_text('utf-8').splitlines()]
    assert len(ids) == 1700
    assert set(ids) == {
        post['id'] for i, post in enumerate(posts) if i % 20 not in (3, 7, 11)
    }

    program('data_pipeline.build', f'--input={raw}', f'--output={data}')
    manifest = dataset_folder.read_manifest(data)
    ledger = json.loads((data / dataset.LEDGER).read_text())
    assert ledger['pairs']['read'] == 1700
    kept = {name: split['pairs'] for name, split in manifest['splits'].items()}
    assert sum(kept.values()) == ledger['pairs']['kept'] >= 1690

    program(
        'launch.train',
        f'--config={tmp_path / "config.py"}',
        f'--config.data.path={data}',
        f'--workdir={run}',
    )
    rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
    (summary,) = (row for row in rows if row['kind'] == 'summary')
    # The grammar's order is worth more than its words' frequencies.
    assert summary['best_validation_loss'] < summary['unigram_entropy'] - 1
    print({'seconds': seconds, 'pairs': kept, 'summary': summary})
