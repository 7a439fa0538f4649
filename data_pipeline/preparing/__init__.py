"""Batches of raw input to prepared pairs, in this process, in several, or by Beam.

In: the batches of the reading folder. Out: a `prepare_batch.Prepared` for each, in
their order. Start with prepare_batch.py; worker_map.py and beam_map.py run it.
"""
