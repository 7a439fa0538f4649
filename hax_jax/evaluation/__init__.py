"""Scores of a model on a split, and two models compared pair by pair.

In: a model's abstract description and parameters, a packed cache. Out: nats per token,
accuracy and EOS health by source, a paired difference with its interval, and a run's
evaluations so far.
Start reading at evaluate.py; scoring.py loads a model that is not in training.
"""
