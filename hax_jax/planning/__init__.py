"""A run before its first step, in numbers: what --dry_run prints.

In: a `run_setup.Setup`, of these devices or of described ones. Out: a table: length,
sizes and memory (planner.py), and what the step needs by its compiler, or where that
can't run by formula (estimate.py): fit, collectives, cost (step_plan.py, start here).
"""
