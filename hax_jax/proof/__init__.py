"""Shows that a run which is killed and started again is the run that nothing stopped.

In: the command of a program that trains, a seed, a number of kills. Out: what each kill
hit (`calls.py`), and the first bit that differs between two runs (`same_bits.py`).
Start reading at killed_run.py.
"""
