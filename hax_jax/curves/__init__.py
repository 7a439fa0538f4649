"""What a run's own figures say of it while it runs and after: findings with causes.

In: curves of losses, rows of metrics.jsonl, answers. Out: the findings of doctor/.
Start reading at curve_checks.py; legacy_log.py reads the old project's logs.
"""
