import programs
import pytest

_STARTS = """
from hax_jax.devices import runtime
from hax_jax.program import entry


def main():
    runtime.start(alone=True)
    import jax
    print(jax.device_count())


entry.run(main)
"""


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ('--xla_foo=1 --xla_bar', 'Unknown flags in XLA_FLAGS: --xla_foo=1 --xla_bar'),
        ('no_file', 'Could not open file "no_file" to read flags'),
        (
            '--xla_force_host_platform_device_count=a',
            "Couldn't interpret value a for flag xla_force_host_platform_device_count",
        ),
    ],
)
def test_flags_that_abort_xla_are_one_error(given: str, said: str) -> None:
    done = programs.run('-c', _STARTS, XLA_FLAGS=given)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.startswith(f'error: XLA_FLAGS={given!r} is not accepted: {said}')
    assert done.stderr.endswith('; correct it, or unset it (unset XLA_FLAGS).\n')
    assert done.stderr.count('\n') == 1


def test_flags_that_xla_knows_are_let_through() -> None:
    flags = programs.devices(3)
    done = programs.run('-c', _STARTS, **flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, '3\n', '')
