"""Two runs on one page: what is said of their paired difference, or why nothing is."""

import dataclasses
import pathlib

import pytest
import test_page

from hax_jax.evaluation import evaluate, saved_scores
from hax_jax.report import page, run_difference

GROUPS = {f'p{i}': f'group {i // 2}' for i in range(40)}


def run(
    folder: pathlib.Path,
    loss: float,
    *,
    first: int = 0,
    tokenizer: str = 't',
    seq_len: int = 32,
    rows: str = 'rows',
) -> run_difference.run_record.RunRecord:
    """A run whose answers of 4 tokens have about this loss, pair by pair."""
    folder.mkdir()
    pairs = [
        evaluate.PairScore(
            f'p{i}', 'chat', answer=evaluate.Part(4 * (loss + i % 5), 4, 12)
        )
        for i in range(first, first + 20)
    ]
    scores = saved_scores.SavedScores(7, rows, tokenizer, seq_len, pairs)
    saved_scores.write(folder, scores)
    return test_page.record(name=folder.name, place=str(folder))


def test_the_better_run_is_named_with_the_interval(tmp_path: pathlib.Path) -> None:
    a, b = run(tmp_path / 'a', 2.5), run(tmp_path / 'b', 2.0)
    found = run_difference.of(a, b, groups=GROUPS)
    assert found.verdict == (
        'b at step 7 is better than a at step 7 by 0.5000 nats per answer token (95% '
        'interval 0.5000 to 0.5000) on 20 pairs in 10 groups'
    )
    assert (found.better, found.notes) == ('B', [])
    assert [row['source'] for row in found.rows] == ['all', 'chat']
    text = page.render([a, b], [found])
    assert text.index(found.verdict) < text.index('done: 20 steps')  # it comes first
    assert '<span>+0.5000</span> to <span>+0.5000</span>' in text


def test_what_makes_runs_hard_to_compare_is_said_with_a_command(
    tmp_path: pathlib.Path,
) -> None:
    a = run(tmp_path / 'a', 2.5)
    b = run(tmp_path / 'b', 2.0, first=4, tokenizer='other', seq_len=64)
    found = run_difference.of(a, b, groups={})
    assert 'bits per byte of the answers' in found.verdict
    assert 'on 16 pairs in 16 groups' in found.verdict
    said = '\n'.join(found.notes)
    for part in (
        'the groups of 20 pairs are not known',
        'the tokenizers differ',
        'rows of 32 and of 64 tokens',
        f'launch.evaluate --workdir={tmp_path / "a"} --workdir={tmp_path / "b"}',
        '4 pairs are not compared: they are in validation of a alone',
        '4 pairs are not compared: they are in validation of b alone',
    ):
        assert part in said


def test_other_rows_are_said_though_their_pairs_are_compared(
    tmp_path: pathlib.Path,
) -> None:
    a, b = run(tmp_path / 'a', 2.5), run(tmp_path / 'b', 2.0, rows='others')
    found = run_difference.of(a, b, groups=GROUPS)
    assert found.better == 'B'
    (note,) = found.notes
    assert note.startswith('the rows differ (another dataset')
    assert note.endswith('--data=FOLDER')


@pytest.mark.parametrize('why', ['none', 'damaged', 'other pairs'])
def test_runs_that_can_not_be_compared_say_why_and_how(
    tmp_path: pathlib.Path, why: str
) -> None:
    folder = tmp_path / 'two runs'
    folder.mkdir()
    a = run(folder / 'a', 2.5)
    b = run(folder / 'b', 2.0, first=20)
    path = folder / 'b' / saved_scores.FILE
    if why == 'none':
        path.unlink()
    if why == 'damaged':
        path.write_text('torn')
    found = run_difference.of(a, b, groups=GROUPS)
    expected = {
        'none': f'a and b are not compared: {path} is missing: the best step',
        'damaged': f'a and b are not compared: {path} is damaged',
        'other pairs': 'their validation splits have no pair in common',
    }
    assert expected[why] in found.verdict
    command = f"launch.evaluate --workdir='{folder}/a' --workdir='{folder}/b'"
    assert command in found.verdict
    assert (found.better, found.rows) == ('', [])
    assert 'are not compared' in page.render([a, b], [found])


def test_names_from_the_data_are_text_on_the_page(tmp_path: pathlib.Path) -> None:
    a, b = run(tmp_path / 'a', 2.5), run(tmp_path / 'b', 2.0)
    found = run_difference.of(a, b, groups=GROUPS)
    rows = [{**row, 'source': test_page.EVIL} for row in found.rows]
    evil = dataclasses.replace(found, rows=rows, notes=[test_page.EVIL])
    text = page.render([a, b], [evil])
    assert '<img' not in text
    assert text.count('<script') == 3
