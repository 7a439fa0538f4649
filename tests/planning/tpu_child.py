"""What test_tpu_plans.py runs: `--dry_run --topology` of a model on made-up rows.

It begins with the loops that hold collectives:

python tests/planning/tpu_child.py TOPOLOGY DATAxFSDPxTENSOR 124m|xl_lora ROWS
"""

import sys

import test_planner

from hax_jax.devices import compiled, runtime, topology
from hax_jax.devices import mesh as mesh_lib
from hax_jax.planning import step_plan
from hax_jax.training import run_setup

MODELS = {
    '124m': {
        'model': {'n_layer': 12, 'n_head': 12, 'n_embd': 768},
        'lora': {},
        'train': {},
    },
    'xl_lora': {
        'model': {'n_layer': 48, 'n_head': 25, 'n_embd': 1600, 'scan_layers': True},
        'lora': {'rank': 16},
        'train': {'remat': 'block'},
    },
}

if __name__ == '__main__':
    name, mesh, model, rows = sys.argv[1:]
    described = topology.find(name)
    runtime.start(alone=True)
    sections = MODELS[model]
    sizes = {'n_positions': 1024, 'vocab_size': 50257, 'attention': 'auto'}
    sizes['pad_vocab_to_multiple_of'] = 128
    run = test_planner.make_run(
        model={**sizes, **sections['model']},
        data={'seq_len': 1024},
        lora=sections['lora'],
        train={'batch_size': int(rows), 'compute_dtype': 'auto', **sections['train']},
        mesh=dict(zip(mesh_lib.AXES, map(int, mesh.split('x')), strict=True)),
    )
    cache = test_planner.make_cache(1024)
    setup = run_setup.prepare(run, cache, described=described)
    compiled_step = step_plan.compiled_step

    def noted(setup: run_setup.Setup) -> compiled.Compiled:
        step = compiled_step(setup)
        for loops, traffic in step.traffic.in_loops.items():
            print('in loops of', *loops, f': {traffic.count} collectives')
        return step

    step_plan.compiled_step = noted
    step_plan.dry_run(setup, None, price=10.0)
