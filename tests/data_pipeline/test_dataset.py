import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

from data_pipeline import dataset
from hax_jax import config, records

PAIRS = [
    records.QaPair(
        id='1abc',
        group='1abc',
        source='reddit',
        file='posts.md',
        line=2**40,
        topic='',
        time='2025-11-17',
        question='é e\u0301 \u200b\xa0 😀👩\u200d👩\u200d👧 \U0010ffff \ufeff\u2581?',
        answer='One.\n\n\tTwo.\r\nThree.\x00\x7f  ',
        score=-3,
        flags=('update', 'título'),
    ),
    records.QaPair(
        id='chat-1',
        group='chat.md',
        source='chat',
        file='chat.md',
        line=1,
        topic='Ångström',
        time='',
        question='',
        answer='{"a": [1]}',
    ),
]


def make_splits(num_train: int = 40) -> dict[str, list[records.QaPair]]:
    train = [
        records.QaPair(
            id=f't{number}',
            group=f't{number}',
            source='reddit',
            file='posts.md',
            line=number,
            topic='',
            time='',
            question=f'Question {number}?',
            answer=f'Answer {number}.',
        )
        for number in range(num_train)
    ]
    return {'train': train, 'validation': PAIRS, 'test': []}


def write(
    path: pathlib.Path,
    splits: dict[str, list[records.QaPair]],
    *,
    overwrite: bool = False,
) -> dict[str, object]:
    return dataset.write(
        path,
        splits,
        sources=[{'file': 'posts.md', 'sha256': '00', 'pairs': 41}],
        split_rule={'salt': 'x'},
        ledger={'pairs': {'read': 42}},
        overwrite=overwrite,
    )


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('data') / 'advice'
    write(path, make_splits())
    return path


def test_pairs_come_back_as_they_were_in_the_order_they_were(
    written: pathlib.Path,
) -> None:
    for split, pairs in make_splits().items():
        assert list(dataset.read_pairs(written, split)) == pairs


def test_plain_tfds_reads_the_dataset(written: pathlib.Path) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(written / 'tfds/hax_qa/1.0.0')
    assert builder.info.full_name == 'hax_qa/1.0.0'
    assert {
        name: split.num_examples for name, split in builder.info.splits.items()
    } == {
        'train': 40,
        'validation': 2,
    }
    examples = list(tfds.as_numpy(builder.as_dataset(split='validation')))
    assert examples[0].keys() == vars(PAIRS[0]).keys()
    assert examples[0]['question'].decode() == PAIRS[0].question
    assert examples[0]['line'] == 2**40
    assert list(examples[0]['flags']) == [b'update', b't\xc3\xadtulo']
    assert list(examples[1]['flags']) == []


def test_the_folder_holds_the_manifest_the_ledger_and_the_tfds_files(
    written: pathlib.Path,
) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        'ledger.json',
        'manifest.json',
        'tfds',
    ]
    assert list(written.parent.iterdir()) == [written]
    assert json.loads((written / 'ledger.json').read_text()) == {'pairs': {'read': 42}}


def test_the_manifest_counts_and_hashes_the_canonical_records(
    written: pathlib.Path,
) -> None:
    manifest = dataset.read_manifest(written)
    canonical = (
        '{"answer":"{\\"a\\": [1]}","file":"chat.md","flags":[],"group":"chat.md",'
        '"id":"chat-1","line":1,"question":"","score":0,"source":"chat","time":"",'
        '"topic":"Ångström","weight":1.0}\n'
    )
    first = records.canonical_json({**vars(PAIRS[0]), 'flags': ['update', 'título']})
    assert manifest['splits']['validation'] == {
        'pairs': 2,
        'groups': 2,
        'by_source': {'chat': 1, 'reddit': 1},
        'sha256': hashlib.sha256(f'{first}\n{canonical}'.encode()).hexdigest(),
    }
    # printf '' | sha256sum
    empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    assert manifest['splits']['test'] == {
        'pairs': 0,
        'groups': 0,
        'by_source': {},
        'sha256': empty,
    }
    assert manifest['schema'] == 2
    assert manifest['template_version']
    assert manifest['sources'] == [{'file': 'posts.md', 'sha256': '00', 'pairs': 41}]
    assert manifest['split_rule'] == {'salt': 'x'}
    assert manifest['tfds']['folder'] == 'tfds/hax_qa/1.0.0'
    shas = {name: split['sha256'] for name, split in manifest['splits'].items()}
    assert manifest['sha256'] == records.sha256(shas)


def test_equal_input_makes_an_equal_manifest_and_one_character_another(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / 'again', make_splits())
    for name in ('manifest.json', 'ledger.json'):
        assert (tmp_path / 'again' / name).read_bytes() == (written / name).read_bytes()
    splits = make_splits()
    splits['train'][7] = records.QaPair(
        **{**vars(splits['train'][7]), 'answer': 'Answer 7,'}
    )
    old, new = dataset.read_manifest(written), write(tmp_path / 'other', splits)
    assert new['sha256'] != old['sha256']
    assert new['splits']['train']['sha256'] != old['splits']['train']['sha256']
    assert new['splits']['validation'] == old['splits']['validation']


def test_moving_a_pair_to_another_split_changes_the_hash(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    splits = make_splits()
    splits['test'] = [PAIRS[1]]
    splits['validation'] = [PAIRS[0]]
    new = write(tmp_path / 'moved', splits)
    assert new['sha256'] != dataset.read_manifest(written)['sha256']


def test_an_output_that_exists_is_kept_unless_it_may_be_overwritten(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'advice'
    path.mkdir()
    (path / 'manifest.json').write_text('{}')
    (path / 'packed').mkdir()
    with pytest.raises(
        config.InputError, match='exists already; give another'
    ) as caught:
        write(path, make_splits())
    assert '--overwrite' in str(caught.value)
    assert (path / 'manifest.json').read_text() == '{}'
    write(path, make_splits(3), overwrite=True)
    assert len(list(dataset.read_pairs(path, 'train'))) == 3
    assert not (path / 'packed').exists()


def test_overwrite_replaces_nothing_but_a_dataset(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'letters').mkdir()
    (tmp_path / 'letters' / 'mother.txt').write_text('Dear')
    with pytest.raises(config.InputError, match='is not a dataset'):
        write(tmp_path / 'letters', make_splits(), overwrite=True)
    (tmp_path / 'file').write_text('Dear')
    with pytest.raises(config.InputError, match='is not a dataset'):
        write(tmp_path / 'file', make_splits(), overwrite=True)
    assert (tmp_path / 'letters' / 'mother.txt').read_text() == 'Dear'


@pytest.mark.parametrize('error', [RuntimeError('disk'), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_what_was_there(
    error: BaseException, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_pipeline import hax_qa

    write(tmp_path / 'advice', make_splits(2))
    before = (tmp_path / 'advice' / 'manifest.json').read_bytes()
    write_tfds = hax_qa.write

    def fail(folder: pathlib.Path, splits: dict[str, list[records.QaPair]]) -> None:
        write_tfds(folder, splits)
        raise error

    monkeypatch.setattr(hax_qa, 'write', fail)
    for name in ('advice', 'new'):
        with pytest.raises(type(error)):
            write(tmp_path / name, make_splits(3), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ['advice']
    assert (tmp_path / 'advice' / 'manifest.json').read_bytes() == before


def test_pairs_that_are_not_the_manifests_are_an_error(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'advice'
    write(path, make_splits(3))
    manifest = json.loads((path / 'manifest.json').read_text())
    manifest['splits']['train']['sha256'] = '0' * 64
    (path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(config.InputError, match='the 3 pairs of its train split are'):
        list(dataset.read_pairs(path, 'train'))


def test_what_is_no_dataset_is_named_with_the_way_to_make_one(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(config.InputError, match='is not a dataset') as caught:
        dataset.read_manifest(tmp_path / 'none')
    assert 'python -m data_pipeline.build' in str(caught.value)
    (tmp_path / 'manifest.json').write_text('{"schema": 99}')
    with pytest.raises(config.InputError, match='has schema 99, this version reads 2'):
        dataset.read_manifest(tmp_path)
    with pytest.raises(config.InputError, match="'dev' is not a split"):
        list(dataset.read_pairs(tmp_path, 'dev'))


def test_a_group_in_two_splits_or_a_pair_twice_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    splits = make_splits(2)
    with pytest.raises(ValueError, match="group 't0' is in train and in test"):
        write(tmp_path / 'x', {**splits, 'test': splits['train'][:1]})
    with pytest.raises(ValueError, match="pair 't0' is there twice"):
        write(tmp_path / 'x', {**splits, 'train': splits['train'][:1] * 2})
    assert not (tmp_path / 'x').exists()


def test_a_manifest_is_read_without_tensorflow(written: pathlib.Path) -> None:
    code = (
        'import sys\n'
        'from data_pipeline import dataset\n'
        f'assert dataset.read_manifest({str(written)!r})["splits"]["train"]\n'
        'assert not {"tensorflow", "tensorflow_datasets"} & sys.modules.keys()\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
