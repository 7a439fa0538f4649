"""What the doctor judges: plain numbers of rows, data, weights, a model and its steps.

In: packed rows, a cache, parameters, a train step. Out: dicts of numbers, which no
verdict is in. Start reading at measure_rows.py; each file measures one kind of thing.
"""
