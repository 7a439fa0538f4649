import functools
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from data_pipeline import dataset
from hax_jax import errors
from hax_jax.data import dataset_folder, records

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
        weight=0.1,  # no sum of powers of two, in 32 bits or in 64
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
    path: pathlib.Path, splits: dict[str, Any], *, overwrite: bool = False
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
    } == {'train': 40, 'validation': 2}
    examples = list(tfds.as_numpy(builder.as_dataset(split='validation')))
    assert examples[0].keys() == records.as_row(PAIRS[0]).keys()
    assert 'more' not in examples[0]  # as of a dataset before conversations
    assert examples[0]['question'].decode() == PAIRS[0].question
    assert examples[0]['line'] == 2**40
    assert list(examples[0]['flags']) == [b'update', b't\xc3\xadtulo']
    assert list(examples[1]['flags']) == []


def test_the_folder_holds_the_manifest_the_accounts_and_the_tfds_files(
    written: pathlib.Path,
) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        'dropped.jsonl',
        'ledger.json',
        'manifest.json',
        'report.html',
        'tfds',
    ]
    assert list(written.parent.iterdir()) == [written]
    ledger = json.loads((written / 'ledger.json').read_text())
    assert ledger['pairs'] == {'read': 42}
    assert ledger['dropped_sha256'] == hashlib.sha256(b'').hexdigest()


def test_the_manifest_counts_and_hashes_the_canonical_records(
    written: pathlib.Path,
) -> None:
    manifest = dataset_folder.read_manifest(written)
    canonical = (
        '{"answer":"{\\"a\\": [1]}","file":"chat.md","flags":[],"group":"chat.md",'
        '"id":"chat-1","line":1,"question":"","score":0,"source":"chat","time":"",'
        '"topic":"Ångström","weight":0.1}\n'
    )
    first = records.canonical_json(
        {**records.as_row(PAIRS[0]), 'flags': ['update', 'título']}
    )
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
    old, new = dataset_folder.read_manifest(written), write(tmp_path / 'other', splits)
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
    assert new['sha256'] != dataset_folder.read_manifest(written)['sha256']


def test_an_output_that_exists_is_kept_unless_it_may_be_overwritten(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'advice'
    path.mkdir()
    (path / 'manifest.json').write_text('{}')
    (path / 'packed').mkdir()
    with pytest.raises(
        errors.InputError, match='exists already; give another'
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
    with pytest.raises(errors.InputError, match='is not a dataset'):
        write(tmp_path / 'letters', make_splits(), overwrite=True)
    (tmp_path / 'file').write_text('Dear')
    for place in (tmp_path / 'file', tmp_path / 'file' / 'a' / 'b'):
        for overwrite in (False, True):
            with pytest.raises(errors.InputError) as caught:
                write(place, make_splits(), overwrite=overwrite)
            assert str(caught.value) == (
                f'--output={place} can not be a folder: {tmp_path}/file is a file; '
                'give another --output.'
            )
    closed = '--output=/proc/new/data: /proc is not a folder that can be written to'
    with pytest.raises(errors.InputError, match=closed):
        write(pathlib.Path('/proc/new/data'), make_splits())
    assert (tmp_path / 'letters' / 'mother.txt').read_text() == 'Dear'


def test_overwrite_deletes_nothing_that_no_build_made(tmp_path: pathlib.Path) -> None:
    data = tmp_path / 'data'
    write(data, make_splits())
    for name in ('chat', 'grown', 'packed', 'preferences', 'tokenizers'):
        (data / name).mkdir(exist_ok=True)
    write(data, make_splits(), overwrite=True)
    (data / 'run').mkdir()
    (data / 'run.json').write_text('{}')
    with pytest.raises(errors.InputError, match='holds run and 1 more too, which no b'):
        write(data, make_splits(), overwrite=True)
    assert (data / 'run').is_dir()


@pytest.mark.parametrize('error', [RuntimeError('disk'), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_what_was_there(
    error: BaseException, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_pipeline.writing import tfds_files

    write(tmp_path / 'advice', make_splits(2))
    before = (tmp_path / 'advice' / 'manifest.json').read_bytes()
    write_tfds = tfds_files.write

    def fail(folder: pathlib.Path, splits: Any) -> None:
        write_tfds(folder, splits)
        raise error

    monkeypatch.setattr(tfds_files, 'write', fail)
    for name in ('advice', 'new'):
        with pytest.raises(type(error)):
            write(tmp_path / name, make_splits(3), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ['advice']
    assert (tmp_path / 'advice' / 'manifest.json').read_bytes() == before


def test_pairs_that_are_not_the_manifests_are_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'advice'
    write(path, make_splits(3))
    whole = (path / 'manifest.json').read_text()
    for field, value in (('sha256', '0' * 64), ('pairs', 2), ('pairs', 0)):
        manifest = json.loads(whole)
        manifest['splits']['train'][field] = value
        (path / 'manifest.json').write_text(json.dumps(manifest))
        with pytest.raises(errors.InputError, match=r'manifest\.json is damaged'):
            list(dataset.read_pairs(path, 'train'))
        old = {name: manifest[name] for name in manifest if name != 'digest'}
        (path / 'manifest.json').write_text(json.dumps(old))  # of an earlier version
        with pytest.raises(errors.InputError, match='the 3 pairs of its train split '):
            list(dataset.read_pairs(path, 'train'))


@pytest.mark.parametrize('file', ['dataset_info', 'features', '-train.tfrecord'])
def test_a_damaged_file_of_tfds_is_refused_by_name_before_a_pair_is_read(
    written: pathlib.Path, tmp_path: pathlib.Path, file: str
) -> None:
    path = shutil.copytree(written, tmp_path / 'advice')
    folder = path / 'tfds/hax_qa/1.0.0'
    (damaged,) = folder.glob(f'*{file}*')
    whole = damaged.read_bytes()
    half = len(whole) // 2
    cut = whole[:half]
    for other in (cut, cut + bytes([whole[half] ^ 1]) + whole[half + 1 :], b''):
        damaged.write_bytes(other)
        with pytest.raises(errors.InputError, match='has other bytes') as caught:
            next(dataset.read_pairs(path, 'train'))
        assert f'{folder} is damaged: {damaged.name}' in str(caught.value)
    damaged.unlink()
    with pytest.raises(errors.InputError, match=f'{damaged.name} is missing'):
        next(dataset.read_pairs(path, 'train'))
    # A dataset of an earlier version has no SHA256SUMS.
    (folder / 'SHA256SUMS').unlink()
    damaged.write_bytes(cut)
    with pytest.raises(errors.InputError, match=r'1\.0\.0 is damaged: its train split'):
        list(dataset.read_pairs(path, 'train'))
    damaged.write_bytes(whole)
    assert len(list(dataset.read_pairs(path, 'train'))) == 40


def test_what_is_no_dataset_is_named_with_the_way_to_make_one(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(errors.InputError, match='is not a dataset') as caught:
        dataset_folder.read_manifest(tmp_path / 'none')
    assert 'none is not a dataset (there is no such folder)' in str(caught.value)
    (tmp_path / 'file').write_text('')
    with pytest.raises(
        errors.InputError, match=r'file is not a dataset \(it is a file'
    ):
        dataset_folder.read_manifest(tmp_path / 'file')
    assert 'python -m data_pipeline.build' in str(caught.value)
    with pytest.raises(errors.InputError, match=r'\(it has no manifest\.json\)'):
        dataset_folder.read_manifest(tmp_path)
    (tmp_path / 'manifest.json').write_text('{"schema": 99}')
    with pytest.raises(errors.InputError, match='has schema 99, this version reads 2'):
        dataset_folder.read_manifest(tmp_path)
    with pytest.raises(
        errors.InputError, match="'dev' is not a split; use one of train, validation,"
    ):
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
        'from hax_jax.data import dataset_folder\n'
        f'assert dataset_folder.read_manifest({str(written)!r})["splits"]["train"]\n'
        'assert not {"tensorflow", "tensorflow_datasets"} & sys.modules.keys()\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_all_files_but_those_of_tfds_are_the_same_bytes_each_time(
    tmp_path: pathlib.Path,
) -> None:
    dropped = [
        {'id': 'x2', 'kept_id': 't1', 'reason': 'same text'},
        {'id': 'x1', 'kept_id': '', 'reason': 'no answer'},
    ]
    made = []
    for name in ('a', 'b'):
        dataset.write(
            tmp_path / name,
            make_splits(),
            sources=[],
            split_rule={},
            ledger={'read': {'by_source': {'reddit': 43, 'chat': 1}}, 'notes': ['x']},
            dropped=dropped,
            chat=True,
            system='Be kind.',
        )
        files = [path for path in (tmp_path / name).rglob('*') if path.is_file()]
        made.append(
            {
                path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
                for path in files
                if 'tfds' not in path.parts
            }
        )
    assert sorted(made[0]) == [
        'chat/test.jsonl',
        'chat/train.jsonl',
        'chat/validation.jsonl',
        'dropped.jsonl',
        'ledger.json',
        'manifest.json',
        'report.html',
    ]
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in b''.join(made[0].values())
    lines = made[0]['dropped.jsonl'].decode().splitlines()
    assert [json.loads(line) for line in lines] == dropped
    first = json.loads(made[0]['chat/validation.jsonl'].decode().split('\n')[0])
    assert first == {
        'messages': [
            {'role': 'system', 'content': 'Be kind.'},
            {'role': 'user', 'content': PAIRS[0].question},
            {'role': 'assistant', 'content': PAIRS[0].answer},
        ]
    }
    assert made[0]['chat/train.jsonl'].count(b'\n') == 40
    assert made[0]['chat/test.jsonl'] == b''


def test_a_split_of_several_shards_keeps_its_order_for_us_and_for_plain_tfds(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    from data_pipeline.writing import tfds_files

    monkeypatch.setattr(tfds_files, '_SHARD', 7)
    splits = make_splits(40)
    write(tmp_path / 'advice', splits)
    folder = tmp_path / 'advice' / 'tfds/hax_qa/1.0.0'
    assert len(list(folder.glob('hax_qa-train.*'))) == 6
    assert list(dataset.read_pairs(tmp_path / 'advice', 'train')) == splits['train']
    builder = tfds.builder_from_directory(folder)
    assert builder.info.splits['train'].shard_lengths == [7, 7, 7, 7, 7, 5]
    plain = tfds.as_numpy(builder.as_dataset(split='train'))
    assert [each['line'] for each in plain] == list(range(40))


def test_the_files_are_those_that_tfds_writes(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    import tensorflow_datasets as tfds

    from data_pipeline.compared import described_pairs, tf_example
    from data_pipeline.writing import hax_qa, tfds_files

    used = tfds_files.Used()
    seen = used.seen(described_pairs.of(PAIRS))
    assert [pair for some in seen for pair in some.pairs()] == PAIRS
    builder = hax_qa.HaxQa({}, fields=used.fields(), data_dir=tmp_path / 'tfds')
    (tmp_path / tfds_files.FOLDER).mkdir(parents=True)
    writer = tfds.core.SequentialWriter(builder.info, max_examples_per_shard=100)
    splits = {name: pairs for name, pairs in make_splits().items() if pairs}
    writer.initialize_splits(list(splits))
    for name, pairs in splits.items():
        rows = [{**records.as_row(pair), 'flags': list(pair.flags)} for pair in pairs]
        writer.add_examples({name: rows})
    writer.close_all()
    ours, theirs = (folder / tfds_files.FOLDER for folder in (written, tmp_path))
    names = sorted(path.name for path in theirs.iterdir())
    assert names == sorted(p.name for p in ours.iterdir() if p.name != 'SHA256SUMS')
    for name in names:
        if name.endswith('.json'):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
            continue
        made = tf_example.example_class()
        one, other = (
            [made.FromString(each) for each in tf_example.records_of(folder / name)]
            for folder in (ours, theirs)
        )
        assert one == other
    for name, pairs in splits.items():  # and we read what TFDS writes
        assert list(tfds_files.read(tmp_path, name)) == pairs


def test_a_damaged_record_without_digests_is_named(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(written, tmp_path / 'advice')
    folder = path / 'tfds/hax_qa/1.0.0'
    (folder / 'SHA256SUMS').unlink()
    (damaged,) = folder.glob('*-train.tfrecord*')
    whole = damaged.read_bytes()
    for other in (whole[:-9], whole[:5], whole[:99] + b'?' + whole[100:], b'?' + whole):
        damaged.write_bytes(other)
        with pytest.raises(errors.InputError, match='has a damaged record'):
            list(dataset.read_pairs(path, 'train'))


def test_pairs_are_read_once_and_not_held(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_pipeline.compared import described_pairs
    from data_pipeline.writing import tfds_files

    monkeypatch.setattr(described_pairs, '_AT_ONCE', 60)
    monkeypatch.setattr(tfds_files, '_SHARD', 100)
    alive: weakref.WeakSet[records.QaPair] = weakref.WeakSet()
    most = starts = written_at_900 = 0

    def stream(first: int, count: int) -> Iterator[records.QaPair]:
        nonlocal most, starts, written_at_900
        starts += 1
        for number in range(first, first + count):
            pair = records.QaPair(
                id=str(number),
                group=str(number // 2),
                source='chat',
                file='a.md',
                line=number,
                topic='',
                time='',
                question=f'Question {number}?',
                answer=f'Answer {number}.',
            )
            alive.add(pair)
            most = max(most, len(alive))
            if number == 900:
                written_at_900 = len(list(tmp_path.rglob('hax_qa-train*')))
            yield pair

    manifest = write(
        tmp_path / 'advice',
        {
            'train': functools.partial(stream, 0, 1000),  # a callable
            'validation': stream(1000, 50),  # or an iterator
            'test': [],
        },
    )
    assert starts == 2
    assert manifest['splits']['train']['pairs'] == 1000
    assert manifest['splits']['train']['groups'] == 500
    # Those in flight and those before; the report keeps copies of its own.
    assert most <= 121
    assert written_at_900 == 9  # what came before is on disk already


def test_the_manifest_of_a_stream_is_that_of_a_list(
    written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    streams = {name: iter(pairs) for name, pairs in make_splits().items()}
    assert write(tmp_path / 'streamed', streams) == dataset_folder.read_manifest(
        written
    )


def test_two_hashes_that_are_equal_by_chance_are_no_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_pipeline.compared import packed_rows

    monkeypatch.setattr(packed_rows, 'name_hash', len)
    manifest = write(tmp_path / 'advice', make_splits(5))
    assert manifest['splits']['train']['pairs'] == 5
    splits = make_splits(5)
    splits['test'] = [splits['train'][3]]
    with pytest.raises(ValueError, match="group 't3' is in train and in test"):
        write(tmp_path / 'twice', splits)
