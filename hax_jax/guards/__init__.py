"""Guards of a run's steps: what they do when a step goes wrong.

In: a step's metrics, batch and state. Out: an error that names step, cause and remedy.
recheck.py computes one step's gradients twice to find a device that computes wrongly.
"""
