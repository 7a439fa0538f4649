"""What test_needed_collectives.py runs in a child process on 8 virtual CPU devices.

python tests/planning/collectives_child.py '{"name": {"mesh": ..., "model": ...}}'

prints a JSON object: of each case the bytes of its step's collectives by kind, what it
sends and what the mesh needs it to send, and the loops that hold a collective.
"""

import json
import sys

import jax
import test_planner

from hax_jax.data import records
from hax_jax.devices import collectives
from hax_jax.evaluation import eval_step
from hax_jax.planning import estimate, step_plan
from hax_jax.training import run_setup

MODEL = {'n_layer': 2, 'n_embd': 64, 'n_positions': 384, 'vocab_size': 512}


def evaluated(setup: run_setup.Setup) -> collectives.Found:
    """The collectives of the run's eval step."""
    model = setup.blueprint.model
    batch = {
        name: jax.ShapeDtypeStruct((32, 384), 'int32') for name in records.FEATURES
    }
    with jax.set_mesh(setup.mesh):
        step = eval_step.make_eval_step(model, mesh=setup.mesh)
        text = step.lower(model.params, model.frozen, batch).compile().as_text()
    return collectives.found(text, num_devices=setup.mesh.size)


if __name__ == '__main__':
    out = {}
    for name, sections in json.loads(sys.argv[1]).items():
        run = test_planner.make_run(
            **{
                'data': {'seq_len': 384},
                **sections,
                'model': MODEL | sections.get('model', {}),
                'train': {'batch_size': 32} | sections.get('train', {}),
            }
        )
        setup = run_setup.prepare(run, test_planner.make_cache(run.data.seq_len))
        step = step_plan.compiled_step(setup)
        needed = estimate.needed_traffic(step_plan.estimated_step(setup))
        out[name] = {
            'bytes': {k: each.bytes for k, each in step.traffic.by_kind.items()},
            'needed_bytes': {k: each.bytes for k, each in needed.items()},
            'sent': step.traffic.sent,
            'needed': sum(each.sent for each in needed.values()),
            'loops': sorted(step.traffic.in_loops),
            'unknown_loops': step.traffic.unknown_loops,
            'rematerialized': step.rematerialized,
        }
        if name.endswith('full'):
            evaluation = evaluated(setup)
            out[name]['loops_of_evaluation'] = sorted(evaluation.in_loops)
    json.dump(out, sys.stdout)
