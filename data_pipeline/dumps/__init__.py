"""Dumps of Arctic Shift or Pushshift as a source of posts and comments.

In: files of posts and files of comments, compressed or not. Out: the posts of one
subreddit, each with its best comments, in bounded memory. Start with dump_source.py.
"""
