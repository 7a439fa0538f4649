"""What is wrong with a run, and why: at its first step, while it runs, and after.

In: the numbers of measures/, rows, a train step. Out: findings, the worst first.
`*_checks` are pure functions of the numbers. Start reading at first_look.py, which
measures a run before its step is compiled, and examine.py, which judges.
"""
