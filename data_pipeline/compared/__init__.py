"""A prepared pair with all that comparing it and writing it needs, made once.

In: a prepared pair. Out: its `compared_row.Row` with hashes and signatures; many of
them as bytes (packed_rows.py), which hold its line and its TFRecord too; and pairs as
the dataset's files take them (described_pairs.py). Start with compared_row.py.
"""
