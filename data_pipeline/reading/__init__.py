"""Inputs of every layout to pairs, and an account of every line.

In: paths, patterns and names of data sets, as the user gave them. Out: batches, the
outcome of each, and a `read_report.ReadReport` of them all.

Start at `reader`; `inputs` finds the files and their layouts, and `input_fields` the
fields of their rows that make a pair.
"""
