"""Trains LoRA adapters on a run of scratch_small: that whole path, end to end.

On: the dataset, tokenizer and model of that run, which stays as it is.
How long: 40 steps; 60 CPU seconds from start to end, so about half a minute on two
cores that do nothing else.
Loss to expect: at step 0 exactly that of the run it starts from, and no better at the
end: the run has already learned these letters. It shows the way, not a gain.

    python -m launch.train --config=configs/scratch_small_lora.py \\
        --config.model.pretrained=runs/sample --config.data.path=data/sample \\
        --workdir=runs/sample_lora
"""

import ml_collections

from hax_jax.config import convert


def get_config() -> ml_collections.ConfigDict:
    draft = convert.draft()
    draft.model.pretrained = 'runs/sample'
    draft.data.seq_len = 512
    draft.data.question_weight = 0.5  # as in the run: its packed rows serve again
    draft.train.batch_size = 4  # 4 * 512 = 2,048 positions per step
    draft.train.num_steps = 40
    draft.train.log_every_steps = 10
    draft.train.eval_every_steps = 20
    draft.train.checkpoint_every_steps = 20
    draft.lora.rank = 8
    draft.lora.alpha = 16.0  # the update is scaled by 16 / 8 = 2
    draft.optimizer.learning_rate = 5e-4
    draft.optimizer.final_learning_rate = 5e-5
    draft.optimizer.warmup_steps = 4
    draft.optimizer.weight_decay = 0.0
    draft.optimizer.clip_norm = 2.0
    return draft
