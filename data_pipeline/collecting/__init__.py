"""Threads from archives, APIs and dumps to a file of raw threads."""
