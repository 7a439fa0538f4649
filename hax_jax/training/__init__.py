"""A run from its config to its last checkpoint: state, step, loop, start, resume, stop.

In: a `schema.Config` and a packed cache. Out: a workdir with checkpoints and metrics,
and a `run_summary.Summary`.
Start reading at train_loop.py; train_step.py is the step, starting.py says how a call
begins, first_step.py what the doctor sees of it, resume.py how a run goes on.
"""
