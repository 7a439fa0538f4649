import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax.watch import text_plot


def triangle(step: object) -> object:
    """0 at step 0, 1e-3 at step 500, 0 again at step 1,000."""
    return 1e-3 * (1 - jnp.abs(jnp.asarray(step) / 500 - 1))


def test_a_plot_for_a_log_is_ascii_and_has_a_peak_where_the_schedule_has() -> None:
    text = text_plot.draw_schedule(triangle, num_steps=1000, plain=True)
    assert text.isascii()
    lines = text.split('\n')
    assert all(len(line) <= 78 for line in lines)
    rows = [line.partition('|')[2] for line in lines if '*' in line]
    assert len(rows) == 11  # from 0 to the peak: every row has some of it
    # The highest row is the middle: 50 columns, after one of the frame.
    columns = [i - 1 for i, letter in enumerate(rows[0]) if letter == '*']
    assert np.mean(columns) == pytest.approx(25, abs=1)
    lowest = [i - 1 for i, letter in enumerate(rows[-1]) if letter == '*']
    assert (min(lowest), max(lowest)) == (0, 49)
    assert '1.00e-03' in text
    assert lines[-1].endswith('1,000')


def test_a_plot_for_a_terminal_is_the_same_in_dots() -> None:
    plain = text_plot.draw_schedule(triangle, num_steps=1000, plain=True)
    dots = text_plot.draw_schedule(triangle, num_steps=1000, plain=False)
    assert not dots.isascii()
    for one, other in zip(plain.split('\n'), dots.split('\n'), strict=True):
        assert len(one) == len(other)
        assert [c == '*' for c in one] == ['\u2800' < c < '\u2900' for c in other]


@pytest.mark.parametrize('num_steps', [1, 2, 7])
def test_a_run_of_few_steps_is_plotted_too(num_steps: int) -> None:
    text = text_plot.draw_schedule(
        lambda step: jnp.full(jnp.shape(step), 2e-4), num_steps=num_steps, plain=True
    )
    (row,) = [line for line in text.split('\n') if '*' in line]
    assert row == '  2.00e-04 | ' + 50 * '*'
