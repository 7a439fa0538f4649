"""A dataset of made-up pairs, not packed yet, and a config of a tiny model."""

import pathlib
import random

import forks

_WORDS = ['aunt', 'door', 'letter', 'garden', 'train', 'quarrel', 'supper', 'coat']
_CONFIG = """
from hax_jax.config import convert

def get_config():
    draft = convert.draft()
    draft.tokenizer.path = 'train'
    draft.tokenizer.vocab_size = 400
    draft.model.update(n_layer=1, n_head=2, n_embd=32, n_positions=128)
    draft.data.update(seq_len=64, reader='numpy')
    draft.train.update(num_steps=6, batch_size=4, log_every_steps=1)
    draft.train.update(eval_every_steps=3, checkpoint_every_steps=3)
    # They take seconds to compile.
    draft.train.update(num_sample_questions=0, layer_metrics_every_steps=0)
    draft.optimizer.learning_rate = 1e-3
    return draft
"""


def make(root: pathlib.Path) -> None:
    """Makes the dataset root/data and the config root/tiny.py."""
    rng = random.Random(0)
    lines = []
    for _ in range(60):
        question, answer = (' '.join(rng.choices(_WORDS, k=12)) for _ in range(2))
        lines.append(f'QUESTION: {question}?\n\nANSWER: {answer}.\n')
    (root / 'pairs.md').write_text('\n'.join(lines))
    (root / 'tiny.py').write_text(_CONFIG)
    done = forks.run(
        '-m',
        'data_pipeline.build',
        f'--input={root}/pairs.md',
        f'--output={root}/data',
        '--validation_share=0.2',
    )
    assert done.returncode == 0, done.stderr
