"""Preference pairs: a prompt with a better and a worse answer, for DPO and its kin.

In: the answers that the reading folder notes beside its pairs. Out: JSON Lines in the
preference format of TRL, a file for each split.

Start with choosing.py, which has the rule; sides.py prepares each answer as pairs are
prepared, preference_files.py writes the pairs and says what they are.
"""
