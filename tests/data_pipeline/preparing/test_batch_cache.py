"""A build on another build's results writes the same bytes, whatever has changed."""

import json
import os
import pathlib
import random
import sys

import pytest

from data_pipeline import build, build_steps, settings
from data_pipeline.all_pairs import appended_file
from data_pipeline.pair_stages import personal_data
from data_pipeline.preparing import batch_cache, prepare_batch
from data_pipeline.reading import inputs, reader
from hax_jax import digests


def row(number: int, text: str = '') -> str:
    words = f'number {number} of {number * 7919 % 1009} and {number * 31}'
    question = f'My friend {words} never calls, what do I do?'
    answer = f'Call {words} yourself, and {text or "say that you miss it"}.'
    return json.dumps({'question': question, 'answer': answer})


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / 'raw'
    folder.mkdir()
    for part in range(3):
        lines = [row(100 * part + number) for number in range(40)]
        lines.append(json.dumps({'question': f'Mail a{part}@b.org?', 'answer': 'No.'}))
        (folder / f'{part}.jsonl').write_text('\n'.join(lines) + '\n')
    return folder


def built(
    folder: pathlib.Path,
    output: pathlib.Path,
    cache: pathlib.Path | None,
    *,
    chosen: settings.Settings = settings.Settings(),  # noqa: B008
    num_workers: int = 1,
) -> dict[str, str]:
    """The digest of each file of the dataset."""
    options = build_steps.Options(cache=cache, num_workers=num_workers, overwrite=True)
    build.build(
        [f'{folder}/*.jsonl'],
        output=output,
        validation_share=0.2,
        chosen=chosen,
        options=options,
    )
    return digests.of_folder(output)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr().out.splitlines()
    return next(line for line in printed if 'by an earlier build' in line)


def test_a_build_prepares_only_what_changed_and_writes_the_same_bytes(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, data = tmp_path / 'cache', tmp_path / 'data'

    def check(known: int, total: int, **given: object) -> None:
        found = built(corpus, data, cache, **given)
        assert f'{known} of {total} batches were prepared' in said(capsys)
        assert found == built(corpus, data, None, **given)

    check(0, 3)
    check(3, 3)
    with open(corpus / '2.jsonl', 'a') as file:
        file.write(row(900) + '\n')
    check(2, 3)
    (corpus / '3.jsonl').write_text(row(901) + '\n')
    check(3, 4)
    changed = (corpus / '0.jsonl').read_text().replace('friend', 'cousin', 1)
    (corpus / '0.jsonl').write_text(changed)
    check(3, 4)
    check(4, 4, num_workers=2)
    stricter = settings.Settings(quality=settings.QualitySettings(min_answer_tokens=9))
    check(0, 4, chosen=stricter)
    check(4, 4)
    # A setting of all pairs together changes no batch.
    check(4, 4, chosen=settings.Settings(mix=settings.MixSettings(('pairs=50',))))
    monkeypatch.setattr(batch_cache, 'code_digest', lambda: 'other code')
    check(0, 4)


def test_a_new_batch_changes_which_old_pairs_stay_as_in_a_whole_build(
    corpus: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cache, data = tmp_path / 'cache', tmp_path / 'data'

    chance = random.Random(0)
    few = 'they we you asked told gave called about after with the a old new my his her'
    many = 'friend sister mother house wedding letter money dinner promise answer work'
    words = [chance.choice(few.split() + many.split()) for _ in range(800)]

    def told(start: int, score: int = 0) -> str:
        """Texts of sixty words; near those that start a few words from them."""
        text = ' '.join(words[start : start + 60])
        return json.dumps({'question': f'{text}?', 'answer': text, 'score': score})

    def gone() -> list[tuple[str, str]]:
        """The file of each near copy, and that of the pair kept in its place."""
        found = built(corpus, data, cache)
        assert found == built(corpus, data, None)
        lines = (data / 'dropped.jsonl').read_text().splitlines()
        both = [[json.loads(line)[key] for key in ('id', 'kept_id')] for line in lines]
        files = [tuple(f'{name}::'.split(':')[1] for name in each) for each in both]
        return sorted(each for each in files if set(each) & {'old', 'more', 'a'})

    (corpus / 'old.jsonl').write_text(f'{told(500)}\n{told(520)}\n{told(700)}\n')
    assert gone() == []
    # Near both of the first two, which are not near each other.
    (corpus / 'more.jsonl').write_text(f'{told(510, score=9)}\n')
    assert gone() == [('old', 'more'), ('old', 'more')]
    # A better copy, in a file before all others.
    (corpus / 'a.jsonl').write_text(f'{told(700, score=9)}\n')
    assert gone() == [('old', 'a'), ('old', 'more'), ('old', 'more')]
    (corpus / 'more.jsonl').unlink()
    assert gone() == [('old', 'a')]


@pytest.mark.parametrize('mapped', [1, 2**16])
def test_a_damaged_entry_is_made_again_and_said(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mapped: int,
) -> None:
    monkeypatch.setattr(batch_cache, '_MAPPED', mapped)
    cache, data = tmp_path / 'cache', tmp_path / 'data'
    expected = built(corpus, data, cache)
    entries = sorted(cache.glob('*/*.batch'))
    whole = [path.read_bytes() for path in entries]
    for place in (10, len(whole[0]) // 2, len(whole[0]) - 1):
        broken = bytearray(whole[0])
        broken[place] ^= 1
        entries[0].write_bytes(broken)
        entries[1].write_bytes(whole[1][: place // 2])
        capsys.readouterr()
        assert built(corpus, data, cache) == expected
        printed = capsys.readouterr().out
        assert '1 of 3 batches were prepared' in printed
        assert '2 entries of it were damaged and were made again' in printed
        assert [path.read_bytes() for path in entries] == whole


@pytest.mark.parametrize('most', [0, 1, 100])
def test_large_entries_are_compared_where_they_are(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    cache, data = tmp_path / 'cache', tmp_path / 'data'
    expected = built(corpus, data, cache)
    monkeypatch.setattr(batch_cache, '_MAPPED', 1)
    monkeypatch.setattr(batch_cache, '_most_mapped', lambda: most)
    views = []
    append = appended_file.AppendedFile.append

    def counted(self: appended_file.AppendedFile, part: bytes) -> int:
        views.append(isinstance(part, memoryview))
        return append(self, part)

    monkeypatch.setattr(appended_file.AppendedFile, 'append', counted)
    # Another program deletes the entries at once.
    monkeypatch.setattr(batch_cache.os, 'utime', lambda path: path.unlink())
    assert built(corpus, data, cache) == expected
    assert not list(cache.glob('*/*.batch'))
    assert sum(views) == 3 * min(most, 3)  # runs, signatures and texts


def test_mapped_entries_may_lack_signatures(
    corpus: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cache, '_MAPPED', 1)
    chosen = settings.Settings(duplicates=settings.DuplicateSettings(near=False))
    cache, data = tmp_path / 'cache', tmp_path / 'data'
    first = built(corpus, data, cache, chosen=chosen)
    assert built(corpus, data, cache, chosen=chosen) == first


def test_entries_that_are_old_or_too_many_go(tmp_path: pathlib.Path) -> None:
    now = pathlib.Path(tmp_path).stat().st_mtime
    for number, days in enumerate((0, 1, 2, 31)):
        path = tmp_path / f'{number}{number}' / f'{number}.batch'
        path.parent.mkdir()
        path.write_bytes(b'x' * 100)
        os.utime(path, (now - days * 86400, now - days * 86400))
    # What killed builds left goes; a person's own file stays.
    for name in ('a.batch.12ab', 'a.model.12ab', 'a.txt'):
        (tmp_path / '00' / name).write_text('x')
        os.utime(tmp_path / '00' / name, (now - 99 * 86400, now - 99 * 86400))
    assert batch_cache.prune(tmp_path, most_bytes=1000) == 300
    assert batch_cache.prune(tmp_path, most_bytes=250) == 200
    assert [path.name for path in sorted(tmp_path.glob('*/*'))] == [
        '0.batch',
        'a.txt',
        '1.batch',
    ]


def test_every_module_and_library_that_decides_is_in_the_key() -> None:
    prepare_batch.sequence(settings.Settings())
    assert reader and inputs and personal_data
    files = {
        path
        for name in batch_cache.CODE
        for path in (
            (batch_cache._ROOT / name).glob('*.py')
            if (batch_cache._ROOT / name).is_dir()
            else [batch_cache._ROOT / name]
        )
    }
    # Where inputs come from and where pairs go, not what is made of a batch.
    others = (
        'quiet_tfds',
        'all_pairs',
        'writing',
        'collecting',
        'dumps',
        'dataset',
        'pack',
    )
    for name, module in list(sys.modules.items()):
        parts = name.split('.')
        if parts[0] != 'data_pipeline' or len(parts) < 3 or parts[1] in others:
            continue
        assert pathlib.Path(module.__file__) in files or parts[-1] == '__init__', name


def test_dropped_pairs_keep_their_texts_without_personal_data(
    tmp_path: pathlib.Path,
) -> None:
    rows = [row(number) for number in range(40)] + [row(3)]
    # The last is empty once cleaned, so the stage of personal data never sees it.
    texts = ['**', 'Hm.', 'So ' * 600 + 'a', '<p><br></p>'] * 2
    for number, answer in enumerate(texts):
        question = f'Mail ann{number}@b.org or u/ann_{number}?' + ' why' * number
        rows.append(json.dumps({'question': question, 'answer': answer}))
    raw = tmp_path / 'raw'
    raw.mkdir()
    (raw / 'a.jsonl').write_text('\n'.join(rows) + '\n')
    built(raw, tmp_path / 'data', tmp_path / 'cache')
    text = (tmp_path / 'data' / 'dropped.jsonl').read_text()
    dropped = [json.loads(line) for line in text.splitlines()]
    assert 'b.org' not in text and 'u/ann' not in text
    assert {each['source'] for each in dropped} == {'pairs'}
    (copy,) = (each for each in dropped if each['kept_id'])
    assert copy['question'] == json.loads(row(3))['question']
    assert copy['answer'] == json.loads(row(3))['answer']
    others = [each for each in dropped if not each['kept_id']]
    assert any(each['reason'].startswith('clean: ') for each in others)
    assert all(each['question'].startswith('Mail [EMAIL] or [USER]') for each in others)
    assert max(len(each['answer']) for each in others) == 1001
