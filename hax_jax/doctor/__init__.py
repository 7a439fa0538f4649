"""What is wrong with a run, and why: at its first step, while it runs, and after.

In: rows, parameters, a train step, the files of a run. Out: findings, the worst first.
`measure_*` turn these into plain numbers, `*_checks` are pure functions of the numbers;
start reading at examine.py, which puts both together.
"""
