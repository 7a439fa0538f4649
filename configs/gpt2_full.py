"""Trains every parameter of GPT-2 (124M) on question-and-answer pairs.

On: a dataset that data_pipeline.build made, packed into rows of 1,024 GPT-2 tokens.
How long: 3 epochs. Needs about 2 GB for parameters, gradients and moments in float32,
and activations on top (--dry_run says how much).
Loss to expect: not yet measured. Before the first step GPT-2 has about 3.6 nats a token
on advice letters and their answers; 9 or more means a defect, not hard data.

    python -m launch.train --config=configs/gpt2_full.py \\
        --config.data.path=data/advice --workdir=runs/full
"""

import ml_collections

from hax_jax.config import convert


def get_config() -> ml_collections.ConfigDict:
    draft = convert.draft()
    draft.model.pretrained = 'gpt2'
    draft.data.seq_len = 1024
    draft.train.batch_size = 8  # 8 * 1024 = 8,192 positions per step
    draft.train.num_epochs = 3.0
    draft.train.eval_every_steps = 50
    draft.train.checkpoint_every_steps = 200
    draft.optimizer.learning_rate = 2e-5
    draft.optimizer.final_learning_rate = 2e-6
    draft.optimizer.warmup_steps = 20
    draft.optimizer.weight_decay = 0.1
    draft.optimizer.clip_norm = 1.0
    # A few hundred letters are learned by heart within these epochs; dropout as GPT-2
    # was trained with. attn_pdrop stays 0.0: the fused attentions have no dropout.
    draft.model.embd_pdrop = 0.1
    draft.model.resid_pdrop = 0.1
    return draft
