"""Programs that people start, and the scripts that start them on machines.

In: flags and a config file of configs/. Out: run folders, answers, scores, exports.
Start at train.py; each program's first lines show how it is called.
"""

from hax_jax.program import interrupts

interrupts.handle()

from hax_jax.devices import allocator  # noqa: E402 (a Ctrl-C comes at any time)

allocator.begin_again()
