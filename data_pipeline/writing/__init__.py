"""The files of a dataset's folder: TFDS, chat messages, dropped pairs, report.

In: the pairs of each split, in order, and the accounts of the build. Out: files. Start
with ../dataset.py, which calls all of them; tfds_files.py holds the TFDS format (by
Beam: hax_qa.py), report_facts.py and report_page.py the report.
"""
