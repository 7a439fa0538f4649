"""Names of files, in ids and in records."""

import random

from data_pipeline.reading import file_names


def test_a_name_is_the_shortest_end_that_no_path_before_it_has() -> None:
    paths = ['/h/one/a.md', '/h/two/a.md', '/h/two/b.md', '/h/two/../c.md', '/d.md']
    assert file_names.portable(paths) == {
        '/h/one/a.md': 'a.md',
        '/h/two/a.md': 'two/a.md',
        '/h/two/b.md': 'b.md',
        '/h/two/../c.md': 'c.md',
        '/d.md': 'd.md',
    }


def test_an_end_of_a_longer_path_is_no_name() -> None:
    assert file_names.portable(['/a/b.md', '/x/a/b.md']) == {
        '/a/b.md': 'b.md',
        '/x/a/b.md': 'x/a/b.md',
    }
    assert file_names.portable(['/z/b.md', '/x/a/b.md', '/a/b.md']) == {
        '/z/b.md': 'b.md',
        '/x/a/b.md': 'a/b.md',
        '/a/b.md': 'a/b.md~2',  # it has no longer end
    }


def test_stems_are_of_their_layout_and_keep_a_suffix_that_parts_them() -> None:
    paths = [('csv', '/d/a.csv'), ('csv', '/d/a.tsv'), ('pairs', '/d/a.jsonl')]
    assert list(file_names.stems(paths).values()) == ['a', 'a.tsv', 'a']


def test_names_differ_and_stay_where_a_corpus_moves_or_grows() -> None:
    chance = random.Random(0)
    for _ in range(200):
        paths = {
            '/'.join(chance.choice('abc') for _ in range(chance.randrange(1, 4)))
            for _ in range(chance.randrange(1, 6))
        }
        at_home = [f'/home/{path}.md' for path in paths]
        names = file_names.portable(at_home)
        assert len(set(names.values())) == len(paths)
        moved = file_names.portable([f'/mnt/home/{path}.md' for path in paths])
        assert list(moved.values()) == list(names.values())
        count = chance.randrange(len(paths) + 1)
        assert file_names.portable(at_home[:count]).items() <= names.items()
