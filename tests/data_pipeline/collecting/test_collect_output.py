"""A collection's files: nothing twice, nothing lost, wherever they were cut."""

import json
import os
import pathlib

import pytest
import reddit_objects

from data_pipeline.collecting import collect_output, collect_rules, reddit_shapes
from data_pipeline.rows import raw_thread
from hax_jax import errors

ABOUT = {'subreddit': 'advice', 'min_upvotes': 10}


def thread(number: int) -> raw_thread.RawThread:
    comment = reddit_shapes.comment(
        reddit_objects.comment(number, f'ü{number}'), depth=0
    )
    answers, _ = collect_rules.best_answers([comment], collect_rules.Rules(), asker='')
    post = reddit_shapes.post(reddit_objects.post(number))
    return collect_rules.thread(post, answers, source='dump')


def fill(path: pathlib.Path, numbers: range, **options: object) -> list[str]:
    """Keeps even posts and skips odd ones as a source would list them."""
    output = collect_output.Output(path, collecting=ABOUT, save_interval=2, **options)
    for number in numbers:
        if output.position is not None and number <= output.position:
            continue
        made = thread(number)
        if output.knows(made.id):
            continue
        if number % 2:
            output.skip(made.id, 'odd')
        else:
            output.keep(made)
        output.at(number)
    output.save(finished=True)
    output.close()
    assert output.kept == len(reddit_objects.ids(path))
    return output.notes


def expected(numbers: range) -> list[str]:
    return [f'p{number:04d}' for number in numbers if number % 2 == 0]


def test_what_is_kept_and_skipped_is_on_the_disk_and_known_again(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'raw' / 'a.jsonl'
    assert fill(path, range(6)) == []
    again = collect_output.Output(path, collecting=ABOUT)
    assert (again.kept, again.skipped, again.position) == (3, {'odd': 3}, 5)
    assert again.knows('p0000')
    assert again.knows('p0001')
    assert not again.knows('p0006')
    again.close()
    assert sorted(p.name for p in path.parent.glob('*.jsonl')) == ['a.jsonl']


def test_cut_at_any_byte_before_the_cursor_was_written_all_is_there_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'fsync', os.fstat)  # a disk takes seconds for thousands
    whole = tmp_path / 'whole.jsonl'
    fill(whole, range(4))
    kept, skipped = whole, collect_output.beside(whole, 'skipped')
    for source in (kept, skipped):
        for size in range(source.stat().st_size + 1):
            path = tmp_path / 'cut.jsonl'
            cut_skipped = collect_output.beside(path, 'skipped')
            collect_output.beside(path, 'cursor').unlink(missing_ok=True)
            path.write_bytes(kept.read_bytes())
            cut_skipped.write_bytes(skipped.read_bytes())
            cut = path if source == kept else cut_skipped
            cut.write_bytes(source.read_bytes()[:size])
            fill(path, range(6))
            assert sorted(reddit_objects.ids(path)) == expected(range(6))
            rows = cut_skipped.read_text().splitlines()
            assert sorted(json.loads(row)['id'] for row in rows) == [
                'p0001',
                'p0003',
                'p0005',
            ]


def test_a_file_that_lost_what_was_saved_is_listed_again(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    fill(path, range(8))
    path.write_bytes(path.read_bytes()[:-300])
    (note,) = fill(path, range(8))
    assert 'shorter than when it was saved' in note
    assert sorted(reddit_objects.ids(path)) == expected(range(8))
    path.unlink()
    fill(path, range(8))
    assert sorted(reddit_objects.ids(path)) == expected(range(8))


def test_with_repeat_a_finished_calls_posts_are_kept_again_but_once(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    fill(path, range(4), repeat=True)
    cursor = collect_output.beside(path, 'cursor')
    output = collect_output.Output(path, collecting=ABOUT, repeat=True)
    assert (output.kept, output.knows('p0000')) == (0, False)
    output.keep(thread(0))
    output.save()
    output.keep(thread(2))
    output.close()  # as a kill would leave it
    assert json.loads(cursor.read_text())['kept'] == 1
    output = collect_output.Output(path, collecting=ABOUT, repeat=True)
    assert output.kept == 2
    assert output.knows('p0000')
    assert output.knows('p0002')
    output.close()
    assert reddit_objects.ids(path) == ['p0000', 'p0002', 'p0000', 'p0002']


def test_another_collection_is_refused_with_every_difference(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    fill(path, range(2))
    with pytest.raises(errors.InputError) as error:
        collect_output.Output(path, collecting={'subreddit': 'cats', 'min_upvotes': 3})
    assert "subreddit: 'advice' there, 'cats' now" in str(error.value)
    assert 'min_upvotes: 10 there, 3 now' in str(error.value)


@pytest.mark.parametrize('text', ['My notes.', 'My notes.\n', '{"a":1}\n', '{"a":1}'])
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    tmp_path: pathlib.Path, text: str
) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_text(text)
    with pytest.raises(errors.InputError, match='not the output of a collection'):
        collect_output.Output(path, collecting=ABOUT)
    assert path.read_text() == text


def test_a_damaged_cursor_is_named_and_deleting_it_costs_nothing(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    fill(path, range(4))
    cursor = collect_output.beside(path, 'cursor')
    changed = json.loads(cursor.read_text()) | {'position': 1000}
    for text in ('{', json.dumps(changed)):
        cursor.write_text(text)
        with pytest.raises(errors.InputError, match='is no cursor'):
            fill(path, range(4))
    cursor.unlink()
    fill(path, range(6))
    assert reddit_objects.ids(path) == expected(range(6))


def test_a_collection_of_nothing_may_become_another(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    for about in (ABOUT, {'subreddit': 'cats'}):
        output = collect_output.Output(path, collecting=about)
        output.save()
        output.close()
    output = collect_output.Output(path, collecting={'subreddit': 'cats'})
    output.skip('a', 'poor')
    output.save()
    output.close()
    with pytest.raises(errors.InputError, match='is another collection'):
        collect_output.Output(path, collecting=ABOUT)


def test_a_collection_of_nothing_leaves_no_file(tmp_path: pathlib.Path) -> None:
    output = collect_output.Output(tmp_path / 'a.jsonl', collecting=ABOUT)
    output.at(7)
    output.save()
    output.close()
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / 'a.jsonl', range(2))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['a.jsonl', 'a.jsonl.cursor', 'a.jsonl.skipped']
