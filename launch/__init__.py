"""Programs that people start, and the scripts that start them on machines."""

from hax_jax.devices import allocator
from hax_jax.program import early_ctrl_c

early_ctrl_c.handle()
allocator.begin_again()
