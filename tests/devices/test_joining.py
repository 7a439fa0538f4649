"""Joining the other processes of a run, while they are not there."""

import signal

import processes
import programs

_CODE = """
import os, sys
os.environ['JAX_COORDINATOR_ADDRESS'] = sys.argv[1]
os.environ.update(JAX_NUM_PROCESSES='2', JAX_PROCESS_ID='1', JAX_PLATFORMS='cpu')
from hax_jax.devices import joining, runtime
joining._WAITING_SECONDS = 0.1
runtime.start()
"""


def test_a_signal_ends_a_process_that_waits_for_the_others() -> None:
    address = f'127.0.0.1:{processes.free_port()}'
    with programs.start('-c', _CODE, address) as process:
        try:
            assert 'process 1 waits for' in process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == -signal.SIGTERM
        finally:
            process.kill()
