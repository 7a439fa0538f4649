"""Programs that people start, and the scripts that start them on machines.

In: flags and a config file of configs/. Out: run folders, answers, scores, exports.
Start at train.py; each program's first lines show how it is called.
"""

from hax_jax.devices import allocator
from hax_jax.program import early_ctrl_c

early_ctrl_c.handle()
allocator.begin_again()
