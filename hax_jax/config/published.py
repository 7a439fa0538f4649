"""The sizes of the GPT-2 models that were published: no hub is asked for them.

Source: the config.json of each at https://huggingface.co/openai-community (gpt2 and so
on) and https://huggingface.co/distilbert/distilgpt2; Radford et al. 2019, table 2.
"""

import dataclasses

from hax_jax.config import schema

_SIZES = {  # layers, width, heads
    'distilgpt2': (6, 768, 12),
    'gpt2': (12, 768, 12),
    'gpt2-medium': (24, 1024, 16),
    'gpt2-large': (36, 1280, 20),
    'gpt2-xl': (48, 1600, 25),
}
_OWNERS = ('openai-community/', 'distilbert/')


def sized(model: schema.ModelConfig) -> schema.ModelConfig | None:
    """The model with the published sizes of its `pretrained`; None if it has none."""
    name = model.pretrained
    for owner in _OWNERS:
        name = name.removeprefix(owner)
    if name not in _SIZES:
        return None
    layers, width, heads = _SIZES[name]
    return dataclasses.replace(
        model,
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        n_positions=1024,
        vocab_size=50257,
    )
