"""Two runs' folders that are equal, and each kind of difference planted in one."""

import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from hax_jax.proof import same_bits
from hax_jax.runs import checkpoint

Rows = list[dict[str, object]]


def rows() -> Rows:
    return [
        {
            'step': step,
            'kind': kind,
            'loss': 3.0 / step,
            'by': {'all': {'nll': 1}},
            'seconds': {},
        }
        for step in (1, 2)
        for kind in ('train', 'evaluation')
    ] + [{'step': 2, 'kind': 'summary', 'trained_steps': 2}]


def write(
    folder: pathlib.Path,
    *,
    metrics: Rows | None = None,
    samples: str = '{"step": 2}\n',
    kernel: float = 2.0,
    moment: float = 0.5,
    step: int = 2,
    history: int = 0,
) -> pathlib.Path:
    folder.mkdir()
    lines = [json.dumps(row) for row in metrics or rows()]
    (folder / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
    (folder / 'samples.jsonl').write_text(samples)
    with checkpoint.Checkpoints(folder / 'checkpoints') as checkpoints:
        checkpoints.save(
            step,
            {
                checkpoint.PARAMS: {'kernel': np.array([[1.0, kernel]], np.float32)},
                checkpoint.OPTIMIZER: {'mu': np.array(moment, np.float32)},
            },
            metadata={'history': history},
        )
    return folder


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write(tmp_path_factory.mktemp('runs') / 'whole')


def test_equal_runs_are_equal_whatever_the_clock_and_the_calls_say(
    whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = [{**row, 'seconds': {'step': 9.0}} for row in rows()]
    other[-1]['trained_steps'] = 1
    found = same_bits.compare(whole, write(tmp_path / 'killed', metrics=other))
    assert found == same_bits.Compared(
        losses=2, evaluations=2, samples=1, tensors=2, bytes=12, checkpoints=[2]
    )


def changed(index: int, **values: object) -> Callable[[], Rows]:
    return lambda: [
        {**row, **(values if i == index else {})} for i, row in enumerate(rows())
    ]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'metrics': changed(2, loss=1.5000000000000002)},
            'metrics.jsonl, step 2: train.loss is 1.5 in the unbroken run and '
            '1.5000000000000002 in the killed one',
        ),
        (
            {'metrics': changed(0, weight=1)},
            'metrics.jsonl, step 1: train.weight is missing in the unbroken run',
        ),
        (
            {'metrics': lambda: rows()[1:]},
            'metrics.jsonl, step 1: the next line is train of step 1 in the unbroken '
            'run and evaluation of step 1 in the killed one',
        ),
        (
            {'metrics': lambda: [*rows(), rows()[2]]},
            'metrics.jsonl, step 2: the next line is evaluation of step 2 in the '
            'unbroken run and train of step 2 in the killed one',
        ),
        ({'samples': '{"step": 3}\n'}, 'samples.jsonl: line 1, step, is 2 in the unbr'),
        ({'samples': '{"step":2}\n'}, 'samples.jsonl: line 1 is {"step": 2} in the un'),
        (
            {'samples': '{"step": 2}\n{"step": 3}\n'},
            'samples.jsonl: line 2 is missing in the unbroken run and {"step": 3} in',
        ),
        (
            {'metrics': changed(0, by={'all': {'nll': 2}})},
            'metrics.jsonl, step 1: train.by.all.nll is 1 in the unbroken run and 2 in',
        ),
        ({'kernel': np.nextafter(np.float32(2), 3)}, 'params.kernel[0, 1] is 2.0 in'),
        ({'moment': -0.5}, 'step 2: optimizer.mu is 0.5 in the unbroken run and -0.5'),
        (
            {'step': 3},
            'checkpoints: the newest whole step is 2 in the unbroken run and 3',
        ),
        ({'history': 1}, 'step 2: history is 0 in the unbroken run and 1'),
    ],
)
def test_the_first_difference_is_named(
    changes: dict[str, object],
    message: str,
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    made = {name: v() if callable(v) else v for name, v in changes.items()}
    found = same_bits.compare(whole, write(tmp_path / 'killed', **made))
    assert message in str(found.difference)


def test_bits_differ_where_numbers_do_not() -> None:
    zeros = np.array([0.0, 1.0], np.float32)
    assert same_bits.tensor_difference(zeros, zeros.copy()) is None
    assert same_bits.tensor_difference(zeros, np.array([-0.0, 1.0], np.float32)) == (
        '[0]',
        '0.0',
        '-0.0 (1 of 2 values differ)',
    )
    nans = np.array([np.nan], np.float32)
    assert same_bits.tensor_difference(nans, nans.copy()) is None
    assert same_bits.tensor_difference(zeros, None) == ('', 'float32[2]', 'missing')
