"""Where a run may lie: on a disk or at gs://; all else is refused in one line."""

import pathlib
import sys

import fake_gcs
import pytest

from hax_jax import errors, places
from hax_jax.program import failures, output_file


def test_local_paths_are_pathlibs_own() -> None:
    for text in ('runs/a', '/tmp/b', 'c:/d', 'a:b', '', '~/x'):
        assert type(places.path(text)) is type(pathlib.Path())
        assert places.path(text) == pathlib.Path(text)


@pytest.mark.parametrize('url', ['s3://a/b', 'hdfs://x/y', 'http://h/p', 'file:///a'])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(errors.InputError, match=r'give a local path or gs://BUCKET'):
        places.path(url)


@pytest.mark.parametrize('url', ['gs://', 'gs:///a', 'gs://A B/c'])
def test_a_url_needs_a_bucket(url: str) -> None:
    with pytest.raises(errors.InputError, match='names no bucket'):
        places.path(url)


def test_a_url_with_one_slash_is_no_folder_here() -> None:
    with pytest.raises(errors.InputError, match=r'give gs://BUCKET/FOLDER, or \./gs:'):
        places.path('gs:/bucket/run')


def test_without_gcsfs_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('hax_jax.store.gs_path', 'hax_jax.store.failures', 'gcsfs'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import hax_jax.store

    for name in ('gs_path', 'failures'):
        monkeypatch.delattr(hax_jax.store, name, raising=False)
    monkeypatch.setitem(sys.modules, 'gcsfs', None)
    with pytest.raises(errors.InputError, match='pip install gcsfs'):
        places.path('gs://bucket/a')


def test_an_output_at_gs_is_refused() -> None:
    path = pathlib.Path('gs://bucket/out')
    for problems in (output_file.problems, output_file.new_folder):
        (said,) = problems('output', path)
        assert '--output=gs:/bucket/out is not a local path' in said


@pytest.mark.parametrize(
    ('mark', 'kind', 'part'),
    [('run.json', 'run', 'checkpoints'), ('manifest.json', 'dataset', 'packed')],
)
def test_nothing_is_written_into_a_part_of_a_run_or_dataset(
    mark: str, kind: str, part: str, tmp_path: pathlib.Path
) -> None:
    owner = tmp_path / 'owner'
    inside = owner / part / '40'
    inside.mkdir(parents=True)
    new = inside / 'new'
    assert output_file.new_folder('compact', new) == []
    (owner / mark).write_text('{}')
    said = (
        f'={new} lies in {owner / part}, which holds files of the {kind} {owner} '
        'alone; give a place outside of it.'
    )
    assert output_file.problems('table', new) == [f'--table{said}']
    assert output_file.new_folder('compact', new) == [f'--compact{said}']
    assert output_file.wrong_place('output', new) == [f'--output{said}']
    with pytest.raises(errors.InputError) as caught:
        places.check_workdir(new)
    assert str(caught.value) == f'--workdir{said}'
    with pytest.raises(errors.InputError, match=f'lies in {owner / part}'):
        places.check_workdir(owner / part)
    (tmp_path / 'link').symlink_to(inside)
    assert 'lies in' in output_file.problems('table', tmp_path / 'link' / 'a')[0]
    assert output_file.new_folder('compact', owner / 'mine') == []
    assert output_file.problems('output', owner / 'compared.json') == []


def test_what_can_not_be_reached_is_one_line(
    gcs: fake_gcs.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.InputError, match=r'gs://other is not there'):
        places.check(places.path('gs://other/run'))
    gcs.faults.append(fake_gcs.Fault('GET', '403', times=1))
    with pytest.raises(errors.PlaceError, match='Storage Object User') as caught:
        places.check(places.path('gs://bucket/run'))
    assert failures.explained(caught.value, smaller='')[1] == 2
    monkeypatch.setattr(places, '_REACH_SECONDS', 0.2)
    gcs.faults.append(fake_gcs.Fault('GET', 'slow', seconds=1.0))
    with pytest.raises(errors.PlaceError, match='no answer within') as caught:
        places.check(places.path('gs://bucket/run'))
    assert failures.explained(caught.value, smaller='')[1] == 75


@pytest.mark.parametrize('name', ['config.json', 'tokenizer/vocab.json'])
def test_a_folder_whose_files_a_run_would_write_over_is_refused(
    name: str, tmp_path: pathlib.Path
) -> None:
    places.check_workdir(tmp_path / 'new')
    (tmp_path / 'log.txt').touch()
    places.check_workdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(errors.InputError, match='and is no run, which would write'):
        places.check_workdir(tmp_path)
    (tmp_path / 'run.json').touch()
    places.check_workdir(tmp_path)
