"""Folders at gs:// that are read here: copied once, whole, compared."""

import pathlib

import fake_gcs
import pytest

from hax_jax import errors, local_copy


@pytest.fixture
def folder(gcs: fake_gcs.Server) -> str:
    gcs.put('bucket', 'gpt2/config.json', b'{}')
    gcs.put('bucket', 'gpt2/tokenizer/vocab', b'abc')
    gcs.put('bucket', 'other', b'not copied')
    return 'gs://bucket/gpt2'


def again() -> None:
    """As in another process."""
    local_copy._copy.cache_clear()


def downloads(gcs: fake_gcs.Server) -> int:
    return sum('alt=media' in line for line in gcs.requests)


def test_a_local_folder_is_itself(tmp_path: pathlib.Path) -> None:
    assert local_copy.folder(str(tmp_path)) == tmp_path
    assert local_copy.text('owner/name') == 'owner/name'


def test_it_is_copied_once(gcs: fake_gcs.Server, folder: str) -> None:
    copy = local_copy.folder(folder)
    names = sorted(p.relative_to(copy).as_posix() for p in copy.rglob('*'))
    assert names == ['config.json', 'tokenizer', 'tokenizer/vocab']
    assert copy.name.startswith('gpt2-')
    again()
    assert local_copy.folder(folder) == copy
    assert downloads(gcs) == 2
    gcs.put('bucket', 'gpt2/config.json', b'{"a": 1}')
    again()
    other = local_copy.folder(folder)
    assert other != copy
    assert (other / 'config.json').read_bytes() == b'{"a": 1}'


def test_only_what_is_asked_for_comes(gcs: fake_gcs.Server, folder: str) -> None:
    copy = local_copy.folder(folder, only=('tokenizer/',))
    assert [p.name for p in copy.iterdir()] == ['tokenizer']
    assert local_copy.folder(f'{folder}/tokenizer/vocab').read_bytes() == b'abc'


def test_a_damaged_copy_is_made_again(
    folder: str, gcs: fake_gcs.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = local_copy.folder(folder)
    (copy / 'tokenizer' / 'vocab').write_bytes(b'abd')
    again()
    assert (local_copy.folder(folder) / 'tokenizer' / 'vocab').read_bytes() == b'abc'
    assert 'vocab has other bytes than were copied' in capsys.readouterr().out


def test_bytes_that_came_damaged_are_refused_and_not_kept(
    gcs: fake_gcs.Server, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = gcs.objects['bucket']['gpt2/config.json']
    monkeypatch.setattr(fake_gcs.google_crc32c, 'value', lambda _: 7)
    with pytest.raises(errors.InputError, match='other bytes than the store lists'):
        local_copy.folder(folder)
    monkeypatch.undo()
    assert right.content == b'{}'
    again()


def test_what_is_not_there_is_named(gcs: fake_gcs.Server) -> None:
    with pytest.raises(errors.InputError, match=r'gs://bucket/none is not there'):
        local_copy.folder('gs://bucket/none')
