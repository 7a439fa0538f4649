"""A run from its config to its last checkpoint: state, step, loop, start, resume, stop.

In: a `schema.Config` and a packed cache. Out: a workdir with checkpoints and metrics,
and a `run_summary.Summary`.
Start reading at train_loop.py; train_step.py is the step, starting.py says how a call
begins, resume.py how it goes on from a checkpoint.
"""
