"""Programs that people start, and how they are started on machines."""

import data_pipeline  # noqa: F401 (Ctrl-C while libraries load)
from hax_jax.devices import allocator

allocator.begin_again()
