"""What test_step_plan.py runs in a child process on 4 virtual CPU devices.

Prints a JSON list: of each mesh the collectives of its step, and its plan's lines.
"""

import json
import sys

import test_planner

from hax_jax.planning import planner, step_plan
from hax_jax.training import run_setup

if __name__ == '__main__':
    out = []
    for mesh in json.loads(sys.argv[1]):
        run = test_planner.make_run(
            mesh=dict(zip(('data', 'fsdp', 'tensor'), mesh, strict=True)),
            model={'scan_layers': True},
            train={'batch_size': 8, 'layer_metrics_every_steps': 0},
        )
        setup = run_setup.prepare(run, test_planner.make_cache(run.data.seq_len))
        step = step_plan.compiled_step(setup)
        found = {kind: each.bytes for kind, each in step.traffic.by_kind.items()}
        lines = step_plan.step_lines(setup, step)
        text = planner.render(planner.make_plan(setup), lines)
        out.append({'bytes': found, 'loops': step.traffic.unknown_loops, 'text': text})
    json.dump(out, sys.stdout)
