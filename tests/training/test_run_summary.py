import pathlib
from typing import Any

import pytest

from hax_jax.evaluation import history
from hax_jax.training import run_summary

WORKDIR = pathlib.Path('runs/a')


def summary(**changes: Any) -> run_summary.Summary:
    """A run of 100 steps, best at 60, before that changes."""
    values: dict[str, Any] = {
        'step': 100,
        'num_steps': 100,
        'reason': 'finished',
        'stopped_by': 0,
        'trained_steps': 100,
        'best_step': 60,
        'best_validation_loss': 2.5,
        'unigram_entropy': 6.0,
        'history': history.History(3.5, 2.5, 60, 4),
        'patience': 4,
        'seconds': {'data': 1.0, 'step': 3.0},
    }
    return run_summary.Summary(**{**values, **changes})


def test_a_finished_run_names_its_best_step_its_time_and_what_to_do() -> None:
    assert run_summary.render(summary(), WORKDIR).splitlines() == [
        'done: 100 steps',
        'best validation loss 2.5000 at step 60',
        'before training it was 3.5000',
        'token frequencies alone cost 6.0000 nats per token',
        'time: 4s: data 25%, step 75%',
        'next: python -m launch.sample --workdir=runs/a --prompt="..."',
    ]
    said = run_summary.render(summary(), pathlib.Path('all runs/a'))
    assert "launch.sample --workdir='all runs/a' --prompt=" in said


@pytest.mark.parametrize(
    ('changes', 'code', 'words'),
    [
        ({}, 0, ['done: 100 steps']),
        (
            {'reason': 'patience', 'num_steps': 500},
            0,
            [
                'stopped early at step 100 of 500: 4 evaluations in a row',
                'train.patience=4)\n',
                '--config.train.patience=8 (0: never)',
            ],
        ),
        (
            {'reason': 'patience', 'patience_min_delta': 0.01},
            0,
            ['(train.patience=4, train.patience_min_delta=0.01)'],
        ),
        (
            {'reason': 'patience', 'trained_steps': 0},
            0,
            ['nothing more was trained now'],
        ),
        (
            {'reason': 'max_minutes', 'num_steps': 500},
            75,
            ['stopped at step 100 of 500: train.max_minutes', 'the same command'],
        ),
        (
            {'reason': 'signal', 'stopped_by': 15},
            143,
            ['stopped by signal 15 at step 100', 'the same command goes on'],
        ),
        ({'skipped_steps': 3}, 0, ['done: 100 steps\n3 of the steps were bad and sk']),
        ({'history': history.History(3.5, 2.5, 100, 0)}, 0, ['train.num_steps']),
        ({'history': history.History(3.5, 2.25, 50, 4)}, 0, ['2.2500 at step 50']),
        (
            {'history': history.History(3.5), 'best_validation_loss': None},
            0,
            ['no evaluation was due'],
        ),
    ],
)
def test_each_end_has_its_words_and_its_exit_code(
    changes: dict[str, Any], code: int, words: list[str]
) -> None:
    ended = summary(**changes)
    text = run_summary.render(ended, WORKDIR)
    for word in words:
        assert word in text
    assert run_summary.exit_code(ended) == code


def test_what_took_next_to_nothing_is_left_out_of_the_time() -> None:
    shown = run_summary.time_split({'compile': 0.4, 'step': 99.6})
    assert shown == '1m40s: step 100%'


def test_without_an_evaluation_the_loss_before_training_is_not_denied() -> None:
    for before, words in (
        (
            3.5,
            'no evaluation was due yet; before training the validation loss was 3.50',
        ),
        (None, 'no evaluation was due yet'),
    ):
        past = history.History(loss_before=before)
        shown = run_summary.render(
            summary(reason='signal', stopped_by=2, history=past), WORKDIR
        )
        assert words in shown
        assert 'no validation loss' not in shown
