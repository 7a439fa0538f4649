"""Trains a small GPT-2 (2.7M) from scratch, with a tokenizer of its own.

On: 206 pairs (39,000 words), the posts and chats of the sample corpus; packed into rows
of 640 tokens of a SentencePiece model that is trained on the train split. It downloads
nothing.
How long: 220 steps, 5 epochs; 1 to 3 minutes on two cores.
Loss to expect: on validation 8.35 before training, 5.28 after 110 steps, 5.10 at last
(token frequencies alone: 6.16).

    python -m launch.train --config=configs/scratch_small.py \\
        --config.data.path=data/sample_base --workdir=runs/sample_base

So small a model on so few letters learns the sound of an answer and its words, not to
give advice: for that, start from a pretrained model (configs/gpt2_lora.py).
"""

import ml_collections

from hax_jax.config import convert


def get_config() -> ml_collections.ConfigDict:
    draft = convert.draft()
    draft.tokenizer.path = 'train'
    draft.tokenizer.vocab_size = 4096  # most words of the corpus are one token
    draft.tokenizer.model_type = 'bpe'
    draft.model.n_layer = 4
    draft.model.n_head = 4
    draft.model.n_embd = 192
    draft.model.n_positions = 640
    draft.model.embd_pdrop = 0.1
    draft.model.resid_pdrop = 0.1
    draft.data.seq_len = 640  # two or three pairs a row
    # With so little text, questions teach the language too.
    draft.data.question_weight = 0.5
    # Small batches, for many updates: 2 * 640 = 1,280 positions per step.
    draft.train.batch_size = 2
    draft.train.num_steps = 220
    draft.train.log_every_steps = 20
    draft.train.eval_every_steps = 110
    draft.train.checkpoint_every_steps = 110
    draft.optimizer.learning_rate = 2e-3
    draft.optimizer.final_learning_rate = 1e-4
    draft.optimizer.warmup_steps = 20
    return draft
