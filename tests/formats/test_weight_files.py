"""Each format gives what its own library wrote; each bad file is named."""

import json
import os
import pathlib
import sys
import types
from typing import Any

import flax.serialization
import ml_dtypes
import msgpack
import numpy as np
import pytest
import safetensors.numpy

from hax_jax import errors
from hax_jax.formats import weight_files

FIELD = 'model.pretrained'
Tensors = dict[str, np.ndarray]
FILES = {
    'safetensors': 'model.safetensors',
    'bin': 'pytorch_model.bin',
    'msgpack': 'flax_model.msgpack',
}


def tensors(seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in (
            ('h/0/kernel', (5, 7)),
            ('h/0/bias', (5,)),
            ('wte', (300, 4)),
            ('scalar', ()),
        )
    }


def torch_or_skip() -> types.ModuleType:
    return pytest.importorskip('torch', reason='only torch writes and reads its files')


def write(path: pathlib.Path, values: Tensors) -> None:
    """Writes `values` as the library of the file's format does."""
    if path.suffix == '.safetensors':
        safetensors.numpy.save_file(values, path)
    elif path.suffix == '.bin':
        torch = torch_or_skip()
        torch.save({n: torch.from_numpy(np.array(v)) for n, v in values.items()}, path)
    else:
        path.write_bytes(flax.serialization.msgpack_serialize(nested(values)))


def nested(values: Tensors) -> dict[str, Any]:
    return {
        'h': {'0': {'kernel': values['h/0/kernel'], 'bias': values['h/0/bias']}},
        'wte': values['wte'],
        'scalar': values['scalar'],
    }


def read(path: pathlib.Path) -> Tensors:
    if path.is_dir():
        return weight_files.read_folder(path, field=FIELD)
    return weight_files.read_file(path, field=FIELD)


def refused(path: pathlib.Path) -> str:
    with pytest.raises(errors.InputError) as error:
        read(path)
    assert str(error.value).startswith(f'{FIELD}: ')
    return str(error.value)


def same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize('kind', FILES)
def test_a_file_gives_what_was_written(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / FILES[kind]
    write(path, tensors())
    same(read(path), tensors())
    same(read(tmp_path), tensors())
    for value in read(tmp_path).values():
        assert value.flags.aligned
        assert value.flags.writeable


@pytest.mark.parametrize('kind', ['safetensors', 'msgpack'])
@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16, np.float64])
def test_floats_come_as_float32(tmp_path: pathlib.Path, kind: str, dtype: type) -> None:
    stored = {name: value.astype(dtype) for name, value in tensors().items()}
    write(tmp_path / FILES[kind], stored)
    same(read(tmp_path), {n: v.astype(np.float32) for n, v in stored.items()})


@pytest.mark.parametrize('kind', FILES)
def test_what_is_no_float_stays_as_it_is(tmp_path: pathlib.Path, kind: str) -> None:
    mask = np.tril(np.ones((5, 5), np.uint8))
    stored = tensors() | {'h/0/kernel': mask, 'h/0/bias': np.arange(3)}
    write(tmp_path / FILES[kind], stored)
    same(read(tmp_path), stored)


def test_of_several_formats_safetensors_then_torchs_are_read(
    tmp_path: pathlib.Path,
) -> None:
    torch_or_skip()
    for seed, name in enumerate(FILES.values()):
        write(tmp_path / name, tensors(seed))
    (tmp_path / 'tf_model.h5').write_bytes(b'of no use')
    for seed, name in enumerate(FILES.values()):
        same(read(tmp_path), tensors(seed))
        (tmp_path / name).unlink()
    message = refused(tmp_path)
    assert all(name in message for name in FILES.values())
    assert 'save_pretrained' in message


def test_safetensors_are_read_before_a_msgpack_beside_them(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path / FILES['safetensors'], tensors(0))
    write(tmp_path / FILES['msgpack'], tensors(1))
    same(read(tmp_path), tensors(0))


def test_a_trainers_other_bin_files_are_no_weights(tmp_path: pathlib.Path) -> None:
    write(tmp_path / FILES['msgpack'], tensors())
    (tmp_path / 'training_args.bin').write_bytes(b'of no use')
    same(read(tmp_path), tensors())


def shard(folder: pathlib.Path, kind: str) -> list[str]:
    """Two files and their index, named as transformers names them."""
    stem, _, ending = FILES[kind].rpartition('.')
    files = [f'{stem}-0000{i}-of-00002.{ending}' for i in (1, 2)]
    parts = [{n: v for n, v in tensors().items() if n[0] == 'h'}, {}]
    parts[1] = {n: v for n, v in tensors().items() if n[0] != 'h'}
    for file, part in zip(files, parts, strict=True):
        if kind == 'msgpack':
            tree: dict[str, Any] = dict(part)
            if file == files[0]:
                tree = {'h': nested(tensors())['h']}
            (folder / file).write_bytes(flax.serialization.msgpack_serialize(tree))
        else:
            write(folder / file, part)
    index = {n: f for f, part in zip(files, parts, strict=True) for n in part}
    text = json.dumps({'metadata': {'total_size': 1}, 'weight_map': index})
    (folder / f'{FILES[kind]}.index.json').write_text(text)
    return files


@pytest.mark.parametrize('kind', FILES)
def test_a_model_in_several_files_is_one(tmp_path: pathlib.Path, kind: str) -> None:
    files = shard(tmp_path, kind)
    same(read(tmp_path), tensors())
    (tmp_path / files[1]).unlink()
    message = refused(tmp_path)
    assert f'lacks {files[1]}, which {FILES[kind]}.index.json names' in message
    (tmp_path / files[0]).unlink()
    assert f'lacks {files[0]}, {files[1]}, which' in refused(tmp_path)


def test_an_index_without_any_of_its_files_is_not_passed_over(
    tmp_path: pathlib.Path,
) -> None:
    for file in shard(tmp_path, 'safetensors'):
        (tmp_path / file).unlink()
    write(tmp_path / FILES['msgpack'], tensors())
    assert 'lacks model-00001-of-00002.safetensors' in refused(tmp_path)


@pytest.mark.parametrize(
    'content',
    [
        '',
        '[]',
        '{}',
        '{"weight_map": []}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../model.safetensors"}}',
    ],
)
def test_an_index_that_is_none_is_named(tmp_path: pathlib.Path, content: str) -> None:
    shard(tmp_path, 'safetensors')
    (tmp_path / 'model.safetensors.index.json').write_text(content)
    assert 'model.safetensors.index.json is no index' in refused(tmp_path)


def test_shards_of_other_names_are_read_where_the_index_names_them(
    tmp_path: pathlib.Path,
) -> None:
    index = tmp_path / 'flax_model.msgpack.index.json'
    for i, file in enumerate(shard(tmp_path, 'msgpack')):
        (tmp_path / file).rename(tmp_path / f'part{i}.msgpack')
        index.write_text(index.read_text().replace(file, f'part{i}.msgpack'))
    same(read(tmp_path), tensors())


def test_shards_without_their_index_are_read(tmp_path: pathlib.Path) -> None:
    shard(tmp_path, 'safetensors')
    (tmp_path / 'model.safetensors.index.json').unlink()
    same(read(tmp_path), tensors())


def test_a_name_in_two_files_is_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / 'model.safetensors', tensors())
    write(tmp_path / 'old.safetensors', {'wte': tensors()['wte']})
    message = refused(tmp_path)
    assert '1 tensors twice: wte is in model.safetensors and in old.safetens' in message


@pytest.mark.parametrize('kind', FILES)
@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_named(
    tmp_path: pathlib.Path, kind: str, share: float
) -> None:
    path = tmp_path / FILES[kind]
    write(path, tensors())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert f'{path} is damaged or cut short' in refused(tmp_path)


@pytest.mark.parametrize('kind', FILES)
@pytest.mark.parametrize(
    'content', [b'version https://git-lfs.github.com/spec/v1\noid ...\n', b'{"a": 1}']
)
def test_a_file_of_another_kind_is_named(
    tmp_path: pathlib.Path, kind: str, content: bytes
) -> None:
    if kind == 'bin':
        torch_or_skip()
    path = tmp_path / FILES[kind]
    path.write_bytes(content)
    message = refused(tmp_path)
    assert f'{path} is damaged or cut short' in message
    assert 'weights_only' not in message  # torch's advice is to lift the guard


def test_each_cut_of_a_msgpack_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'flax_model.msgpack'
    whole = flax.serialization.msgpack_serialize({'a': np.arange(3.0), 'b': {}})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert 'flax_model.msgpack is damaged' in refused(path)
    path.write_bytes(whole + b'\0')
    assert 'flax_model.msgpack is damaged' in refused(path)


def test_bytes_of_another_number_than_the_shape_says_are_named(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'flax_model.msgpack'
    for shape in ([2, 3], [2, 1], [9, 9], [4, 1]):
        data = msgpack.packb([shape, 'float32', bytes(4 * 3)])
        path.write_bytes(msgpack.packb({'a': msgpack.ExtType(1, data)}))
        assert 'flax_model.msgpack is damaged' in refused(path)


def test_arrays_that_flax_has_cut_in_pieces_are_whole(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flax.serialization, 'MAX_CHUNK_SIZE', 64)  # it is 1 GiB
    path = tmp_path / 'flax_model.msgpack'
    write(path, tensors())
    assert b'__msgpack_chunked_array__' in path.read_bytes()
    same(read(path), tensors())


@pytest.mark.parametrize(
    ('tree', 'holds'),
    [
        ({'a': {'b': 3}}, "'a/b' of type int"),
        ({'a': 1.5j}, "Flax's type 2"),
        ({'a': [np.zeros(3)]}, "'a' of type list"),
        ([np.zeros(3)], 'an object of type list'),
    ],
)
def test_a_msgpack_of_other_things_than_tensors_is_refused(
    tmp_path: pathlib.Path, tree: Any, holds: str
) -> None:
    path = tmp_path / 'flax_model.msgpack'
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    assert f'{path} holds {holds}, and tensors by name' in refused(path)


def test_a_type_that_numpy_lacks_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'model.safetensors'
    place = {'dtype': 'F8_E4M3', 'shape': [2], 'data_offsets': [0, 2]}
    head = json.dumps({'ln_f.bias': place}).encode()
    path.write_bytes(len(head).to_bytes(8, 'little') + head + b'12')
    with pytest.raises(errors.InputError, match=r"holds 'ln_f.bias' of type F8_E4M3"):
        weight_files.read_file(path, field='model.pretrained')


def test_a_file_of_an_unknown_kind_names_the_known(tmp_path: pathlib.Path) -> None:
    assert '.safetensors, .bin, .msgpack' in refused(tmp_path / 'tf_model.h5')


def test_absent_torch_is_named_with_both_remedies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    (tmp_path / 'pytorch_model.bin').write_bytes(b'')
    message = refused(tmp_path)
    assert 'pip install torch' in message
    assert 'save_pretrained' in message


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16', 'float64'])
def test_torchs_new_and_old_files_of_any_float_are_read(
    tmp_path: pathlib.Path, zipped: bool, dtype: str
) -> None:
    torch = torch_or_skip()
    wte = torch.randn(6, 4).to(getattr(torch, dtype))
    stored = {
        'wte': wte,
        'lm_head': wte,  # tied: one storage
        'parameter': torch.nn.Parameter(wte.clone()),
        'turned': wte.clone().T,
        'row': wte[2],
    }
    torch.save(stored, tmp_path / FILES['bin'], _use_new_zipfile_serialization=zipped)
    # A number of any of these types is exact in float64, and Python prints it.
    value = np.float32(wte.double().tolist())
    same(
        read(tmp_path),
        {
            'wte': value,
            'lm_head': value,
            'parameter': value,
            'turned': value.T,
            'row': value[2],
        },
    )


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickled_object_is_refused_by_name_and_does_nothing(
    tmp_path: pathlib.Path, zipped: bool
) -> None:
    torch = torch_or_skip()
    mark = tmp_path / 'mark'

    class Bad:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(mark),)

    path = tmp_path / FILES['bin']
    torch.save({'a': Bad()}, path, _use_new_zipfile_serialization=zipped)
    message = refused(tmp_path)
    assert f'{path} holds a pickled posix.mkdir' in message
    assert 'weights_only' not in message
    assert not mark.exists()


def test_a_file_of_torch_with_other_things_than_tensors_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    torch = torch_or_skip()
    path = tmp_path / FILES['bin']
    for stored, holds in (
        ([torch.zeros(3)], 'an object of type list'),
        ({'state_dict': {'a': torch.zeros(3)}}, "'state_dict' of type dict"),
        ({'a': torch.zeros(3), 'step': 3}, "'step' of type int"),
        ({'a': torch.zeros(3).to(torch.float8_e5m2)}, "'a' of type torch.float8_e5m2"),
        ({'a': torch.zeros(3).to_sparse()}, "'a' of type torch.float32"),
    ):
        torch.save(stored, path)
        assert f'{path} holds {holds}, and tensors by name' in refused(path)
