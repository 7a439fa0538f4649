"""The torch side of compare.py: one workload, a timed run for each line it is sent.

Models: transformers' GPT2LMHeadModel (eager attention or scaled_dot_product_attention),
with peft for LoRA; and nanoGPT's, written out here in its style (the same layers, fused
attention, its own head on all positions), plain or under torch.compile.

It prints what it is first, then a line for each run.
"""

import json
import resource
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import nn


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.mlp_proj = (
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (
            y.view(B, T, self.heads, D // self.heads).transpose(1, 2)
            for y in self.c_attn(self.ln_1(x)).split(D, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, D))
        y = F.gelu(self.c_fc(self.ln_2(x)), approximate='tanh')
        return x + self.mlp_proj(y)


class NanoGpt(nn.Module):
    """nanoGPT's GPT: tied head, learned positions. Source: karpathy/nanoGPT."""

    def __init__(self, layers: int, width: int, heads: int, vocab: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(1024, width)
        self.h = nn.ModuleList(NanoBlock(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def make_train(work: dict[str, Any], device: str) -> Any:
    sizes = work['sizes']
    ids = torch.randint(0, sizes['vocab'], (work['batch'], work['length'] + 1))
    ids = ids.to(device)
    if work['variant'].startswith('nano'):
        model = NanoGpt(**sizes).to(device)
        if work['variant'] == 'nano compiled':
            model = torch.compile(model)

        def loss() -> torch.Tensor:
            return model(ids[:, :-1], ids[:, 1:])
    else:
        model = transformers.GPT2LMHeadModel(hf_config(work)).to(device)
        if work['lora']:
            import peft

            model = peft.get_peft_model(
                model,
                peft.LoraConfig(
                    r=work['lora'],
                    target_modules=['c_attn', 'c_proj', 'c_fc'],
                    task_type='CAUSAL_LM',
                ),
            )

        def loss() -> torch.Tensor:
            # `length` positions go in; the model itself shifts the labels.
            return model(input_ids=ids[:, 1:], labels=ids[:, 1:]).loss

    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    fused = device == 'cuda'
    adamw = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.1, fused=fused or None)
    half = work['dtype'] == 'bfloat16'

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)

    return step


def make_generate(work: dict[str, Any], device: str) -> Any:
    model = transformers.GPT2LMHeadModel(hf_config(work)).to(device).eval()
    if work['dtype'] == 'bfloat16':
        model = model.bfloat16()
    ids = torch.randint(0, work['sizes']['vocab'], (work['batch'], work['prompt']))
    ids, new = ids.to(device), work['new']
    more = {'cache_implementation': 'static'} if 'static' in work['variant'] else {}

    def run() -> None:
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=new,
                max_new_tokens=new,
                pad_token_id=0,
                **more,
            )
        assert out.shape[1] == work['prompt'] + new

    return run


def hf_config(work: dict[str, Any]) -> transformers.GPT2Config:
    sizes = work['sizes']
    return transformers.GPT2Config(
        n_layer=sizes['layers'],
        n_embd=sizes['width'],
        n_head=sizes['heads'],
        vocab_size=sizes['vocab'],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation='sdpa' if 'sdpa' in work['variant'] else 'eager',
    )


def about() -> dict[str, Any]:
    return {
        'torch': torch.__version__,
        'transformers': transformers.__version__,
        'vectors': torch.backends.cpu.get_cpu_capability(),
        'threads': torch.get_num_threads(),
    }


def main() -> None:
    work = json.loads(sys.argv[1])
    print(json.dumps(about()), flush=True)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision('high')  # nanoGPT's; on a CPU no difference
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    make = make_generate if work['kind'] == 'generate' else make_train
    go = make(work, device)
    for line in sys.stdin:
        begun = time.monotonic()
        for _ in range(int(line)):
            go()
        if device == 'cuda':
            torch.cuda.synchronize()
        seconds = time.monotonic() - begun
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if device == 'cuda':
            memory = torch.cuda.max_memory_allocated()
        print(json.dumps({'seconds': seconds, 'memory': memory}), flush=True)


if __name__ == '__main__':
    main()
