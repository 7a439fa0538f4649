"""Threads of a subreddit from an archive or an API to a file of raw threads.

In: a source of posts and comments (arctic_shift.py, reddit_api.py, reddit_json.py, and
the dumps folder). Out: a file of `RawThread`s, which collect_output.py holds. Start
with collect_loop.py; collect_rules.py chooses posts and answers.
"""
