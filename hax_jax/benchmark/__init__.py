"""How fast each part of a run is, on synthetic rows and random weights.

In: a config whose sizes are known. Out: figures of steps, evaluation, generation,
reading, checkpoints and the start. Start at parts.py, which launch.benchmark prints.
"""
