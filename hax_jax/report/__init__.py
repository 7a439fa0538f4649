"""A run, or several, as one page that needs no network.

In: the folders of runs. Out: report.html, verdicts first.
Start reading at page.py; run_record.py is what it reads, figures.py what it draws,
run_difference.py compares two runs pair by pair.
"""
