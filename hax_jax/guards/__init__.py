"""Guards of a run: steps that go wrong, and states that are not worth saving.

In: the numbers of each step, its batch, and the state that is about to be saved. Out:
what to do with the step, bad_steps.jsonl, and the errors that end a run.
Start reading at judge.py, which is part of the compiled step; recheck.py computes one
step's gradients twice to find a device that computes wrongly, and reach.py reads from a
step's program which parameters it can teach.
"""
