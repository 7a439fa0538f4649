import functools
import json
import pathlib

import pytest
import squares

from data_pipeline import dataset
from data_pipeline.preparing import beam_map, beam_pipeline
from data_pipeline.writing import beam_rows
from hax_jax import errors
from hax_jax.data import records

pytest.importorskip(
    'apache_beam', reason=f'optional: {beam_pipeline.INSTALL}', exc_type=ImportError
)
LOCAL = beam_pipeline.Options()


def over(
    items: list[object],
    beside: pathlib.Path,
    *,
    function: object = squares.square,
    options: beam_pipeline.Options = LOCAL,
) -> list[object]:
    found = beam_map.ordered(
        function, items, options=options, beside=beside, result_type=int
    )
    return list(found)


def test_results_come_in_the_order_of_the_items(tmp_path: pathlib.Path) -> None:
    items = [*range(10, 60), 1, 2]
    assert over(items, tmp_path / 'x') == [item * item for item in items]
    assert over([], tmp_path / 'x') == []
    assert list(tmp_path.iterdir()) == []


def test_a_big_item_reaches_its_worker_through_a_file(tmp_path: pathlib.Path) -> None:
    big = 'ö' * 300_000
    assert over([big, 'a'], tmp_path / 'x', function=len) == [300_000, 1]


def test_the_folder_that_is_shared_is_left_as_it_was(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'shared').mkdir()
    (tmp_path / 'shared' / 'other').touch()
    options = beam_pipeline.Options(folder=str(tmp_path / 'shared'))
    assert over([4, 5], tmp_path / 'x', options=options) == [16, 25]
    assert [path.name for path in (tmp_path / 'shared').iterdir()] == ['other']
    options = beam_pipeline.Options(folder=str(tmp_path / 'shared' / 'other'))
    with pytest.raises(errors.InputError, match=r'--beam_folder=.*can not be written'):
        over([4], tmp_path / 'x', options=options)


def test_an_input_error_of_a_worker_keeps_its_message_and_the_first_one_wins(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(errors.InputError, match=r'^3 is not accepted; give another.$'):
        over([1, 3, 3], tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


def test_a_defect_in_a_worker_ends_the_pipeline_by_name(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match=r'ZeroDivisionError.*seven'):
        over([1, 7], tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_missing_is_an_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = beam_map._path
    # The workers write the second result where nobody looks.
    monkeypatch.setattr(
        beam_map,
        '_apply',
        lambda function, folder, element: pathlib.Path(
            path(folder, element[0] * 5)
        ).write_text('{"value": 1}'),
    )
    with pytest.raises(errors.InputError, match=r'ended without .*result-00000001'):
        over([1, 2], tmp_path / 'x')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (beam_pipeline.Options(runner='NoRunner'), 'Unexpected pipeline runner'),
        (
            beam_pipeline.Options(arguments=('--direct_num_workers=many',)),
            'Apache Beam does not take --direct_num_workers=many',
        ),
    ],
)
def test_options_that_beam_does_not_take_are_named(
    options: beam_pipeline.Options, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(errors.InputError, match=message):
        over([1], tmp_path / 'x', options=options)


def test_without_beam_the_error_says_how_to_install_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'apache_beam', None)
    with pytest.raises(errors.InputError, match="pip install 'apache-beam"):
        over([1], tmp_path / 'x')


def splits() -> dict[str, list[records.QaPair]]:
    def pair(number: int) -> records.QaPair:
        return records.QaPair(
            id=f'p{number}',
            group=f'g{number // 2}',
            source=('chat', 'reddit:a')[number // 2 % 2],
            file='a.md',
            line=number,
            topic='Ångström',
            time='2025-11-17',
            question=f'Why\n\n\u200b😀 {number}?',
            answer='Because. ' * (number % 7),
            flags=('update',) * (number % 3),
            weight=0.1 * number,
            more=('And?', 'So.') * (number % 9 == 4),
            answer_weights=(0.1, 1.0) * (number % 27 == 4),
        )

    pairs = [pair(number) for number in range(120)]
    return {'train': pairs[:100], 'validation': pairs[100:], 'test': []}


def test_a_dataset_that_beam_writes_is_the_one_that_this_process_writes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    from data_pipeline.writing import hax_qa, tfds_files

    monkeypatch.setattr(beam_rows, '_ROWS', 9)  # 12 files of train
    monkeypatch.setattr(hax_qa, '_BEAM_SHARD_BYTES', 8000)
    write = functools.partial(
        dataset.write, sources=[], split_rule={}, ledger={}, chat=True
    )
    (tmp_path / 'shared').mkdir()
    options = beam_pipeline.Options(folder=str(tmp_path / 'shared'))
    write(tmp_path / 'here', splits())
    write(tmp_path / 'beam', splits(), beam=options)
    for name in ('manifest.json', 'ledger.json', 'report.html', 'chat/train.jsonl'):
        here, beam = (tmp_path / folder / name for folder in ('here', 'beam'))
        assert here.read_bytes() == beam.read_bytes()
    for name, pairs in splits().items():
        assert list(dataset.read_pairs(tmp_path / 'beam', name)) == pairs
    folder = tmp_path / 'beam' / tfds_files.FOLDER
    lengths = tfds.builder_from_directory(folder).info.splits['train'].shard_lengths
    assert len(lengths) > 1 and sum(lengths) == 100
    assert list((tmp_path / 'shared').iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'beam',
        'here',
        'shared',
    ]


def test_a_pipeline_that_fails_leaves_no_dataset(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam_rows, '_rows', lambda chunk: json.loads('{'))
    with pytest.raises(errors.InputError, match=r'failed .writing the dataset'):
        dataset.write(
            tmp_path / 'x',
            splits(),
            sources=[],
            split_rule={},
            ledger={},
            beam=beam_pipeline.Options(),
        )
    assert list(tmp_path.iterdir()) == []
