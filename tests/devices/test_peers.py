"""Two real processes that do not ask each other the same."""

import processes

_CODE = """
import jax
from hax_jax.devices import peers, runtime
runtime.start()
compare = lambda: peers.agree(1, lambda values: '')
compare()  # both
(compare if jax.process_index() else lambda: peers.from_first('x'))()
compare()  # the second is still at the one before
"""


def test_processes_that_do_different_things_end_instead_of_waiting() -> None:
    for each in processes.run('-c', _CODE, num_processes=2, timeout=60):
        assert each.returncode == 75, each.output
        assert (
            'error: the processes do different things (process 0: hears of the first, '
            'process 1: compares), a defect; start all again with the same command'
        ) in each.output
