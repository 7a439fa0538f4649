"""Digests name each file that is not the one that was written."""

import hashlib
import pathlib
from collections.abc import Callable

import pytest

from hax_jax import digests, errors, files


def folder(root: pathlib.Path) -> pathlib.Path:
    (root / 'a').mkdir(parents=True)
    (root / 'a' / 'x').write_bytes(b'one')
    (root / 'y').write_bytes(b'')
    return root


def test_a_folder_maps_each_path_to_its_sha256(tmp_path: pathlib.Path) -> None:
    assert digests.of_folder(folder(tmp_path / 'f')) == {
        'a/x': hashlib.sha256(b'one').hexdigest(),
        'y': hashlib.sha256(b'').hexdigest(),
    }


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda root: None, []),
        (lambda root: (root / 'a' / 'x').write_bytes(b'onf'), ['a/x has other bytes']),
        (lambda root: (root / 'a' / 'x').write_bytes(b'on'), ['a/x has other bytes']),
        (lambda root: (root / 'y').unlink(), ['y is missing']),
        (lambda root: (root / 'z').write_bytes(b''), ['z was added']),
        (lambda root: (root / 'y').rename(root / 'z'), ['y is missing', 'z was added']),
    ],
)
def test_each_changed_file_is_named(
    tmp_path: pathlib.Path, change: Callable[[pathlib.Path], object], said: list[str]
) -> None:
    root = folder(tmp_path / 'f')
    expected = digests.of_folder(root)
    change(root)
    found = digests.problems(root, expected)
    assert len(found) == len(said)
    assert all(line.startswith(words) for line, words in zip(found, said, strict=True))


def test_every_changed_byte_of_a_sealed_object_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'x.json'
    value = {'step': 3, 'loss': 2.5, 'by': {'ü': [1, None]}}
    files.write_json(path, digests.sealed(value))
    assert digests.read_sealed(path) == digests.sealed(value)
    whole = path.read_bytes()
    meaning = files.read_json_object(path)
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(
                whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            )
            try:
                assert digests.read_sealed(path) == meaning  # white space alone
            except errors.InputError as error:
                assert str(path) in str(error)
    path.write_bytes(whole[:-9])
    with pytest.raises(errors.InputError, match='damaged'):
        digests.read_sealed(path)
    path.unlink()
    with pytest.raises(errors.InputError, match='damaged'):
        digests.read_sealed(path)
