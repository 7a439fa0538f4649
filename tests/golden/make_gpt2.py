"""Writes the golden GPT-2: weights, logits, loss and gradients, by transformers.

A development tool: needs torch, which the tests don't. Run from the checkout's root:

    python -m venv .torch && .torch/bin/pip install torch transformers safetensors
    .torch/bin/python tests/golden/make_gpt2.py

Made with torch 2.13.0 and transformers 5.23.0.
"""

import pathlib

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent


def main() -> None:
    torch.manual_seed(0)
    settings = transformers.GPT2Config(
        n_layer=2,
        n_head=4,
        n_embd=32,
        n_positions=24,
        vocab_size=64,
        bos_token_id=63,
        eos_token_id=63,
    )
    model = transformers.GPT2LMHeadModel(settings).eval()
    with torch.no_grad():  # fresh biases are 0 and norms 1: a mistake would not show
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    model.save_pretrained(FOLDER / 'gpt2')

    ids = torch.randint(0, 64, (3, 24))
    out = model(input_ids=ids, labels=ids)
    out.loss.backward()
    grads = {
        f'grad {name}': parameter.grad.numpy()
        for name, parameter in model.named_parameters()
    }
    np.savez_compressed(
        FOLDER / 'gpt2.npz',
        ids=ids.numpy().astype(np.int32),
        logits=out.logits.detach().numpy(),
        loss=out.loss.detach().numpy(),
        **grads,
    )


if __name__ == '__main__':
    main()
