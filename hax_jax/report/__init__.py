"""A run, or several, as one page that needs no network.

In: the folders of runs. Out: report.html, verdicts first.
Start reading at page.py; figures.py is what it draws, and
run_difference.py compares two runs pair by pair.
"""
