import os
import subprocess
import sys

import pytest

from hax_jax.devices import xla_log

WARNING = (
    'W1128 11:29:13.899885   13148 spmd_partitioner.cc:656] [SPMD] Involuntary full '
    'rematerialization. The compiler cannot go from sharding {devices=[8]<=[8]} to '
    '{devices=[4]<=[8]} efficiently for HLO operation %gather = f32[16,32,16]{2,1,0} '
    'gather(%a, %b), offset_dims={2}. As the last resort, SPMD will replicate the '
    'tensor and then partition it.\n'
)
OTHER = 'W1128 11:29:13.899885   13148 a.cc:1] slow\n'
SLOW = (
    'E1128 12:02:55.378497   11822 slow_operation_alarm.cc:73] \n********************\n'
    'Slow compilation warning:\n fusion.687\n is taking more than 2 minutes\n\n'
)
ERROR = 'E1128 11:29:13.899885   13148 a.cc:1] bad\n'


def test_the_warning_is_kept_and_other_lines_pass(capfd: pytest.CaptureFixture) -> None:
    with xla_log.rematerialized() as found:
        os.write(2, (WARNING + 'a line\n\nno newline').encode())
    os.write(2, b'after\n')
    assert found == ['f32[16,32,16]']
    assert capfd.readouterr().err == 'a line\n\nno newline\nafter\n'
    said = xla_log.advice(found * 2)
    assert 'between two shardings of f32[16,32,16], and' in said
    assert said.endswith('Give --config.mesh.tensor=1 to avoid it.')
    assert xla_log.advice([]) == ''


def test_quiet_keeps_errors_alone(capfd: pytest.CaptureFixture) -> None:
    with xla_log.rematerialized(quiet=True) as found:
        os.write(2, (OTHER + WARNING + SLOW + ERROR).encode())
    assert (len(found), capfd.readouterr().err) == (1, ERROR)


def test_an_error_and_a_child_that_lives_on_leave_stderr_as_it_was(
    capfd: pytest.CaptureFixture,
) -> None:
    with pytest.raises(KeyError), xla_log.rematerialized() as found:
        child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
        os.write(2, b'before\n')
        raise KeyError
    os.write(2, b'after\n')
    child.communicate(b'\n')
    assert (found, capfd.readouterr().err) == ([], 'before\nafter\n')
