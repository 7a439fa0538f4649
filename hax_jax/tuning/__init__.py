"""What would help a run: more data, another learning rate, other settings.

Configs and packed rows come in, trials (short runs) are trained and compared pair by
pair, a verdict and a page go out. Start at `saturation` and `sweep`: pure functions of
numbers; `trials` trains, `range_test` looks for the largest learning rate that works.
"""
