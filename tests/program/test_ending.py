"""The end of a program that is one of several processes."""

import sys

import pytest

from hax_jax.program import ending, entry


def test_other_processes_print_their_warnings_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'stdout', sys.stdout)  # to have it back
    monkeypatch.setattr(ending, 'only_warnings', False)
    ending.print_only_warnings(3)
    print('the plan')
    print('WARNING: a step is damaged')
    print('WARN', end='')
    print('ING: in two parts', flush=True)
    assert capsys.readouterr().out == (
        'process 3: WARNING: a step is damaged\nprocess 3: WARNING: in two parts\n'
    )


@pytest.mark.parametrize(
    ('error', 'found', 'told'),
    [
        (ValueError('x'), ('error: x', 2), ('error: x', 2)),
        (KeyError('x'), None, (None, 1)),
        (SystemExit(3), None, ('ended by exit code 3', 3)),
        (SystemExit(0), None, None),
    ],
)
def test_the_others_are_told_how_a_process_failed(
    error: BaseException,
    found: tuple[str, int] | None,
    told: tuple[str | None, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[tuple[str | None, int]] = []
    monkeypatch.setattr(
        ending, '_failed', lambda error, line, code: heard.append((line, code))
    )
    entry._end_others(error, found)
    assert heard == ([told] if told else [])


def test_a_program_that_is_alone_ends_as_it_did() -> None:
    ending.failed(ValueError('x'), 'error: x', 2)
    ending.finished()
