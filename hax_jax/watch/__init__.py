"""Everything that is measured and reported while a run trains.

In: metrics of steps and evaluations. Out: metrics.jsonl, progress, TensorBoard and W&B,
profiles, verdicts in words. Nothing here changes a run.
Start reading at metrics.py, then verdicts.py.
"""
