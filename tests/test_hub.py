"""A hub name to a folder: weights in one format, and from the cache when offline."""

import fnmatch
import pathlib
import types
from collections.abc import Callable, Iterable

import pytest

from hax_jax import errors
from hax_jax import hub as local_hub
from hax_jax.formats import hf_folder

Hub = Callable[..., None]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Hub:
    """hub(files, cached=..., offline=...) makes a hub of one model, and its cache.

    As huggingface_hub does, a download keeps the files that match the patterns, and
    the cache alone is asked with `local_files_only`.
    """
    import huggingface_hub

    def make(
        files: Iterable[str],
        *,
        cached: Iterable[str] = (),
        offline: Exception | None = None,
    ) -> None:
        folder = tmp_path / 'cache'
        folder.mkdir()
        for name in cached:
            (folder / name).touch()

        def model_info(name: str, *, timeout: float) -> object:
            assert timeout <= 5  # a network that swallows all is said within it
            if offline:
                raise offline
            siblings = [types.SimpleNamespace(rfilename=file) for file in files]
            return types.SimpleNamespace(siblings=siblings)

        def snapshot_download(
            name: str, *, allow_patterns: list[str], local_files_only: bool = False
        ) -> str:
            if local_files_only and not cached:
                raise FileNotFoundError('no cached snapshot')
            if offline and not local_files_only:
                raise offline
            for file in () if local_files_only else files:
                if any(fnmatch.fnmatch(file, pattern) for pattern in allow_patterns):
                    (folder / file.replace('/', '_')).touch()
            return str(folder)

        monkeypatch.setattr(huggingface_hub, 'model_info', model_info)
        monkeypatch.setattr(huggingface_hub, 'snapshot_download', snapshot_download)

    return make


# What openai-community/gpt2 holds, of the files that matter here.
REPO = ['.gitattributes', 'README.md', 'config.json', 'flax_model.msgpack']
REPO += ['64.tflite', 'generation_config.json', 'merges.txt', 'model.safetensors']
REPO += ['onnx/config.json', 'onnx/decoder_model.onnx', 'pytorch_model.bin']
REPO += ['rust_model.ot', 'tf_model.h5', 'tokenizer.json', 'tokenizer_config.json']
REPO += ['vocab.json']
TOKENIZER = {'merges.txt', 'tokenizer.json', 'tokenizer_config.json', 'vocab.json'}


@pytest.mark.parametrize(
    ('absent', 'weights'),
    [
        ([], {'model.safetensors'}),
        (['model.safetensors'], {'pytorch_model.bin'}),
        (['model.safetensors', 'pytorch_model.bin'], {'flax_model.msgpack'}),
        (['model.safetensors', 'pytorch_model.bin', 'flax_model.msgpack'], set()),
    ],
)
def test_one_format_comes_from_the_hub(
    hub: Hub, absent: list[str], weights: set[str]
) -> None:
    hub([name for name in REPO if name not in absent])
    folder = hf_folder.local_folder('gpt2')
    names = {file.name for file in folder.iterdir()}
    assert names == {'config.json'} | TOKENIZER | weights


@pytest.mark.parametrize(
    ('stem', 'ending'),
    [('model', 'safetensors'), ('pytorch_model', 'bin'), ('flax_model', 'msgpack')],
)
def test_all_shards_and_their_index_come_from_the_hub(
    hub: Hub, stem: str, ending: str
) -> None:
    shards = {f'{stem}-0000{i}-of-00002.{ending}' for i in (1, 2)}
    index = f'{stem}.{ending}.index.json'
    others = ['config.json', 'training_args.bin', 'model.fp16.safetensors']
    hub([*others, *shards, index])
    folder = hf_folder.local_folder('some/gpt2-xl')
    names = {file.name for file in folder.iterdir()}
    assert names == {'config.json', index} | shards


@pytest.mark.parametrize('weights', ['flax_model.msgpack', 'model.safetensors'])
def test_a_hub_out_of_reach_leaves_the_files_that_it_gave_before(
    hub: Hub, capsys: pytest.CaptureFixture[str], weights: str
) -> None:
    hub(REPO, cached=['config.json', weights], offline=OSError('no network\nat all'))
    folder = hf_folder.local_folder('gpt2')
    assert (folder / weights).is_file()
    assert capsys.readouterr().out == (
        f'gpt2: using the files in {folder}; the hub can not be asked (no network)\n'
    )


@pytest.mark.parametrize('cached', [[], ['config.json', 'tokenizer.json']])
@pytest.mark.parametrize('message', ['offline\nand more', ''])
def test_a_hub_out_of_reach_is_said_and_is_no_matter_of_spelling(
    hub: Hub, message: str, cached: list[str]
) -> None:
    hub(REPO, cached=cached, offline=OSError(message))
    with pytest.raises(errors.InputError, match=r"model\.pretrained='gpt3'") as error:
        hf_folder.local_folder('gpt3')
    said = 'offline' if message else "OSError('')"
    assert 'can not be reached from this machine' in str(error.value)
    assert 'spelling' not in str(error.value)
    assert str(error.value).endswith(f'(it says: {said})')


@pytest.mark.parametrize(
    ('status', 'said'), [(401, 'check the spelling'), (503, 'start again later')]
)
def test_what_the_hub_answers_decides_the_remedy(
    hub: Hub, status: int, said: str
) -> None:
    import httpx2
    import huggingface_hub

    kind = huggingface_hub.errors.HfHubHTTPError
    if status == 401:
        kind = huggingface_hub.errors.RepositoryNotFoundError
    request = httpx2.Request('GET', 'http://hub/api/models/gpt3')
    response = httpx2.Response(status, request=request)
    hub(REPO, offline=kind('No.', response=response))
    with pytest.raises(errors.InputError, match=said):
        hf_folder.local_folder('gpt3')


def test_a_tokenizer_comes_from_the_cache_too_when_the_hub_is_out_of_reach(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub(REPO, cached=['tokenizer.json'], offline=OSError('no network'))
    folder = local_hub.local_folder('gpt2', field='tokenizer.path', patterns=['*'])
    assert (folder / 'tokenizer.json').is_file()
    assert 'the hub can not be asked (no network)' in capsys.readouterr().out
