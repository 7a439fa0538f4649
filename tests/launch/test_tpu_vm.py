"""launch/tpu_vm.sh against a gcloud whose machines are folders."""

import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Iterator

import machine_room
import pytest

TPU = ('run', 'advice', '--zone=us-x1-c', '--type=v5litepod-16')
SPOT = (*TPU, '--spot', '--', '--config=configs/c.py', '--workdir=gs://bucket/a run')
ONE = (
    *TPU[:3],
    '--type=v5litepod-8',
    '--',
    '--config=configs/c.py',
    '--workdir=runs/one',
)


@pytest.fixture
def room(tmp_path: pathlib.Path) -> Iterator[machine_room.Room]:
    with machine_room.opened(tmp_path) as opened:
        yield opened


def trains(room: machine_room.Room, after: int = 0) -> bool:
    """Whether the training of `a run` has done more steps than `after`."""
    return int(room.read('store/bucket/a run/step') or 0) > after


def test_a_run_is_made_set_up_followed_and_deleted(room: machine_room.Room) -> None:
    room.write('finish', '')
    (room.root / 'data' / 'my set').mkdir(parents=True)
    (room.root / 'data' / 'my set' / 'manifest.json').touch()
    own = ('--config.data.path=data/my set', "--config.x='$HOME' *")
    code, output = room.run('tpu_vm.sh', *SPOT, *own, XLA_FLAGS="--a='1' --b")
    assert code == 0, output
    assert room.machines() == []
    assert 'begins after step 0\nthe run has ended\n' in output
    assert output.count('hax_jax_exit=0') == 2  # of both workers
    arguments = room.read('store/bucket/a run/arguments').splitlines()
    assert arguments == [
        '--config=configs/c.py',
        '--workdir=gs://bucket/a run',
        '--config.data.path=data/my set',
        "--config.x='$HOME' *",
    ]
    assert "\nXLA_FLAGS=--a='1' --b\n" in room.read('store/bucket/a run/environment')
    verbs = ' '.join(line.split()[4] for line in room.calls().splitlines())
    assert (
        verbs == 'describe describe create scp ssh ssh ssh ssh describe delete describe'
    )
    create = room.calls().splitlines()[2]
    assert '--accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite' in create
    assert '--spot' in create
    assert 'hax_jax=advice' in create


def test_a_dry_run_prints_every_call_and_makes_none(room: machine_room.Room) -> None:
    code, planned = room.run('tpu_vm.sh', '--dry_run', *SPOT)
    assert code == 0
    assert room.calls() == ''
    room.write('finish', '')
    _, done = room.run('tpu_vm.sh', *SPOT)

    def calls(output: str) -> list[str]:
        lines = [line for line in output.splitlines() if line.startswith('$ ')]
        lines = [line for line in lines if ' describe ' not in line]
        # A folder of mktemp's and a process number differ.
        return [line.split('tmp.')[0].split('_owner')[0] for line in lines]

    assert calls(planned) == calls(done)
    by_name = [each.replace('=configs/c.py', '=c') for each in SPOT]
    assert room.run('tpu_vm.sh', '--dry_run', *by_name)[0] == 0


def test_the_run_on_the_machines_own_disk_is_fetched(room: machine_room.Room) -> None:
    room.write('finish', '')
    earlier = room.root / 'runs' / 'one'
    earlier.mkdir(parents=True)
    (earlier / 'step').write_text('7\n')  # goes to the machine and comes back
    # The shell completes the name of a folder with a slash.
    code, output = room.run('tpu_vm.sh', *ONE[:-1], '--workdir=runs/one/')
    assert code == 0, output
    assert 'begins after step 7' in output
    assert (earlier / 'arguments').read_text().endswith('--workdir=runs/one\n')
    assert (room.root / 'runs' / 'one.1' / 'step').read_text() == '7\n'
    assert room.machines() == []


def test_a_run_that_cannot_be_fetched_keeps_its_machine(
    room: machine_room.Room,
) -> None:
    room.write('finish', '')
    room.write('fail', '--recurse\n')
    code, output = room.run('tpu_vm.sh', *ONE)
    assert (code, 'could not be fetched' in output) == (1, True)
    assert 'delete advice --zone=us-x1-c' in output
    assert room.machines() == ['advice']
    code, output = room.run('tpu_vm.sh', 'list')
    assert output.startswith('advice  us-x1-c  v5litepod-8  READY  costs money until: ')
    code, _ = room.run('tpu_vm.sh', 'delete', 'advice', '--zone=us-x1-c')
    assert (code, room.machines()) == (0, [])
    _, output = room.run('tpu_vm.sh', 'list')
    assert output == 'nothing that launch/tpu_vm.sh made is there\n'


@pytest.mark.parametrize(
    ('exits', 'code', 'starts'),
    [('75\n143\n75\n2\n', 2, 4), ('1\n', 1, 1), ('130\n', 130, 1)],
)
def test_75_and_143_start_again_on_the_same_machine(
    room: machine_room.Room, exits: str, code: int, starts: int
) -> None:
    room.write('exits', exits)
    room.write('finish', '')
    got, output = room.run('tpu_vm.sh', *SPOT)
    assert got == code, output
    assert room.calls().count('sh start') == starts
    assert room.calls().count('create') == 1
    assert room.machines() == []


def test_five_quick_stops_end_it(room: machine_room.Room) -> None:
    room.write('exits', '75\n' * 9)
    room.write('finish', '')
    code, output = room.run('tpu_vm.sh', *SPOT)
    assert code == 75
    assert 'five times' in output
    assert room.machines() == []


@pytest.mark.parametrize(
    'failing',
    ['create', 'scp', 'sh install', 'sh start', 'sh follow', 'sh finish', 'delete'],
)
def test_a_call_that_fails_once_is_made_again_or_ends_it(
    room: machine_room.Room, failing: str
) -> None:
    room.write('finish', '')
    room.write('fail', f'{failing}\n')
    code, output = room.run('tpu_vm.sh', *SPOT)
    assert (code == 0) == (failing != 'create'), output
    assert 'told to fail' in output
    assert room.machines() == []


def test_what_a_failing_creation_left_is_deleted(room: machine_room.Room) -> None:
    room.write('half', '')
    code, output = room.run('tpu_vm.sh', *SPOT)
    assert code == 1
    assert "can't be created" in output
    assert room.machines() == []


def test_a_deletion_that_keeps_failing_says_what_costs_money(
    room: machine_room.Room,
) -> None:
    room.write('finish', '')
    room.write('fail', 'delete\n' * 20)
    code, output = room.run('tpu_vm.sh', *SPOT, HAX_JAX_POLL_SECONDS='0')
    assert code == 1
    assert 'NOT DELETED: advice (READY) costs money until: bash launch/tpu_' in output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_run_save_and_deletes_the_machine(
    room: machine_room.Room, number: signal.Signals
) -> None:
    process = room.start('tpu_vm.sh', *SPOT)
    room.wait_for(lambda: trains(room))
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert 'hax_jax_exit=143' in output
    assert room.machines() == []


def test_ctrl_c_that_ends_tee_too_deletes_the_machine(room: machine_room.Room) -> None:
    process = room.start('tpu_vm.sh', *SPOT)
    room.wait_for(lambda: trains(room))
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert room.machines() == []
    assert 'sh stop 600' in room.calls()


def test_a_signal_during_creation_deletes_what_is_being_made(
    room: machine_room.Room,
) -> None:
    process = room.start('tpu_vm.sh', *SPOT, FAKE_CREATE_SECONDS='30')
    room.wait_for(room.machines)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert room.machines() == []


def test_a_second_start_is_refused_and_a_killed_script_is_followed_up(
    room: machine_room.Room,
) -> None:
    first = room.start('tpu_vm.sh', *SPOT)
    room.wait_for(lambda: trains(room))
    code, output = room.run('tpu_vm.sh', *SPOT)
    assert code == 2
    assert 'advice is there already (READY, made by some-one-' in output
    assert '--attach' in output
    first.kill()
    first.wait(timeout=60)
    assert room.machines() == ['advice']  # nothing can delete it; list shows it
    step = int(room.read('store/bucket/a run/step'))
    assert 'advice' in room.run('tpu_vm.sh', 'list')[1]
    second = room.start('tpu_vm.sh', *TPU, '--attach', *SPOT[5:])
    room.wait_for(lambda: 'follow' in room.calls().split('tpu-vm list')[-1])
    room.wait_for(lambda: trains(room, step))
    room.write('finish', '')
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    assert 'the training runs already' in output
    assert room.machines() == []
    assert room.read('store/bucket/a run/arguments').count('workdir') == 1


def test_a_machine_that_another_start_made_first_is_left_alone(
    room: machine_room.Room,
) -> None:
    # Both looked before either created: the second creation fails.
    made = subprocess.Popen(
        ['gcloud', 'compute', 'tpus', 'tpu-vm', 'create', 'advice', '--labels=x'],
        env={**room.environment, 'FAKE_CREATE_SECONDS': '0'},
    )
    made.wait(timeout=60)
    (room.fake / 'vms' / 'advice').rename(room.fake / 'later')
    first_look = room.start('tpu_vm.sh', *SPOT, FAKE_LATER='1')
    output, _ = first_look.communicate(timeout=60)
    assert first_look.returncode == 1, output
    assert 'belongs to another start' in output
    assert room.machines() == ['advice']


def test_a_queue_is_waited_for_and_goes_with_its_machine(
    room: machine_room.Room,
) -> None:
    room.write('finish', '')
    code, output = room.run('tpu_vm.sh', *TPU, '--queued', *SPOT[4:])
    assert code == 0, output
    assert 'in the queue: WAITING_FOR_RESOURCES' in output
    assert 'queued-resources delete advice --force' in output
    assert '--node-id=advice' in room.calls()
    assert room.machines() == []


def test_a_queues_machine_is_followed_and_deleted_with_its_entry(
    room: machine_room.Room,
) -> None:
    room.write('finish', '')
    keeping = (*TPU, '--queued', '--keep', *SPOT[4:])
    assert room.run('tpu_vm.sh', *keeping)[0] == 0
    code, output = room.run('tpu_vm.sh', *TPU, *SPOT[5:])
    assert (code, 'is there already (READY' in output) == (2, True)
    code, output = room.run('tpu_vm.sh', *TPU, '--attach', *SPOT[5:])
    assert (code, room.machines()) == (0, [])
    assert 'queued-resources delete advice --force' in output


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('run', 'my run', *SPOT[2:]), "'my run' must be of small letters"),
        ((*TPU, '--', '--config=configs/c.py'), '--workdir is missing'),
        ((*TPU, '--', '--workdir=s3://b/r'), 'give gs://BUCKET/RUN'),
        ((*TPU, '--', '--workdir=gs://'), 'give gs://BUCKET/RUN'),
        ((*TPU, '--', '--config=configs/none.py'), 'configs/none.py is not here'),
        ((*TPU, '--', '--dry_run'), '--dry_run makes no run'),
        ((*TPU, '--', '--workdir=runs/x'), 'several workers'),
        ((*ONE[:4], '--spot', *ONE[4:]), "the machine's disk goes with it"),
        ((*ONE[:4], '--', '--workdir=/runs/x'), 'not a path below'),
        ((*ONE, '--config.data.path=data/none'), 'data/none is not here'),
        ((*ONE[:4], '--copy=../x', *ONE[4:]), 'not a path below'),
        (('run', 'advice', '--type=v6e-8'), '--zone is missing'),
        ((*TPU, '--workdir=gs://b/r'), 'flags of launch.train follow after --'),
        (('start', 'advice'), "'start' is not one of run, list, delete"),
    ],
)
def test_what_can_not_work_is_refused_before_any_call(
    room: machine_room.Room, arguments: tuple[str, ...], message: str
) -> None:
    code, output = room.run('tpu_vm.sh', *arguments)
    assert code == 2
    assert output.startswith('error: ')
    assert output.count('\n') == 1
    assert message in output
    assert room.calls() == ''


@pytest.mark.parametrize(
    'kills', [4, pytest.param(20, marks=pytest.mark.slow)], ids='{} kills'.format
)
def test_machines_taken_away_at_random_moments(
    room: machine_room.Room, kills: int
) -> None:
    """As many new machines as kills, no step lost, nothing left over."""
    moments = random.Random(kills)
    process = room.start('tpu_vm.sh', *SPOT)
    vm = room.fake / 'vms' / 'advice'
    step = 0
    for kill in range(1, kills + 1):
        room.wait_for(lambda kill=kill: _number(vm) == kill and _is_ready(vm))
        time.sleep(moments.uniform(0, 0.8))
        room.kill_machine('advice')
        saved = int(room.read('store/bucket/a run/step') or 0)
        assert saved >= step
        step = saved
    room.wait_for(lambda: _number(vm) == kills + 1 and trains(room, step))
    room.write('finish', '')
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.count('was taken away') == kills
    assert room.machines() == []


def _number(vm: pathlib.Path) -> int:
    try:
        return int((vm / 'number').read_text())
    except (OSError, ValueError):
        return 0


def _is_ready(vm: pathlib.Path) -> bool:
    try:
        return (vm / 'state').read_text() == 'READY\n'
    except OSError:
        return False
