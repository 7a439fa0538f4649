"""Writes the golden GPT-2s: weights, logits, loss, gradients, AdamW steps, by torch.

A development tool: needs torch, which the tests don't. Run from the checkout's root:

    python -m venv .torch && .torch/bin/pip install torch transformers safetensors
    .torch/bin/python tests/golden/make_gpt2.py

Made with torch 2.13.0 and transformers 5.23.0.
"""

import math
import pathlib

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent
NUM_STEPS = 5
WARMUP_STEPS = 2
PEAK, FINAL = 5e-3, 5e-4  # learning rates


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
    write('gpt2', settings, torch.Size((3, 24)))
    steps = {}
    for name, batches, clip_norm in (
        ('whole', whole_rows(), 1.8),  # norms are 1.4 to 2.1: some steps are clipped
        ('pairs', padded_pairs(), 2.55),  # norms are 2.4 to 3.3
    ):
        found = five_steps(batches, clip_norm)
        steps |= {f'{name} {key}': value for key, value in (batches | found).items()}
    np.savez_compressed(FOLDER / 'gpt2_steps.npz', **steps)

    for name, differing in (
        ('gpt2_untied', {'activation_function': 'gelu', 'tie_word_embeddings': False}),
        ('gpt2_relu', {'activation_function': 'relu', 'layer_norm_epsilon': 1e-2}),
        (
            'gpt2_scaled',
            {
                'n_layer': 3,
                'scale_attn_weights': False,
                'scale_attn_by_inverse_layer_idx': True,
            },
        ),
    ):
        sizes = {
            'n_layer': 1,
            'n_head': 2,
            'n_embd': 8,
            'n_positions': 12,
            'vocab_size': 24,
        }
        settings = transformers.GPT2Config(
            bos_token_id=23, eos_token_id=23, **(sizes | differing)
        )
        write(name, settings, torch.Size((3, 12)))


def write(name: str, settings: transformers.GPT2Config, shape: torch.Size) -> None:
    """A folder with a model, and what it computes on random ids [B, T], as NAME.npz."""
    model = transformers.GPT2LMHeadModel(settings).eval()
    with torch.no_grad():  # fresh biases are 0 and norms 1: a mistake would not show
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    model.save_pretrained(FOLDER / name)

    ids = torch.randint(0, settings.vocab_size, shape)
    out = model(input_ids=ids, labels=ids)
    out.loss.backward()
    grads = {
        f'grad {name}': parameter.grad.numpy()
        for name, parameter in model.named_parameters()
    }
    np.savez_compressed(
        FOLDER / f'{name}.npz',
        ids=ids.numpy().astype(np.int32),
        logits=out.logits.detach().numpy(),
        loss=out.loss.detach().numpy(),
        **grads,
    )


def whole_rows() -> dict[str, np.ndarray]:
    """A batch [4, 24] a step, labels=input_ids; some tokens follow others often."""
    rng = np.random.default_rng(0)
    ids = np.cumsum(rng.choice([1, 2, 30], (NUM_STEPS, 4, 24)), axis=-1) % 64
    return {'ids': ids, 'labels': ids, 'mask': np.ones_like(ids)}


def padded_pairs() -> dict[str, np.ndarray]:
    """A batch [8, 24] a step: a prompt and an answer of 2 to 6 tokens, then padding.

    Labels are -100 on the prompt and on the padding, which the mask hides too.
    """
    rng = np.random.default_rng(1)
    shape = (NUM_STEPS, 8, 24)
    ids = np.cumsum(rng.choice([1, 2, 30], shape), axis=-1) % 64
    prompt, answer = rng.integers(2, 7, (2, NUM_STEPS, 8, 1))
    place = np.broadcast_to(np.arange(24), shape)
    mask = (place < prompt + answer).astype(np.int64)
    labels = np.where((place >= prompt) & (mask > 0), ids, -100)
    return {'ids': ids * mask, 'labels': labels, 'mask': mask}


def five_steps(
    batches: dict[str, np.ndarray], clip_norm: float
) -> dict[str, np.ndarray]:
    """Losses and gradient norms before each step, and how far each tensor moved."""
    model = transformers.GPT2LMHeadModel.from_pretrained(FOLDER / 'gpt2').eval()
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {'params': [t for t in tensors if t.ndim > 1], 'weight_decay': 0.1},
            {'params': [t for t in tensors if t.ndim == 1], 'weight_decay': 0.0},
        ],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    losses, norms, rates = [], [], []
    for step in range(NUM_STEPS):
        rates.append(learning_rate(step))
        for group in optimizer.param_groups:
            group['lr'] = rates[-1]
        ids, labels, mask = (
            torch.from_numpy(batches[name][step]) for name in ('ids', 'labels', 'mask')
        )
        loss = model(input_ids=ids, labels=labels, attention_mask=mask).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(tensors, clip_norm).item())
        optimizer.step()
        losses.append(loss.item())
    print('losses', losses, 'gradient norms', norms)
    return {
        'clip_norm': np.array(clip_norm),
        'losses': np.array(losses),
        'norms': np.array(norms),
        'rates': np.array(rates),
        # float16: 11 bits are enough for what is compared, at half the size.
        **{
            f'moved {name}': (parameter.detach() - begun[name]).numpy().astype('f2')
            for name, parameter in model.named_parameters()
        },
    }


def learning_rate(step: int) -> float:
    """1/3, 2/3 and all of the peak, then a cosine that would end after the last."""
    if step < WARMUP_STEPS:
        return PEAK * (step + 1) / (WARMUP_STEPS + 1)
    share = (step - WARMUP_STEPS) / (NUM_STEPS - WARMUP_STEPS)
    return FINAL + (PEAK - FINAL) * (1 + math.cos(math.pi * share)) / 2


if __name__ == '__main__':
    main()
