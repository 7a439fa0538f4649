"""Guards of a run: wrong steps, states that are not worth saving, and preemption.

In: the numbers of each step, its batch, the state that is about to be saved, signals.
Out: what to do with the step, bad_steps.jsonl, and what ends a run.
Start reading at judge.py, which is part of the compiled step; recheck.py computes one
step's gradients twice to find a device that computes wrongly, and reach.py reads from a
step's program which parameters it can teach.
"""
