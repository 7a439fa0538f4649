"""The stages that need one pair alone: each keeps the pair, rewrites it or drops it.

In: a `QaPair` as a parser read it. Out: the pair to train on, or the reason why it is
dropped; `stage_ledger.Ledger` counts both. Start with stages.py, then cleaning.py,
personal_data.py, quality.py and quotes.py, in the order in which they run.
"""
