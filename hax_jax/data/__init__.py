"""Pairs to packed rows to device batches, and everything that is text.

In: `QaPair`s and a tokenizer. Out: a packed cache on disk (records.py) and sharded
batches [B, T] (input_pipeline.py). Labels are shifted once, in `packing.shifted`, and
shift_check.py asks each run's first batch for it. Start reading at packing.py.
"""
