"""Programs on a run at gs://, killed and refused as their user meets it: minutes."""

import json
import pathlib
import random
import subprocess
import time

import fake_gcs
import programs
import pytest
from test_train_program import folder  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow
_KILLS = 6
_FLAGS = (
    '--config.train.num_steps=12',
    '--config.train.checkpoint_every_steps=2',
    '--config.train.num_sample_questions=2',
    '--config.train.sample_max_new_tokens=4',
)


def command(folder: pathlib.Path, workdir: object, *flags: str) -> list[str]:  # noqa: F811
    data = f'--config.data.path={folder}/data'
    config = f'--config={folder}/tiny.py'
    return ['-m', 'launch.train', config, data, f'--workdir={workdir}', *flags]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return programs.start(*arguments, stderr=subprocess.STDOUT)


def ended(process: subprocess.Popen[str]) -> str:
    try:
        out = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert 'Traceback' not in out
    return out


def losses(content: bytes) -> list[tuple[str, int, float]]:
    rows = map(json.loads, content.decode().splitlines())
    kept = [row for row in rows if row['kind'] in ('train', 'evaluation')]
    return [
        (row['kind'], row['step'], row.get('loss', row.get('eval_loss')))
        for row in kept
    ]


def fetch(gcs: fake_gcs.Server, name: str, to: pathlib.Path) -> pathlib.Path:
    """A run's objects as a local folder."""
    for each in gcs.names('bucket'):
        if each.startswith(f'{name}/'):
            path = to / each.removeprefix(f'{name}/')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gcs.content('bucket', each))
    return to


def saved(gcs: fake_gcs.Server, name: str) -> list[str]:
    names = [n for n in gcs.names('bucket') if n.startswith(f'{name}/checkpoints/')]
    return [n.split('/')[2] for n in names if n.endswith('/step.json')]


def test_killed_again_and_again_it_is_the_local_run(
    folder: pathlib.Path,  # noqa: F811
    gcs: fake_gcs.Server,
    tmp_path: pathlib.Path,
) -> None:
    local = tmp_path / 'local'
    ended(start(command(folder, local, *_FLAGS)))
    rng, kills = random.Random(0), 0
    while True:
        process = start(command(folder, 'gs://bucket/run', *_FLAGS))
        until = len(gcs.requests) + rng.randrange(60, 600)
        while process.poll() is None and (len(gcs.requests) < until or kills == _KILLS):
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
    assert process.returncode == 0, ended(process)
    assert kills
    for name in ('metrics.jsonl', 'samples.jsonl'):
        one, other = (local / name).read_bytes(), gcs.content('bucket', f'run/{name}')
        assert one == other or losses(one) == losses(other)
    fetched = fetch(gcs, 'run', tmp_path / 'fetched')
    code = (
        'import sys; from hax_jax.runs import restore\n'
        'a, b = (restore.parameters(path) for path in sys.argv[1:])\n'
        'assert a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)'
    )
    assert programs.run('-c', code, local, fetched).returncode == 0
    out = tmp_path / 'out'
    for program, *flags in (
        ('sample', '--prompt=Is it rude?', '--max_new_tokens=4'),
        ('evaluate',),
        ('export', '--format=hf', f'--output={out}'),
        ('checkpoints', '--verify'),
        ('checkpoints', '--inspect=12'),
    ):
        arguments = ['-m', f'launch.{program}', '--workdir=gs://bucket/run', *flags]
        done = programs.run(*arguments)
        assert done.returncode == 0, done.stderr
    assert (out / 'model.safetensors').exists()


def test_what_the_store_does_is_waited_out_or_said(
    folder: pathlib.Path,  # noqa: F811
    gcs: fake_gcs.Server,
) -> None:
    gcs.faults += [
        fake_gcs.Fault('POST .*upload', '503', times=3, after=4),
        fake_gcs.Fault('GET .*alt=media', '503', times=3, after=1),
        fake_gcs.Fault('upload.*media', 'cut', times=2, after=2),
        fake_gcs.Fault('upload.*multipart', 'lost', times=2, after=6),
        fake_gcs.Fault('GET .*metadatas', 'slow', seconds=1, times=3),
    ]
    process = start(command(folder, 'gs://bucket/a'))
    ended(process)
    assert process.returncode == 0
    assert all(fault.met > fault.after for fault in gcs.faults)
    gcs.faults.clear()
    # Rights are lost after step 3.
    process = start(command(folder, 'gs://bucket/b'))
    while process.poll() is None and not saved(gcs, 'b'):
        time.sleep(0.01)
    gcs.faults.append(fake_gcs.Fault('POST .*upload', '403'))
    out = ended(process)
    assert process.returncode == 2
    assert 'the store refuses' in out
    assert 'The steps there are 3.' in out
    gcs.faults.clear()
    # The second of two starts is refused, and says by whom.
    first = start(command(folder, 'gs://bucket/b', '--config.train.num_steps=40'))
    second = None
    while first.poll() is None and second is None:
        lock = gcs.objects['bucket'].get('b/lock')
        if lock and f'"pid": {first.pid}'.encode() in lock.content:
            second = start(command(folder, 'gs://bucket/b'))
        time.sleep(0.01)
    out = ended(second)
    assert second.returncode == 2
    assert f'another launch.train is writing gs://bucket/b (process {first.pid}' in out
    ended(first)
    assert first.returncode == 0


@pytest.mark.parametrize(
    ('workdir', 'code', 'said'),
    [
        ('s3://bucket/run', 2, 'give a local path or gs://BUCKET/FOLDER'),
        ('gs://nobody/run', 2, 'gs://nobody is not there'),
    ],
)
def test_what_can_not_be_a_workdir_is_one_line(
    folder: pathlib.Path,  # noqa: F811
    gcs: fake_gcs.Server,
    workdir: str,
    code: int,
    said: str,
) -> None:
    process = start(command(folder, workdir))
    out = ended(process)
    assert process.returncode == code
    assert said in out
    assert len(out.splitlines()) == 1
