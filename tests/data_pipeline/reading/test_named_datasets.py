"""Data sets of TFDS and of the Hugging Face hub, by name, without a network."""

import pathlib
import sys
import types
from typing import Any

import pytest

from data_pipeline.reading import inputs, named_datasets, reader
from data_pipeline.rows import batches
from hax_jax import errors

ROWS = {
    'train': [
        {'title': 'Who?', 'text': ['I ask.', 'B'], 'best': {'body': 'You.'}, 'ups': 3},
        {'title': 'Why?', 'text': [], 'best': {'body': 'So.'}, 'ups': -1},
    ],
    'test': [{'title': 'How?', 'text': ['C'], 'best': {'body': ''}, 'ups': 0}],
}
FIELDS = 'question=title+text.0, answer=best.body, score=ups'


@pytest.fixture(scope='module')
def prepared(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a tiny TFDS data set, `tiny_advice/plain/1.2.0`."""
    from data_pipeline.writing import hax_qa  # before TensorFlow is used

    tfds, tf = hax_qa.tfds, hax_qa.tf

    class TinyAdvice(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.2.0')
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='plain')]  # noqa: RUF012
        code_path = None

        def _info(self) -> Any:
            features = {
                'title': tfds.features.Text(),
                'text': tfds.features.Sequence(tfds.features.Text()),
                'best': {'body': tfds.features.Text()},
                'ups': tf.int64,
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            return {name: enumerate(rows) for name, rows in ROWS.items()}

        def _generate_examples(self) -> None: ...

    folder = tmp_path_factory.mktemp('tfds')
    builder = TinyAdvice(data_dir=folder, config='plain')
    settings = tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats='skip'
    )
    builder.download_and_prepare(download_config=settings)
    return pathlib.Path(builder.data_dir)


def essence(pairs: list) -> list[tuple]:
    return [(p.question, p.answer, p.score, p.source, p.file, p.line) for p in pairs]


def test_a_folder_of_tfds_is_read_split_by_split(prepared: pathlib.Path) -> None:
    name = 'tfds:tiny_advice/plain'
    for given in (prepared, prepared.parents[2]):
        pairs, report = reader.read([f'tfds:{given}'], fields=[FIELDS])
        assert essence(pairs) == [
            ('Who?\n\nI ask.', 'You.', 3, name, name, 1),
            ('Why?', 'So.', -1, name, name, 2),
        ]
        assert report.files == {name: 2}
        assert report.counts['named data sets'] == 1
        assert report.dropped == [f'{name}:3: How? C (tfds rows without answer)']
    assert pairs[0].id.startswith('tfds:tiny_advice/plain:')


def test_one_split_of_tfds_is_read(prepared: pathlib.Path) -> None:
    (found,) = inputs.find([f'tfds:{prepared}@test'], fields=[FIELDS])
    assert (found.name, found.version) == ('tfds:tiny_advice/plain@test', '1.2.0')
    with pytest.raises(errors.InputError, match="no split 'dev'; it has"):
        inputs.find([f'tfds:{prepared}@dev'], fields=[FIELDS])


def test_the_fields_of_tfds_are_named_where_none_fit(prepared: pathlib.Path) -> None:
    with pytest.raises(errors.InputError) as raised:
        inputs.find([f'tfds:{prepared}'])
    assert "'best', 'text', 'title', 'ups' are question and answer" in str(raised.value)


def test_a_tfds_that_is_not_there_is_one_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match=r'holds no prepared data set'):
        inputs.find([f'tfds:{tmp_path}'])
    with pytest.raises(errors.InputError, match=r'there is no folder'):
        inputs.find([f'tfds:{tmp_path}/none'])
    with pytest.raises(errors.InputError, match=r'is no folder, and no data set'):
        inputs.find(['tfds:no_such_data_set_at_all'])


class FakeHub(types.ModuleType):
    """The module `datasets` with one data set, whose calls are noted."""

    def __init__(self, splits: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__('datasets')
        self.splits = splits
        self.calls: list[tuple] = []

    def load_dataset(
        self, path: str, name: str | None, *, split: str | None, streaming: bool
    ) -> Any:
        self.calls.append((path, name, split, streaming))
        if path != 'owner/name':
            raise FileNotFoundError(f'no {path} on the hub\nand more')
        return self.splits[split] if split else self.splits


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(
        {
            'train': [{'prompt': f'Q{i}', 'response': f'A{i}'} for i in range(2_500)],
            'test': [{'prompt': '\ud800', 'response': 'B', 'extra': 2}],
        }
    )
    monkeypatch.setitem(sys.modules, 'datasets', fake)
    return fake


def test_the_hub_is_streamed_in_batches_of_fixed_size(hub: FakeHub) -> None:
    found = inputs.find(['hf:owner/name'])
    batches = list(reader.batches_of(found))
    assert [len(batch.rows) for batch in batches] == [1000, 1000, 501]
    assert [batch.rows[0][0] for batch in batches] == [1, 1001, 2001]
    assert [(b.first, b.last) for b in batches] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert set(hub.calls) == {('owner/name', None, None, True)}
    pairs, report = reader.read(['hf:owner/name'])
    assert report.files == {'hf:owner/name': 2501}
    assert (pairs[-1].question, pairs[-1].source) == ('\ufffd', 'hf:owner/name')


@pytest.mark.parametrize(
    ('given', 'call'),
    [
        ('hf:owner/name:plain', ('owner/name', 'plain', None, True)),
        ('hf:owner/name:plain:test', ('owner/name', 'plain', 'test', True)),
        ('hf:owner/name::test', ('owner/name', None, 'test', True)),
    ],
)
def test_configs_and_splits_of_the_hub(hub: FakeHub, given: str, call: tuple) -> None:
    pairs, _ = reader.read([given])
    assert set(hub.calls) == {call}
    assert pairs[0].source == given.removesuffix(':test').rstrip(':')


def test_what_the_hub_has_not_is_one_error(hub: FakeHub) -> None:
    with pytest.raises(errors.InputError) as raised:
        inputs.find(['hf:owner/other'])
    assert str(raised.value) == (
        "'hf:owner/other' cannot be opened: FileNotFoundError: no owner/other on the "
        'hub'
    )
    with pytest.raises(errors.InputError, match='is not hf:owner/name'):
        inputs.find(['hf:owner/name:a:b:c'])
    assert len(hub.calls) == 1


def test_a_stream_that_breaks_is_one_error(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking() -> Any:
        yield {'prompt': 'Q', 'response': 'A'}
        raise ConnectionError('reset')

    monkeypatch.setitem(hub.splits, 'train', breaking())
    with pytest.raises(errors.InputError, match='cannot be read on: ConnectionError'):
        list(named_datasets.rows('hf:owner/name'))


def test_without_the_package_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'datasets', None)
    with pytest.raises(errors.InputError, match='pip install datasets'):
        inputs.find(['hf:owner/name'])


def test_a_file_of_such_a_name_comes_first(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path('hf:a.md').write_text('QUESTION: a\nANSWER: b\n')
    (found,) = inputs.find(['hf:a.md'])
    assert (found.layout, found.name) == ('', 'hf:a.md')


def test_bytes_of_another_encoding_are_named() -> None:
    batch = batches.Batch(
        0,
        'tfds:x',
        '',
        'tfds',
        rows=((7, {'question': b'caf\xe9', 'answer': [b'A'], 'n': None}),),
        fields=named_datasets.pair_rows.field_map.FieldMap(
            {'question': ('question',), 'answer': ('answer.0',)}
        ),
    )
    result = reader.read_batch(batch)
    assert (result.pairs[0].question, result.pairs[0].answer) == ('café', 'A')
    assert result.warnings == [
        'tfds:x:7: a field is not UTF-8 (byte 3, 0xe9); it was read as cp1252.'
    ]
