"""Paths at gs://, against a store on loopback that fails on demand."""

import pathlib

import fake_gcs
import programs
import pytest

from hax_jax import digests, errors, files, json_lines, places


def at(name: str) -> pathlib.Path:
    return places.path(f'gs://bucket/{name}')


def test_a_path_is_where_a_local_path_is(gcs: fake_gcs.Server) -> None:
    run = at('runs/a')
    assert isinstance(run, pathlib.Path)
    assert str(run / 'x' / 'y.json') == 'gs://bucket/runs/a/x/y.json'
    assert places.path(run) is run
    assert not run.exists()
    assert list(run.glob('*')) == list(run.rglob('*')) == []
    files.write_text(run / 'x' / 'y.json', 'é\n')
    files.write_json(run / 'z.json', {'a': 1})
    assert gcs.names('bucket') == ['runs/a/x/y.json', 'runs/a/z.json']
    assert gcs.content('bucket', 'runs/a/x/y.json') == 'é\n'.encode()
    assert run.is_dir()
    assert (run / 'z.json').is_file()
    assert not (run / 'z').exists()
    assert sorted(child.name for child in run.glob('*')) == ['x', 'z.json']
    assert [child.name for child in run.rglob('*.json')] == ['y.json', 'z.json']
    assert files.read_json_object(run / 'z.json') == {'a': 1}
    assert (run / 'z.json').stat().st_size == 13
    assert run.stat().st_mtime == (run / 'z.json').stat().st_mtime
    assert digests.of_folder(run) == {
        'x/y.json': digests.of_bytes('é\n'.encode()),
        'z.json': digests.of_bytes(b'{\n  "a": 1\n}\n'),
    }


def test_a_write_that_fails_leaves_the_old_object(gcs: fake_gcs.Server) -> None:
    path = at('notes')
    files.write_text(path, 'old')

    def lines() -> object:
        yield 'new'
        raise ValueError('no more')

    with pytest.raises(ValueError, match='no more'):
        files.write_lines(path, lines())
    gcs.faults.append(fake_gcs.Fault('POST .*upload', '403'))
    with pytest.raises(
        errors.PlaceError, match=r'gs://bucket/notes: the store refuses'
    ):
        files.write_text(path, 'new')
    assert gcs.content('bucket', 'notes') == b'old'


@pytest.mark.parametrize('kind', ['503', 'cut', 'lost'])
def test_what_fails_for_a_while_is_asked_again(gcs: fake_gcs.Server, kind: str) -> None:
    gcs.faults.append(fake_gcs.Fault('POST .*upload', kind, times=1))
    files.write_text(at('a'), 'abc' * 1000)
    assert gcs.content('bucket', 'a') == b'abc' * 1000
    assert gcs.faults[0].met == 2


def test_a_cut_download_is_read_again_to_its_end(gcs: fake_gcs.Server) -> None:
    gcs.put('bucket', 'a', b'0123456789')
    gcs.faults.append(fake_gcs.Fault('GET .*alt=media', 'cut', times=1))
    assert at('a').read_bytes() == b'0123456789'


def test_a_failure_is_never_taken_for_an_object_that_is_not_there(
    gcs: fake_gcs.Server,
) -> None:
    gcs.put('bucket', 'run/run.json', b'{}')
    gcs.faults.append(fake_gcs.Fault('GET', '403'))
    for look in (at('run').exists, at('run/run.json').is_file, at('run').stat):
        with pytest.raises(errors.PlaceError, match='refuses') as caught:
            look()
        assert not caught.value.passing


def test_a_tree_moves_and_goes_with_the_first_name_first(gcs: fake_gcs.Server) -> None:
    for name in ('5/a', '5/step.json', '5/z'):
        gcs.put('bucket', name, name.encode())
    files.rename(at('5'), at('damaged/5'))
    assert gcs.names('bucket') == ['damaged/5/a', 'damaged/5/step.json', 'damaged/5/z']
    at('damaged/5').delete_tree(first='step.json')
    assert gcs.names('bucket') == []
    deleted = [line for line in gcs.requests if line.startswith('DELETE')][-3:]
    assert deleted[0].endswith('step.json')


def test_a_log_is_an_object_that_is_written_whole(gcs: fake_gcs.Server) -> None:
    gcs.put('bucket', 'log', b'{"step": 1}\n{"step": 2}\n')
    log = json_lines.Log(at('log'))
    log.keep_through(1)
    with log.open():
        log.append([{'step': 3}])
        assert gcs.content('bucket', 'log') == b'{"step": 1}\n'
        log.publish()
        assert gcs.content('bucket', 'log') == b'{"step": 1}\n{"step": 3}\n'
        log.append([{'step': 4}])
    assert [line.raw for line in log.lines()][2:] == [b'{"step": 4}\n']


def test_lines_that_can_not_go_up_are_kept_and_said(
    gcs: fake_gcs.Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(json_lines, 'REMOTE_SECONDS', 0.0)
    with json_lines.Log(at('log')).open() as log:
        gcs.faults.append(fake_gcs.Fault('POST', '403', times=1))
        log.append([{'step': 1}])
        assert 'WARNING: kept for the next time: gs://' in capsys.readouterr().out
        log.append([{'step': 2}])
    assert gcs.content('bucket', 'log') == b'{"step": 1}\n{"step": 2}\n'


def test_the_kind_of_a_bucket_is_not_asked_for_whatever_came_first() -> None:
    code = 'import gcsfs; from hax_jax.store import gs_path as g; print(g.filesystem())'
    done = programs.run('-c', code, STORAGE_EMULATOR_HOST='http://127.0.0.1:9')
    assert '<gcsfs.core.GCSFileSystem object' in done.stdout, done.stderr
