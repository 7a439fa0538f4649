import dataclasses
import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from data_pipeline import dataset, pack
from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import (
    dataset_folder,
    packing,
    records,
    shift_check,
    text,
    train_tokenizer,
)
from hax_jax.reference import row_texts
from hax_jax.runs import packed_rows

ROOT = pathlib.Path(__file__).parents[2]
TOPICS = ['mother', 'brother', 'friend', 'boss', 'wedding', 'garden', 'money']


def make_pairs(name: str, count: int, *, answer: str = '') -> list[records.QaPair]:
    return [
        records.QaPair(
            id=f'{name}{number}',
            group=f'{name}{number}',
            source=('chat', 'reddit:advice')[number % 2],
            file='f.md',
            line=number,
            topic='',
            time='',
            question=f'My {TOPICS[number % 7]}  asks {number} things.\n\nWhat now?',
            answer=answer or 'Say no. ' * (1 + number % 5) + TOPICS[number % 7],
        )
        for number in range(count)
    ]


def make_splits() -> dict[str, list[records.QaPair]]:
    return {'train': make_pairs('t', 20), 'validation': make_pairs('v', 3), 'test': []}


def write_dataset(
    path: pathlib.Path, splits: dict[str, list[records.QaPair]]
) -> pathlib.Path:
    """A dataset's manifest, and its pairs as JSON lines in place of TFDS."""
    path.mkdir(parents=True)
    described = {}
    for name, pairs in splits.items():
        rows = [records.as_row(pair) for pair in pairs]
        described[name] = {'pairs': len(pairs), 'sha256': records.sha256(rows)}
        lines = [json.dumps(row) + '\n' for row in rows]
        (path / f'{name}.jsonl').write_text(''.join(lines))
    manifest = {
        'schema': dataset_folder.SCHEMA,
        'sha256': records.sha256(described),
        'splits': described,
    }
    (path / 'manifest.json').write_text(json.dumps(manifest))
    return path


def read_lines(path: str | pathlib.Path, split: str) -> Iterator[records.QaPair]:
    """Stands in for dataset.read_pairs, which needs TensorFlow."""
    for line in (pathlib.Path(path) / f'{split}.jsonl').read_text().splitlines():
        row = json.loads(line)
        lists = {name: tuple(row[name]) for name in row if type(row[name]) is list}
        yield records.QaPair(**{**row, **lists})


@pytest.fixture
def data(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> schema.DataConfig:
    monkeypatch.setattr(dataset, 'read_pairs', read_lines)
    path = write_dataset(tmp_path / 'advice', make_splits())
    return schema.DataConfig(path=str(path), seq_len=160)


@pytest.fixture(scope='module')
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


def left_over(data: schema.DataConfig) -> list[str]:
    folder = pathlib.Path(data.path) / 'packed'
    return sorted(p.name for p in folder.iterdir() if p.suffix != '.lock')


# Packing


def test_a_cache_holds_the_packed_pairs_and_the_account_of_them(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> None:
    folder = pack.ensure_packed(data, tokenizer)
    assert folder.parent == pathlib.Path(data.path) / 'packed'
    cache = records.open_cache(folder)
    for split, pairs in make_splits().items():
        made = packing.tokenize(pairs, tokenizer, seq_len=160, long_answers='drop')
        packed = packing.pack(made.pairs, seq_len=160, question_weight=0.0)
        assert cache.segments(split) == packed.segments
        for name, array in cache.features(split).items():
            np.testing.assert_array_equal(array, packed.features[name])
        assert cache.meta['splits'][split] == packing.count_positions(packed)
        assert cache.meta['ledger'][split]['tokens'] == made.counts
    assert shift_check.shift_problem(cache.features('train')) == ''
    assert cache.meta['tokenizer'] == tokenizer.fingerprint
    assert cache.meta['template'] == text.TEMPLATE_VERSION
    assert cache.meta['eos_id'] == tokenizer.eos_id
    assert cache.meta['vocab_size'] == tokenizer.vocab_size
    carried = text.load_tokenizer(str(folder / 'tokenizer'))
    assert carried.fingerprint == tokenizer.fingerprint


def test_each_target_is_the_token_after_its_input_in_the_pair(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> None:
    cache = records.open_cache(pack.ensure_packed(data, tokenizer))
    pairs = make_splits()['train']
    targets = cache.features('train')['targets']
    assert len(cache.segments('train')) == len(pairs)
    for segment in cache.segments('train'):
        pair = pairs[segment.ordinal]
        assert (segment.id, segment.source) == (pair.id, pair.source)
        answer = targets[segment.row, segment.prompt_end : segment.end]
        assert answer[-1] == tokenizer.eos_id
        assert tokenizer.decode(answer.tolist()) == pair.answer
        question = targets[segment.row, segment.start : segment.prompt_end]
        whole = f'QUESTION:\n{pair.question}\n\nANSWER:\n'
        assert whole.endswith(tokenizer.decode(question.tolist()))
        assert segment.answer_bytes == len(pair.answer.encode())
        assert segment.question_bytes == len(
            tokenizer.decode(question.tolist()).encode()
        )


def test_a_cache_is_made_once(
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first = pack.ensure_packed(data, tokenizer)
    before = (first / 'meta.json').stat().st_mtime_ns
    assert 'packing' in capfd.readouterr().out
    assert pack.ensure_packed(data, tokenizer) == first
    assert capfd.readouterr().out == ''
    assert (first / 'meta.json').stat().st_mtime_ns == before


def test_a_dataset_on_a_read_only_disk_is_used_if_it_is_packed_and_else_named(
    data: schema.DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = schema.TokenizerConfig(vocab_size=320)
    tokenizer = pack.load_tokenizer(data, settings, path='train')
    folder = pack.ensure_packed(data, tokenizer)

    def forbidden(path: pathlib.Path, **_: bool) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(files, 'locked', forbidden)
    assert pack.load_tokenizer(data, settings, path='train').vocab_size <= 320
    assert pack.ensure_packed(data, tokenizer) == folder
    expected = f'data.path={data.path} can not be written to .*read-only.*cp -r '
    with pytest.raises(errors.InputError, match=expected):
        pack.ensure_packed(dataclasses.replace(data, seq_len=96), tokenizer)
    more = dataclasses.replace(settings, vocab_size=300)
    with pytest.raises(errors.InputError, match=expected):
        pack.load_tokenizer(data, more, path='train')


def test_a_cache_made_again_is_the_same_in_every_byte(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> None:
    folder = pack.ensure_packed(data, tokenizer)
    first = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
    shutil.rmtree(folder)
    pack.ensure_packed(data, tokenizer)
    assert first == {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_a_tokenizer_that_was_made_is_compared_and_made_again_if_half_is_there(
    data: schema.DataConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = schema.TokenizerConfig(path='train', vocab_size=350)
    made = pack.load_tokenizer(data, settings, path='train')
    (model,) = pathlib.Path(data.path).glob('tokenizers/*/tokenizer.model')
    whole = model.read_bytes()
    model.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(errors.InputError, match='has other bytes'):
        pack.load_tokenizer(data, settings, path='train')
    model.unlink()
    capfd.readouterr()
    again = pack.load_tokenizer(data, settings, path='train')
    assert f'{model.parent} has lost its tokenizer.model' in capfd.readouterr().out
    assert again.fingerprint == made.fingerprint
    assert model.read_bytes() == whole
    # The whole folder of another tokenizer has digests that fit.
    other = dataclasses.replace(settings, vocab_size=360)
    pack.load_tokenizer(data, other, path='train')
    folders = pathlib.Path(data.path).glob('tokenizers/*/')
    (another,) = (folder for folder in folders if folder != model.parent)
    shutil.rmtree(model.parent)
    another.rename(model.parent)
    with pytest.raises(errors.InputError, match=r'made_from\.json is not of this data'):
        pack.load_tokenizer(data, settings, path='train')


def test_added_tokens_are_one_id_each_and_rows_of_their_own(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> None:
    settings = schema.TokenizerConfig(path='train', vocab_size=350)
    more = dataclasses.replace(settings, add_tokens=('<NAME>',))
    plain = pack.load_tokenizer(data, settings, path='train')
    grown = pack.load_tokenizer(data, more, path='train')
    assert grown.encode(['<NAME>']) == [[plain.vocab_size]]
    assert pack.ensure_packed(data, grown) != pack.ensure_packed(data, plain)
    run = schema.Config(data=data, tokenizer=more)
    assert packed_rows.find(run, 'train') == pack.ensure_packed(data, grown)


def test_a_folder_of_another_key_is_refused(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> None:
    folder = pack.ensure_packed(data, tokenizer)
    other = dataclasses.replace(data, question_weight=0.5)
    another = pack.ensure_packed(other, tokenizer)
    shutil.rmtree(folder)
    shutil.copytree(another, folder)
    with pytest.raises(errors.InputError, match='its question_weight is') as caught:
        pack.ensure_packed(data, tokenizer)
    assert f'{folder} is damaged' in str(caught.value)


def test_whatever_the_rows_follow_from_changes_the_key(
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [pack.ensure_packed(data, tokenizer).name]
    for change in (
        {'seq_len': 161},
        {'question_weight': 0.5},
        {'long_answers': 'split'},
    ):
        other = dataclasses.replace(data, **change)
        keys.append(pack.ensure_packed(other, tokenizer).name)
    (tmp_path / 'other.model').write_bytes(
        train_tokenizer.of_texts(['Some other text.'], vocab_size=300, model_type='bpe')
    )
    other_tokenizer = text.load_tokenizer(str(tmp_path / 'other.model'))
    keys.append(pack.ensure_packed(data, other_tokenizer).name)
    splits = make_splits() | {'test': make_pairs('x', 1)}
    path = write_dataset(tmp_path / 'more', splits)
    more = dataclasses.replace(data, path=str(path))
    keys.append(pack.ensure_packed(more, tokenizer).name)
    for module, name in (
        (text, 'TEMPLATE_VERSION'),
        (packing, 'PACKING_VERSION'),
        (records, 'CACHE_SCHEMA'),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 77)
            keys.append(pack.ensure_packed(data, tokenizer).name)
    assert len(set(keys)) == len(keys) == 9
    # What has no part in the rows has none in the key: where the dataset lies, how it
    # is read.
    moved = shutil.copytree(data.path, tmp_path / 'moved')
    elsewhere = dataclasses.replace(data, path=str(moved), reader='numpy')
    assert pack.ensure_packed(elsewhere, tokenizer).name == keys[0]


def test_what_was_cut_dropped_and_split_is_said_with_its_ids(
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    long_question = dataclasses.replace(
        make_pairs('q', 1)[0], question='Where is the tea? ' * 40
    )
    splits = {**make_splits(), 'validation': make_pairs('v', 1)}
    splits['train'] += [
        long_question,
        *make_pairs('a', 7, answer='Never \u2581 again. ' * 60),
        dataclasses.replace(
            make_pairs('t', 1)[0], more=('Who?', 'Ann did it again. ' * 5) * 3
        ),
        dataclasses.replace(
            make_pairs('u', 1)[0], more=('Who?', 'Ann did it again. ' * 60)
        ),
    ]
    path = write_dataset(tmp_path / 'long', splits)
    data = dataclasses.replace(data, path=str(path))
    cache = records.open_cache(pack.ensure_packed(data, tokenizer))
    said = capfd.readouterr().out
    assert '  validation: 1 pair, 1 segment in 1 row; ' in said
    assert (
        '7 dropped: the answer leaves no room for a question (a0, a1, a2, a3, a4,'
        in (said)
    )
    assert '1 shortened: the question lost text from its middle (q0)' in said
    assert 'cut: no room for their 3 oldest exchanges (t0)' in said
    assert 'before the answers of their 1 last exchange (' in said
    assert '420 characters U+2581 became _' in said
    ledger = cache.meta['ledger']['train']
    assert ledger['dropped_ids'] == [f'a{n}' for n in range(7)]
    assert ledger['shortened_ids'] == ['q0']
    assert ledger['forgotten_ids'] == ['t0']
    assert ledger['cut_off_ids'] == ['u0']
    numbers = row_texts.compare(cache, tokenizer, splits['train'], 'train')
    assert (numbers['rows_as_pairs'], numbers['row_differences']) == (1.0, {})
    assert numbers['rows_compared'] > 0
    counts = ledger['tokens']
    assert f' {counts["forgotten"]} of oldest exchanges, ' in said
    assert f', {counts["cut_off"]} of last exchanges, ' in said
    lost = sum(counts[name] for name in packing.LOST)
    spelled = cache.meta['splits']['train']
    # Each segment's first token is the target of none.
    assert (
        counts['read'] - lost + counts['added']
        == spelled['prompt'] + spelled['answer'] + spelled['segments']
    )

    data = dataclasses.replace(data, long_answers='split')
    cache = records.open_cache(pack.ensure_packed(data, tokenizer))
    assert '8 split: the answer goes over several segments (a0,' in (
        capfd.readouterr().out
    )
    targets, weights = (
        cache.features('train')[name] for name in ('targets', 'loss_weights')
    )
    parts = [segment for segment in cache.segments('train') if segment.id == 'a3']
    assert len(parts) > 1
    trained = []
    for part in sorted(parts, key=lambda part: (part.row, part.start)):
        place = slice(part.prompt_end, part.end)
        assert (weights[part.row, place] == 1.0).all()
        trained.append(tokenizer.decode(targets[part.row, place].tolist()))
    answer = 'Never _ again. ' * 60
    assert sum(map(len, trained)) == len(answer)
    assert all(each in answer for each in trained)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_a_split_of_which_nothing_fits_is_an_error_with_its_remedy(
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    tmp_path: pathlib.Path,
    split: str,
) -> None:
    splits = make_splits() | {split: make_pairs('a', 2, answer='Never again. ' * 60)}
    path = write_dataset(tmp_path / 'long', splits)
    data = dataclasses.replace(data, path=str(path))
    says = (
        f"no pair of the {split} split .* fits in data.seq_len=160; raise it.*'split'"
    )
    with pytest.raises(errors.InputError, match=says):
        pack.ensure_packed(data, tokenizer)
    assert left_over(data) == []


def test_a_folder_that_is_no_dataset_is_named(
    tokenizer: text.Tokenizer, tmp_path: pathlib.Path
) -> None:
    data = schema.DataConfig(path=str(tmp_path / 'none'))
    with pytest.raises(
        errors.InputError, match=r'none is not a dataset.*data_pipeline'
    ):
        pack.ensure_packed(data, tokenizer)
    assert not (tmp_path / 'none').exists()


# Several processes, and killed ones

CHILD = """
import pathlib, sys, time
sys.path.insert(0, 'tests/data_pipeline')
import test_pack
from data_pipeline import dataset, pack
from hax_jax.config import schema
from hax_jax.data import records, text

path, tokenizer, where = sys.argv[1:]
go = pathlib.Path(path, 'go')

def wait():
    print('in the middle', flush=True)
    while not go.exists():
        time.sleep(0.01)

def read_pairs(path, split):
    yield from test_pack.read_lines(path, split)
    if where == 'reading' and split == 'validation':
        wait()

def write_cache(folder, splits, meta, whole=records.write_cache):
    whole(folder, {'train': splits['train']}, meta)
    (folder / 'validation').mkdir()
    (folder / 'validation' / 'inputs.npy').write_bytes(b'half')
    wait()

dataset.read_pairs = read_pairs
if where == 'writing':
    records.write_cache = write_cache
data = schema.DataConfig(path=path, seq_len=160)
folder = pack.ensure_packed(data, text.load_tokenizer(tokenizer))
print(records.open_cache(folder).fingerprint, flush=True)
"""


def start(
    data: schema.DataConfig, tokenizer_folder: pathlib.Path, where: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', CHILD, data.path, str(tokenizer_folder), where],
        cwd=ROOT,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(child: subprocess.Popen[str], says: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if says in line:
            return
    raise AssertionError(f'the child ended without {says!r}')


def test_processes_that_pack_at_one_time_make_one_cache(
    data: schema.DataConfig, sentencepiece_folder: pathlib.Path
) -> None:
    first = start(data, sentencepiece_folder, 'reading')
    children = [first]
    try:
        wait_for(first, 'in the middle')
        second = start(data, sentencepiece_folder, 'reading')
        children.append(second)
        wait_for(second, 'waiting for another process')
        (pathlib.Path(data.path) / 'go').touch()
        outs = [child.communicate(timeout=60)[0] for child in children]
        assert [child.returncode for child in children] == [0, 0]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert 'packing' not in outs[1]  # it read what the first had made
    assert outs[0].splitlines()[-1] == outs[1].splitlines()[-1]
    (folder,) = left_over(data)
    assert len(folder) == 16


@pytest.mark.parametrize('where', ['reading', 'writing'])
def test_a_killed_packing_leaves_nothing_that_the_next_trips_over(
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    sentencepiece_folder: pathlib.Path,
    where: str,
) -> None:
    child = start(data, sentencepiece_folder, where)
    try:
        wait_for(child, 'in the middle')
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    folder = pathlib.Path(data.path) / 'packed'
    assert not [p for p in folder.glob('*') if p.is_dir() and p.name[0] != '.']
    cache = records.open_cache(pack.ensure_packed(data, tokenizer))
    assert cache.features('validation')['inputs'].shape[0] > 0
    assert len(cache.segments('train')) == 20


# The tokenizer of a dataset


@pytest.mark.parametrize('model_type', ['bpe', 'unigram', 'char'])
def test_the_tokenizer_of_a_dataset_is_trained_once_on_its_train_split(
    data: schema.DataConfig, model_type: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = schema.TokenizerConfig(vocab_size=320, model_type=model_type)
    first = pack.load_tokenizer(data, settings, path='train')
    said = capfd.readouterr().out
    assert 'training a SentencePiece tokenizer' in said
    is_smaller = f'its vocabulary has {first.vocab_size:,} pieces, as the text' in said
    assert is_smaller == (first.vocab_size < 320)
    assert is_smaller or model_type != 'char'  # of which the text has few
    again = pack.load_tokenizer(data, settings, path='train')
    assert capfd.readouterr().out == ''
    assert again.fingerprint == first.fingerprint
    assert first.vocab_size <= 320
    (folder,) = [p for p in (pathlib.Path(data.path) / 'tokenizers').glob('*/')]
    by_path = pack.load_tokenizer(data, settings, path=str(folder))
    assert by_path.fingerprint == first.fingerprint
    shutil.rmtree(folder)
    assert pack.load_tokenizer(data, settings, path='train').fingerprint == (
        first.fingerprint
    )


def test_other_settings_or_other_text_make_another_tokenizer(
    data: schema.DataConfig, tmp_path: pathlib.Path
) -> None:
    path = write_dataset(
        tmp_path / 'more',
        make_splits() | {'train': make_pairs('t', 9, answer='Sell the boat.')},
    )
    more = dataclasses.replace(data, path=str(path))
    made = [
        pack.load_tokenizer(of, settings, path='train').fingerprint
        for of, settings in (
            (data, schema.TokenizerConfig(vocab_size=320)),
            (data, schema.TokenizerConfig(vocab_size=310)),
            (data, schema.TokenizerConfig(vocab_size=320, model_type='unigram')),
            (more, schema.TokenizerConfig(vocab_size=320)),
        )
    ]
    assert len(set(made)) == 4


def test_a_vocabulary_that_is_too_small_is_an_error_and_nothing_is_made(
    data: schema.DataConfig, tmp_path: pathlib.Path
) -> None:
    letters = ''.join(chr(0x4E00 + n) for n in range(100))
    splits = make_splits() | {'train': make_pairs('t', 2, answer=letters)}
    data = dataclasses.replace(data, path=str(write_dataset(tmp_path / 'b', splits)))
    with pytest.raises(
        errors.InputError, match=r'tokenizer\.vocab_size=300 .*Raise it'
    ):
        pack.load_tokenizer(data, schema.TokenizerConfig(vocab_size=300), path='train')
    kept = (pathlib.Path(data.path) / 'tokenizers').iterdir()
    assert [p.suffix for p in kept] == ['.lock']


# A dataset that was carried to another machine

CARRIED = """
import sys
sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None
from data_pipeline import pack
from hax_jax.config import schema
from hax_jax.data import records, text
data = schema.DataConfig(path=sys.argv[1], seq_len=160)
settings = schema.TokenizerConfig(vocab_size=320)
cache = records.open_cache(
    pack.ensure_packed(data, pack.load_tokenizer(data, settings, path='train'))
)
print(cache.fingerprint, sum(len(cache.segments(s)) for s in records.SPLITS))
"""


def test_a_carried_cache_opens_without_tensorflow_and_without_the_dataset(
    tmp_path: pathlib.Path,
) -> None:
    pytest.importorskip('tensorflow_datasets')
    path = tmp_path / 'advice'
    dataset.write(path, make_splits(), sources=[], split_rule={}, ledger={})
    data = schema.DataConfig(path=str(path), seq_len=160)
    settings = schema.TokenizerConfig(vocab_size=320)
    tokenizer = pack.load_tokenizer(data, settings, path='train')
    cache = records.open_cache(pack.ensure_packed(data, tokenizer))
    moved = tmp_path / 'moved'
    path.rename(moved)
    shutil.rmtree(moved / 'tfds')
    child = subprocess.run(
        [sys.executable, '-c', CARRIED, str(moved)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout == f'{cache.fingerprint} 23\n'
