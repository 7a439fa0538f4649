"""Configs of training and sampling, checked before any work begins.

In: a draft that a config file and flags edited, or a run's config.json. Out: frozen
dataclasses, or one InputError with every problem. Start at schema.py, the fields; then
convert.py, which reads and checks them. Imports no JAX.
"""
