"""Trains LoRA adapters on a run of scratch_small: another voice than its texts'.

On: 63 letters to a columnist and her answers (10,000 words), of which the run has read
none; with the run's tokenizer and model, which stay as they are.
How long: 70 steps, 6 epochs; half a minute to a minute on two cores.
Loss to expect: on validation 5.57 before training, as the run has it, and 5.09 at the
end; of the answers alone 5.64 and 5.20.

    python -m launch.train --config=configs/scratch_small_lora.py \\
        --config.model.pretrained=runs/sample_base \\
        --config.data.path=data/sample_column --workdir=runs/sample_column
"""

import ml_collections

from hax_jax.config import convert


def get_config() -> ml_collections.ConfigDict:
    draft = convert.draft()
    draft.model.pretrained = 'runs/sample_base'
    draft.data.seq_len = 640  # as the run
    draft.data.question_weight = 0.5
    draft.train.batch_size = 2  # 2 * 640 = 1,280 positions per step
    draft.train.num_steps = 70  # more learn the letters by heart
    draft.train.log_every_steps = 10
    draft.train.eval_every_steps = 70
    draft.train.checkpoint_every_steps = 35
    # A small base has much to learn of a new voice: the rank is a third of its width.
    draft.lora.rank = 64
    draft.lora.alpha = 64.0  # the update is scaled by 64 / 64 = 1
    # The head too, or the columnist's words stay as rare as they were in the base.
    draft.lora.targets = (
        'attn.c_attn',
        'attn.c_proj',
        'mlp.c_fc',
        'mlp.c_proj',
        'lm_head',
    )
    draft.optimizer.learning_rate = 4.5e-3
    draft.optimizer.final_learning_rate = 3e-4
    draft.optimizer.warmup_steps = 5
    draft.optimizer.weight_decay = 0.0
    draft.optimizer.clip_norm = 2.0
    return draft
