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


_JOINED = """
import os
import jax
names = 'JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'
address, number, own = (os.environ.pop(name) for name in names)
jax.distributed.initialize(address, int(number), int(own))
from hax_jax.devices import first_process, runtime
runtime.start()
runtime.start()
print(first_process.decided(lambda: [int(own), None], list[int | None]))
"""


def test_processes_that_the_users_program_joined_have_one_first_process() -> None:
    outputs = processes.run_well('-c', _JOINED, num_processes=2)
    assert ['[0, None]' in output for output in outputs] == [True, True]
