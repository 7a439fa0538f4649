"""Raw question-and-answer text to a packed dataset.

In: chats, forum posts and files of pairs, or a subreddit over HTTP. Out: a TFDS dataset
with its manifest, ledger and report; then packed rows. Start at build.py.
"""

from hax_jax.program import interrupts

interrupts.handle()
