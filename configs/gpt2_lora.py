"""Trains LoRA adapters on GPT-2 (124M), which itself stays as it is.

On: a dataset that data_pipeline.build made, packed into rows of 1,024 GPT-2 tokens.
How long: 3 epochs. Trains 2,359,296 parameters beside 124,439,808 frozen ones; needs
about 0.5 GB for them and activations on top (--dry_run says how much).
Loss to expect: not yet measured. Before the first step GPT-2 has about 3.6 nats a token
on advice letters and their answers; 9 or more means a defect, not hard data.

    python -m launch.train --config=configs/gpt2_lora.py \\
        --config.data.path=data/advice --workdir=runs/lora

`--config.model.pretrained=/path/to/gpt2` takes a folder in the place of the hub's gpt2.
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
    draft.lora.rank = 16
    draft.lora.alpha = 32.0  # the update is scaled by 32 / 16 = 2
    draft.lora.dropout = 0.0
    draft.lora.targets = ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
    # Ten times the rate of full fine-tuning: lora_b begins at zero, and what is learned
    # stays in 2% of the parameters.
    draft.optimizer.learning_rate = 2e-4
    draft.optimizer.final_learning_rate = 2e-5
    draft.optimizer.warmup_steps = 20
    draft.optimizer.weight_decay = 0.0
    draft.optimizer.clip_norm = 2.0
    return draft
