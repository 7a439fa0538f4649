import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from hax_jax import digests, errors, files
from hax_jax.data import records


def make_split(
    *, rows: int = 3, length: int = 6, high: int = 100
) -> records.PackedSplit:
    rng = np.random.default_rng(0)
    features = {
        name: rng.integers(0, high, (rows, length)).astype(np.int32)
        for name in records.FEATURES
    }
    features['loss_weights'] = rng.random((rows, length)).astype(np.float32)
    segments = [
        records.Segment(
            ordinal=row,
            id=f'é{row}\u2028',
            source='reddit:advice',
            row=row,
            start=0,
            prompt_end=2,
            end=4,
            question_bytes=9,
            answer_bytes=5,
        )
        for row in range(rows)
    ]
    return records.PackedSplit(features, segments)


def write(path: pathlib.Path, splits: dict[str, records.PackedSplit]) -> pathlib.Path:
    meta = {
        'seq_len': next(iter(splits.values())).length,
        'splits': {
            name: {'rows': split.num_rows, 'segments': len(split.segments)}
            for name, split in splits.items()
        },
    }
    with files.new_folder(path, replace=True) as folder:
        records.write_cache(folder, splits, meta)
    return path


def test_canonical_json_is_one_text_whatever_the_order() -> None:
    value = {'b': [1, 2.5, None, True], 'a': {'d': 'é\n', 'c': ''}}
    expected = '{"a":{"c":"","d":"é\\n"},"b":[1,2.5,null,true]}'
    assert records.canonical_json(value) == expected
    swapped = {'a': {'c': '', 'd': 'é\n'}, 'b': [1, 2.5, None, True]}
    assert records.sha256(value) == records.sha256(swapped)
    # printf '{"a":1}' | sha256sum
    assert records.sha256({'a': 1}) == (
        '015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862'
    )
    with pytest.raises(ValueError, match='JSON compliant'):
        records.canonical_json(float('inf'))


@pytest.mark.parametrize('high', [100, 2**16, 2**16 + 1, 2**16 + 50_000])
def test_a_cache_gives_back_what_was_written(tmp_path: pathlib.Path, high: int) -> None:
    splits = {'train': make_split(high=high), 'validation': make_split(rows=1)}
    splits['train'].features['inputs'][0, 0] = high - 1
    cache = records.open_cache(write(tmp_path / 'cache', splits))
    assert cache.seq_len == 6
    for name, split in splits.items():
        assert cache.num_rows(name) == split.num_rows
        assert cache.segments(name) == split.segments
        features = cache.features(name)
        assert list(features) == list(records.FEATURES)
        for feature, array in features.items():
            assert isinstance(array, np.memmap)
            np.testing.assert_array_equal(array, split.features[feature])
    assert cache.features('train')['loss_weights'].dtype == np.float32


def test_a_split_without_rows_is_a_split(tmp_path: pathlib.Path) -> None:
    splits = {'train': make_split(), 'test': make_split(rows=0)}
    cache = records.open_cache(write(tmp_path / 'cache', splits))
    assert cache.num_rows('test') == 0
    assert cache.segments('test') == []
    assert cache.features('test')['inputs'].shape == (0, 6)


def test_equal_rows_have_an_equal_fingerprint_and_a_change_of_any_shows(
    tmp_path: pathlib.Path,
) -> None:
    def fingerprint(split: records.PackedSplit, name: str = 'train') -> str:
        return records.open_cache(write(tmp_path / 'cache', {name: split})).fingerprint

    split = make_split()
    seen = [fingerprint(split)]
    assert fingerprint(make_split()) == seen[0]
    for name in records.FEATURES:
        features = dict(split.features)
        features[name] = features[name].copy()
        features[name][2, 5] += 1
        seen.append(fingerprint(records.PackedSplit(features, split.segments)))
    segments = [*split.segments[:2], dataclasses.replace(split.segments[2], end=3)]
    seen.append(fingerprint(records.PackedSplit(split.features, segments)))
    seen.append(fingerprint(split, 'validation'))
    assert len(set(seen)) == len(seen) == 8


def change_a_target(path: pathlib.Path) -> None:
    targets = np.load(path / 'train' / 'targets.npy')
    targets[1, 3] += 1
    np.save(path / 'train' / 'targets.npy', targets)


def test_each_changed_missing_or_added_file_is_named(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / 'cache', {'train': make_split(), 'test': make_split()})
    records.open_cache(path).verify()
    change_a_target(path)
    (path / 'test' / 'inputs.npy').unlink()
    (path / 'tokenizer').mkdir()
    (path / 'tokenizer' / 'tokenizer.json').touch()  # which would be read
    (path / 'test' / '.DS_Store').touch()  # which nothing reads
    with pytest.raises(
        errors.InputError,
        match=r'damaged: test/inputs\.npy is missing, tokenizer/tokenizer\.json was '
        r'added, train/targets\.npy has other bytes than were written\. Delete',
    ):
        records.open_cache(path).verify()


@pytest.mark.parametrize('field', ['seq_len', 'splits', 'fingerprint', 'files'])
def test_a_changed_meta_is_refused_when_it_is_opened(
    tmp_path: pathlib.Path, field: str
) -> None:
    path = write(tmp_path / 'cache', {'train': make_split()})
    meta = files.read_json_object(path / 'meta.json')
    files.write_json(path / 'meta.json', meta | {field: 7})
    with pytest.raises(errors.InputError, match=r'damaged: meta\.json has other cont'):
        records.open_cache(path)


def test_a_cache_without_digests_has_its_rows_verified_and_says_so(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / 'cache', {'train': make_split(), 'test': make_split()})
    meta = files.read_json_object(path / 'meta.json')
    old = {name: meta[name] for name in meta.keys() - {'files', 'digest'}}
    files.write_json(path / 'meta.json', old)
    records.open_cache(path).verify()
    assert (
        'packed by a version without digests: its rows are' in capsys.readouterr().err
    )
    change_a_target(path)
    with pytest.raises(errors.InputError, match='fingerprint in meta'):
        records.open_cache(path).verify()
    files.write_json(path / 'meta.json', {**old, 'splits': {'train': {}}})
    with pytest.raises(errors.InputError, match='does not describe it'):
        records.open_cache(path).verify()


def cut_array(path: pathlib.Path) -> None:
    file = path / 'train' / 'inputs.npy'
    file.write_bytes(file.read_bytes()[:-8])


def cut_header(path: pathlib.Path) -> None:
    file = path / 'train' / 'inputs.npy'
    file.write_bytes(file.read_bytes()[:20])


def empty_array(path: pathlib.Path) -> None:
    (path / 'train' / 'inputs.npy').write_bytes(b'')


def remove_array(path: pathlib.Path) -> None:
    (path / 'train' / 'inputs.npy').unlink()


def other_bytes(path: pathlib.Path) -> None:
    (path / 'train' / 'inputs.npy').write_bytes(b'no array at all' * 20)


def other_shape(path: pathlib.Path) -> None:
    np.save(path / 'train' / 'inputs.npy', np.zeros((3, 7), np.int32))


def test_a_cache_that_is_deleted_stays_readable_where_it_was_read(
    tmp_path: pathlib.Path,
) -> None:
    splits = {name: make_split() for name in ('train', 'validation')}
    cache = records.open_cache(write(tmp_path / 'cache', splits))
    for name in splits:
        cache.features(name)
    segments = cache.segments('validation')
    shutil.rmtree(cache.path)
    for name, split in splits.items():
        for feature, array in cache.features(name).items():
            np.testing.assert_array_equal(array, split.features[feature])
    assert cache.segments('validation') == segments == splits['validation'].segments
    with pytest.raises(errors.InputError, match='is gone: a build has replaced its'):
        cache.segments('train')


@pytest.mark.parametrize(
    'damage',
    [cut_array, cut_header, empty_array, remove_array, other_bytes, other_shape],
)
def test_a_damaged_array_is_named_with_the_remedy(
    tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None]
) -> None:
    path = write(tmp_path / 'cache', {'train': make_split()})
    damage(path)
    with pytest.raises(
        errors.InputError, match=r'damaged: train/inputs\.npy.*Delete that folder'
    ) as caught:
        records.open_cache(path).features('train')
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    'edit',
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1][:20]],
        lambda lines: [*lines[:-1], '[]'],
        lambda lines: [*lines[:-1], '{"ordinal": 1}'],
        lambda lines: [*lines, lines[0]],
    ],
)
def test_a_damaged_segment_table_is_named_with_the_remedy(
    tmp_path: pathlib.Path, edit: Callable[[list[str]], list[str]]
) -> None:
    path = write(tmp_path / 'cache', {'train': make_split()})
    file = path / 'train' / 'segments.jsonl'
    lines = file.read_text(encoding='utf-8').rstrip('\n').split('\n')
    file.write_text('\n'.join(edit(lines)), encoding='utf-8')
    with pytest.raises(
        errors.InputError, match=r'damaged: train/segments\.jsonl.*Delete that folder'
    ):
        records.open_cache(path).segments('train')
    file.unlink()
    with pytest.raises(errors.InputError, match=r'damaged: train/segments\.jsonl'):
        records.open_cache(path).segments('train')


@pytest.mark.parametrize('meta', ['', '{"schema": 1', '[]', 'null', '\x00\x00'])
def test_a_folder_that_is_no_cache_says_what_makes_one(
    tmp_path: pathlib.Path, meta: str
) -> None:
    with pytest.raises(errors.InputError, match=r'not a packed cache.*launch\.train'):
        records.open_cache(tmp_path)
    (tmp_path / 'meta.json').write_text(meta)
    with pytest.raises(errors.InputError, match=r'launch\.train') as caught:
        records.open_cache(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_cache_of_another_schema_says_both_and_the_remedy(
    tmp_path: pathlib.Path,
) -> None:
    path = write(tmp_path / 'cache', {'train': make_split()})
    meta = json.loads((path / 'meta.json').read_text())
    other = digests.sealed(meta | {'schema': 99})
    (path / 'meta.json').write_text(json.dumps(other))
    with pytest.raises(
        errors.InputError, match=r'schema 99, this version reads 1; delete that folder'
    ):
        records.open_cache(path)
