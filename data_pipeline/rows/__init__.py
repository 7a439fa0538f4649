"""Rows to pairs: JSON Lines of pairs, messages or threads, and CSV.

In: a `batches.Batch`, a piece of one file. Out: a `batches.BatchRead`, its pairs and
the account of every row and word in it.

Start at `batches`, then `pair_rows`, which makes a pair of any row's fields;
`chat_shapes` and `nested_rows` have the shapes that rows come in. `preferred` notes the
answers of which one is better than another.
"""
