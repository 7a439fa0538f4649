"""Writes the golden Flax GPT-2s: flax_model.msgpack as transformers wrote it.

A development tool: needs the last transformers that had Flax models, on an old jax.
Run from the checkout's root:

    python -m venv .flax
    .flax/bin/pip install 'transformers==4.49.0' 'flax==0.10.2' 'jax==0.4.35' \
        'jaxlib==0.4.35' 'numpy<2' 'optax<0.2.5' 'orbax-checkpoint<0.9' torch
    .flax/bin/python tests/golden/make_flax_gpt2.py

Made with these and torch 2.13.0, Python 3.11.
"""

import pathlib

import jax
import numpy as np
import transformers

FOLDER = pathlib.Path(__file__).parent


def main() -> None:
    # The weights of golden/gpt2, converted by transformers' own code.
    tied = transformers.FlaxGPT2LMHeadModel.from_pretrained(
        FOLDER / 'gpt2', from_pt=True
    )
    # A head of its own, which Flax keeps as a Dense kernel [D, V].
    untied = transformers.FlaxGPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1,
            n_head=2,
            n_embd=8,
            n_positions=12,
            vocab_size=16,
            bos_token_id=15,
            eos_token_id=15,
            tie_word_embeddings=False,
        )
    )
    rng = np.random.default_rng(0)
    untied.params = jax.tree.map(  # fresh biases are 0: a mistake would not show
        lambda p: p + np.float32(0.15) * rng.normal(size=p.shape).astype(np.float32),
        untied.params,
    )
    golden = {}
    for name, model in (('gpt2_flax', tied), ('gpt2_flax_untied', untied)):
        model.save_pretrained(FOLDER / name)
        (FOLDER / name / 'generation_config.json').unlink()
        settings = model.config
        shape = (2, settings.n_positions)
        ids = rng.integers(0, settings.vocab_size, shape).astype(np.int32)
        golden[f'{name} ids'] = ids
        golden[f'{name} logits'] = np.asarray(model(ids).logits)
    np.savez_compressed(FOLDER / 'gpt2_flax.npz', **golden)


if __name__ == '__main__':
    main()
