"""The steps that need all pairs together, as SQL over one store on the disk.

In: a `compared_row.Row` for each prepared pair. Out: the split of each pair that
stays, in order, and the reason for each that is dropped. Start with all_steps.py, the
sequence; the duplicate rules are exact_duplicates.py, near_duplicates.py and, for which
copy stays, copies.py.
"""
