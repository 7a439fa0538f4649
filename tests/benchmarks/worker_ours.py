"""Our side of compare.py: one workload, a timed run for each line it is sent.

It prints what it is first, then a line for each run.
"""

import dataclasses
import functools
import json
import os
import pathlib
import sys
import tempfile
import time
from typing import Any

import instruction_sets

from hax_jax.benchmark import workloads
from hax_jax.config import schema
from hax_jax.devices import runtime
from hax_jax.model import kernels, loss
from hax_jax.training import run_setup


def run_config(work: dict[str, Any]) -> schema.Config:
    sizes = work['sizes']
    return schema.Config(
        data=schema.DataConfig(
            path='synthetic', seq_len=work.get('length', 64), reader='numpy'
        ),
        tokenizer=schema.TokenizerConfig(path='none'),
        model=schema.ModelConfig(
            n_layer=sizes['layers'],
            n_embd=sizes['width'],
            n_head=sizes['heads'],
            n_positions=1024,
            vocab_size=sizes['vocab'],
            pad_vocab_to_multiple_of=work.get('pad_vocab', 1),
            attention=work.get('attention', 'auto'),
            scan_layers=work.get('scan', False),
        ),
        lora=dataclasses.replace(schema.LoraConfig(), rank=work.get('lora', 0)),
        train=schema.TrainConfig(
            num_steps=1000, batch_size=work['batch'], compute_dtype=work['dtype']
        ),
    )


def about(work: dict[str, Any]) -> dict[str, Any]:
    now = runtime.environment()
    vectors = 'AVX2' if work.get('isa') else instruction_sets.processor()['vectors']
    return {
        'jax': now['jax'],
        'jaxlib': now['jaxlib'],
        'platform': now['platform'],
        'vectors': vectors,
        'threads': now['cpu_cores'],  # XLA takes one for each core
        'xla_flags': now['xla_flags'],
        'huge_pages': os.environ.get('GLIBC_TUNABLES', ''),
    }


def main() -> None:
    work = json.loads(sys.argv[1])
    if work.get('isa') == 'avx2':
        instruction_sets.hide_avx512()
    runtime.start()
    print(json.dumps(about(work)), flush=True)
    run = run_config(work)
    kernels.TRITON_BLOCKS.update(work.get('blocks', {}))
    if 'loss_chunk' in work:
        loss.weighted_sum = functools.partial(
            loss.weighted_sum, chunk=work['loss_chunk']
        )
    with tempfile.TemporaryDirectory() as name:
        if work['kind'] == 'generate':
            model = workloads.random_model(run.model, dtype=work['dtype'])
            generation = workloads.Generation(
                model,
                batch_size=work['batch'],
                prompt_tokens=work['prompt'],
                new_tokens=work['new'],
            )
            go = generation.run
        else:
            cache = workloads.synthetic_cache(
                pathlib.Path(name) / 'cache',
                run,
                num_rows=4 * work['batch'],
                whole_rows=work.get('whole_rows', True),
            )
            go = workloads.Training(run_setup.prepare(run, cache)).step
        for line in sys.stdin:
            begun = time.monotonic()
            for _ in range(int(line)):
                go()
            seconds = time.monotonic() - begun
            memory = workloads.peak_memory()
            print(json.dumps({'seconds': seconds, 'memory': memory}), flush=True)


if __name__ == '__main__':
    main()
