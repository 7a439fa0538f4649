"""A packed cache with a planted regularity, and runs that learn it in seconds.

Each pair is three random tokens (the question), then the same three over and over
(the answer). Token frequencies tell nothing of it, nor do pairs of neighbours: only who
looks three tokens back knows what comes.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from hax_jax import files
from hax_jax.config import convert, schema
from hax_jax.data import packing, records
from hax_jax.training import run_setup, train_loop

VOCAB = 16
SEQ_LEN = 32
PERIOD = 3


def sequences(num_pairs: int, *, seed: int) -> list[np.ndarray]:
    """Sequences of 7 to 22 tokens from 1 to VOCAB - 1, of period 3."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(num_pairs):
        pattern = rng.integers(1, VOCAB, PERIOD)
        out.append(np.resize(pattern, rng.integers(7, 23)).astype(np.int32))
    return out


def write_cache(
    folder: pathlib.Path, *, num_train: int = 120, num_validation: int = 24
) -> records.PackedCache:
    """The cache of such sequences, with an empty tokenizer folder."""
    splits, counts = {}, {}
    for seed, (name, size) in enumerate(
        (('train', num_train), ('validation', num_validation), ('test', 4))
    ):
        pairs = [
            records.TokenizedPair(
                ordinal=i,
                id=f'{name}-{i}',
                source='planted',
                ids=ids,
                prompt_length=PERIOD,
                question_bytes=PERIOD - 1,
                answer_bytes=len(ids) - PERIOD,
            )
            for i, ids in enumerate(sequences(size, seed=seed))
        ]
        splits[name] = packing.pack(pairs, seq_len=SEQ_LEN, question_weight=0.0)
        counts[name] = packing.count_positions(splits[name])
    meta = {
        'tokenizer': 'none',
        'template': 'none',
        'seq_len': SEQ_LEN,
        'splits': counts,
        'vocab_size': VOCAB,
        'eos_id': 0,  # which no sequence has
    }
    with files.new_folder(folder) as new:
        (new / 'tokenizer').mkdir()
        records.write_cache(new, splits, meta)
    return records.open_cache(folder)


def make_config(**changes: object) -> schema.Config:
    """A config of one layer, width 32; `changes` are `section__field=value`."""
    draft = convert.draft()
    draft.data.update(path='planted', seq_len=SEQ_LEN, reader='numpy')
    draft.tokenizer.path = 'none'
    draft.model.update(
        n_layer=1, n_head=2, n_embd=32, n_positions=SEQ_LEN, vocab_size=VOCAB
    )
    draft.optimizer.update(learning_rate=1e-2, warmup_steps=5)
    draft.train.update(
        num_steps=30,
        batch_size=8,
        log_every_steps=1,
        eval_every_steps=10,
        num_sample_questions=0,  # there is no tokenizer to write an answer with
        checkpoint_every_steps=5,
        layer_metrics_every_steps=0,  # they take 2 s more to compile
    )
    for name, value in changes.items():
        section, _, field = name.partition('__')
        draft[section][field] = value
    return convert.freeze(draft)


def train(
    cache: records.PackedCache, workdir: pathlib.Path, run: schema.Config
) -> pathlib.Path:
    """The workdir, after the run has been trained in it, or gone on with."""
    train_loop.train(run_setup.prepare(run, cache), workdir, allow_change=[])
    return workdir


def lines(workdir: pathlib.Path, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind in the run's metrics.jsonl."""
    rows = (workdir / 'metrics.jsonl').read_text().splitlines()
    return [row for row in map(json.loads, rows) if row['kind'] == kind]


def bigram_entropy(cache: records.PackedCache, split: str) -> float:
    """Nats per answer token that the token before it leaves open, over the split."""
    rows = cache.features(split)
    learned = np.asarray(rows['loss_weights']) > 0
    joint = np.zeros((VOCAB, VOCAB))
    np.add.at(joint, (rows['inputs'][learned], rows['targets'][learned]), 1)
    p = joint / joint.sum()
    given = joint.sum(1, keepdims=True).clip(1)
    seen = joint > 0
    return float(-(p[seen] * np.log((joint / given)[seen])).sum())


def lora(run: schema.Config, base: pathlib.Path) -> schema.Config:
    """The config as a LoRA run on the run at `base`."""
    return dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, pretrained=str(base)),
        lora=dataclasses.replace(run.lora, rank=4, alpha=8.0),
    )
