import pytest

from hax_jax.program import progress


@pytest.mark.parametrize(
    ('total', 'line'),
    [
        (1000, 'reading: 200 of 1,000 bytes, 5 bytes/s, 160 s to go, 3 pairs\n'),
        (0, 'reading: 200 bytes, 5 bytes/s, 3 pairs\n'),
    ],
)
def test_a_log_gets_a_line_every_half_minute(
    total: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    with progress.Progress('reading', total, 'byte') as shown:
        now[0] += 29
        shown.add(100, '1 pair')
        now[0] += 11
        shown.add(100, '3 pairs')
        shown.add(100, '4 pairs')
    assert capsys.readouterr().out == line
