"""GPT-2 (124M) with random weights, for launch.benchmark: nothing is downloaded.

python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py
"""

import ml_collections

from hax_jax.config import convert


def get_config() -> ml_collections.ConfigDict:
    draft = convert.draft()
    draft.model.update(n_layer=12, n_head=12, n_embd=768, n_positions=1024)
    draft.model.vocab_size = 50257
    draft.tokenizer.path = 'none'  # ids are drawn, nothing is encoded
    draft.data.path = 'synthetic'
    draft.data.seq_len = 128
    draft.data.reader = 'numpy'
    draft.train.batch_size = 8  # 8 * 128 = 1,024 positions per step
    draft.train.num_steps = 1000
    return draft
