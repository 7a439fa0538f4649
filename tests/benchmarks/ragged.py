"""Times answers whose lengths differ by ten times, here and in another tree, A B A B.

    PYTHONPATH=. python tests/benchmarks/ragged.py --against=../main
    PYTHONPATH=. python tests/benchmarks/ragged.py --against=../main --batch=1 \\
        --batch=8 --batches=1 --shortest=128 --longest=128 --greedy --pairs=5

GPT-2 124M, random weights. Each answer ends by EOS at a length that the row's own key
gives, uniform over 30 to 300 tokens (the default max_new_tokens), unknown before it is
drawn, as a real EOS is: `next_token.next_tokens` is wrapped alike in both trees. All
prompts have 64 tokens. A ratio over 1 says that this tree is faster; `texts` are equal
if all tokens are. --layers=2 and the like are for a try.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import statistics
import sys
import time
from typing import Any

import compare

from hax_jax.devices import allocator

_PROMPT_TOKENS = 64


def work(given: dict[str, Any]) -> None:
    """Times as many answers as each line of standard input says."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from hax_jax.benchmark import workloads
    from hax_jax.config import schema
    from hax_jax.data import text
    from hax_jax.devices import mesh as mesh_lib
    from hax_jax.devices import runtime
    from hax_jax.sampling import generation, next_token, prompt_fitting, prompts

    runtime.start()
    eos_id, shortest, longest = 7, given['shortest'], given['longest']
    draw = next_token.next_tokens

    def planted(
        logits: jax.Array, keys: jax.Array, positions: jax.Array, drawing: Any
    ) -> jax.Array:
        tokens = draw(logits.at[:, eos_id].set(-jnp.inf), keys, positions, drawing)
        ends = jax.vmap(lambda key: jax.random.randint(key, (), shortest, longest + 1))(
            keys
        )
        number = positions - _PROMPT_TOKENS + 1
        return jnp.where(number == ends, eos_id, tokens).astype(jnp.int32)

    next_token.next_tokens = planted
    tokenizer = workloads._Ids(given['vocab'])
    tokenizer.eos_id = eos_id
    model = workloads.random_model(
        schema.ModelConfig(
            n_layer=given['layers'],
            n_embd=given['width'],
            n_head=given['width'] // 64,
            n_positions=1024,
            vocab_size=given['vocab'],
        ),
        dtype=given['dtype'],
    )
    generator = generation.Generator(
        model, tokenizer, mesh=mesh_lib.make_mesh(schema.MeshConfig())
    )
    settings = schema.SamplingConfig(max_new_tokens=longest)
    if given['greedy']:
        settings = dataclasses.replace(settings, temperature=0.0)
    as_finished = getattr(generator, 'as_finished', None) or generator.batches
    print('{}', flush=True)  # compare.Worker reads what a side is first
    for line in sys.stdin:
        num_rows = int(line)
        ids = np.random.default_rng(0).integers(
            8, given['vocab'], (num_rows, _PROMPT_TOKENS)
        )
        fitted = prompt_fitting.Fitted(
            [prompts.Question(str(i), '', str(i)) for i in range(num_rows)],
            [text.Prompt(row, 0) for row in ids.tolist()],
            [[]] * num_rows,
            [],
        )
        begun = time.monotonic()
        found = [
            sample
            for some in as_finished(fitted, settings, batch_size=given['batch'])
            for sample in some
        ]
        seconds = time.monotonic() - begun
        found.sort(key=lambda sample: int(sample.id))
        told = json.dumps([sample.token_ids for sample in found])
        lengths = [sample.num_tokens for sample in found]
        print(
            json.dumps(
                {
                    'seconds': seconds,
                    'memory': workloads.peak_memory(),
                    'texts': hashlib.sha256(told.encode()).hexdigest()[:12],
                    'answers': len(found),
                    'tokens': sum(lengths),
                    'shortest': min(lengths),
                    'longest': max(lengths),
                }
            ),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--against', type=pathlib.Path, help='the other tree')
    parser.add_argument('--batch', type=int, action='append', help='default: 8, 32')
    parser.add_argument('--batches', type=int, default=6, help='rows over batch')
    parser.add_argument('--shortest', type=int, default=30)
    parser.add_argument('--longest', type=int, default=300)
    parser.add_argument('--greedy', action='store_true')
    parser.add_argument('--pairs', type=int, default=1)
    parser.add_argument('--layers', type=int, default=12)
    parser.add_argument('--width', type=int, default=768)
    parser.add_argument('--vocab', type=int, default=50257)
    parser.add_argument('--dtype', default='float32')
    given = parser.parse_args()
    for batch in given.batch or [8, 32]:
        compare_trees(given, batch)


def compare_trees(given: argparse.Namespace, batch: int) -> None:
    asked = vars(given) | {'batch': batch}
    num_rows = given.batches * batch
    trees = {'this': pathlib.Path(__file__).parents[2], 'other': given.against}
    workers = {
        name: compare.Worker(
            pathlib.Path(__file__).name,
            {key: value for key, value in asked.items() if key != 'against'},
            {
                **os.environ,
                **allocator.tunables(os.environ),
                'PYTHONPATH': str(tree.resolve()),
            },
        )
        for name, tree in trees.items()
        if tree
    }
    for worker in workers.values():
        worker.run(min(batch + 1, num_rows))  # compiles
    rounds = [
        {who: worker.run(num_rows) for who, worker in workers.items()}
        for _ in range(given.pairs)
    ]
    for worker in workers.values():
        worker.close()
    last = rounds[-1]
    seconds = {who: [line[who]['seconds'] for line in rounds] for who in workers}
    row = {
        'batch': batch,
        'greedy': given.greedy,
        'ratios': [
            round(other / this, 3)
            for this, other in zip(
                seconds['this'], seconds.get('other', seconds['this']), strict=True
            )
        ],
        'answers_per_second': {
            who: round(last[who]['answers'] / statistics.median(times), 3)
            for who, times in seconds.items()
        },
        **last,
    }
    print(json.dumps(row), flush=True)


if __name__ == '__main__':
    if sys.argv[1:] and sys.argv[1].startswith('{'):
        work(json.loads(sys.argv[1]))
    else:
        main()
