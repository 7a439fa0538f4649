"""launch/local.sh, cuda.sh, slurm.sbatch and the files beside them."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator

import machine_room
import pytest
import yaml

LAUNCH = machine_room.ROOT / 'launch'
H100 = '580.65.06, 9.0, NVIDIA H100 80GB HBM3'
WHEELS = '0.10.2 0.10.2 none'  # jaxlib, plugin for CUDA 13, for CUDA 12


@pytest.fixture
def room(tmp_path: pathlib.Path) -> Iterator[machine_room.Room]:
    with machine_room.opened(tmp_path) as opened:
        yield opened


# local.sh


def local(room: machine_room.Room, *arguments: str) -> tuple[int, str]:
    return room.run('local.sh', *arguments, PYTHON=sys.executable)


def test_each_process_gets_its_number_and_the_arguments_as_they_are(
    room: machine_room.Room,
) -> None:
    show = (
        'echo "$JAX_PROCESS_ID/$JAX_NUM_PROCESSES $JAX_COORDINATOR_ADDRESS <$1> <$2>"'
    )
    code, output = local(room, '3', 'bash', '-c', show, '_', 'a  b', '*')
    lines = sorted(output.splitlines())
    address = lines[0].split()[2]
    assert re.fullmatch(r'127\.0\.0\.1:\d+', address)
    assert lines == [f'[{i}] {i}/3 {address} <a  b> <*>' for i in range(3)]
    assert code == 0


def test_the_first_failure_ends_all(room: machine_room.Room) -> None:
    command = """
      trap 'echo saves; exit 143' TERM
      touch "$FAKE/$JAX_PROCESS_ID"
      until [ -e "$FAKE/0" ] && [ -e "$FAKE/2" ]; do sleep 0.02; done
      [ "$JAX_PROCESS_ID" = 1 ] && exit 7
      while :; do sleep 0.02; done"""
    waits = {'HAX_JAX_GRACE_SECONDS': '0', 'PYTHON': sys.executable}
    code, output = room.run('local.sh', '3', 'bash', '-c', command, **waits)
    assert code == 7
    assert 'process 1 ended with 7' in output
    assert '[0] saves\n' in output
    assert '[2] saves\n' in output


def test_a_killed_process_is_started_again_where_the_others_say_so(
    room: machine_room.Room,
) -> None:
    command = """
      [ "$JAX_PROCESS_ID" = 1 ] && kill -KILL $$
      sleep 0.3; exit 75"""
    code, output = local(room, '2', 'bash', '-c', command)
    assert (code, 'process 1 ended with 137' in output) == (75, True)


def test_waits_that_are_no_numbers_are_refused(room: machine_room.Room) -> None:
    code, output = room.run('local.sh', '2', 'true', HAX_JAX_GRACE_SECONDS='abc')
    assert (code, 'whole numbers of seconds' in output) == (2, True)


def test_processes_that_stop_together_are_waited_for(room: machine_room.Room) -> None:
    save = 'sleep "0.$((JAX_PROCESS_ID * 3))"; echo saved; exit 75'
    code, output = local(room, '2', 'bash', '-c', save)
    assert code == 75
    assert output.count('saved') == 2
    assert 'SIGTERM' not in output


def test_a_process_that_hangs_is_killed(room: machine_room.Room) -> None:
    hang = '[ $JAX_PROCESS_ID = 1 ] && exit 3; trap "" TERM; sleep 600'
    waits = {'HAX_JAX_GRACE_SECONDS': '0', 'HAX_JAX_KILL_SECONDS': '0'}
    process = room.start(
        'local.sh', '2', 'bash', '-c', hang, **waits, PYTHON=sys.executable
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert 'are killed' in output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_every_process(
    room: machine_room.Room, number: signal.Signals
) -> None:
    name = number.name.removeprefix('SIG')
    command = (
        f'trap "echo saved; exit {128 + number}" {name}; touch $FAKE/$JAX_PROCESS_ID; '
    )
    command += 'while :; do sleep 0.02; done'
    process = room.start('local.sh', '2', 'bash', '-c', command, PYTHON=sys.executable)
    room.wait_for(lambda: all((room.fake / name).exists() for name in '01'))
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert output.count('saved') == 2


def test_ctrl_c_that_ends_tee_too_lets_all_save(room: machine_room.Room) -> None:
    command = """
      trap 'echo stopping; echo so; touch "$FAKE/saved$JAX_PROCESS_ID"; exit 130' INT
      touch "$FAKE/$JAX_PROCESS_ID"
      while :; do sleep 0.02; done"""
    process = room.start('local.sh', '2', 'bash', '-c', command, PYTHON=sys.executable)
    room.wait_for(lambda: all((room.fake / name).exists() for name in '01'))
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert [path.name for path in sorted(room.fake.glob('saved*'))] == [
        'saved0',
        'saved1',
    ]


@pytest.mark.parametrize('arguments', [(), ('0', 'x'), ('two', 'x'), ('2',), ('-n',)])
def test_a_wrong_call_is_one_line(
    room: machine_room.Room, arguments: tuple[str, ...]
) -> None:
    code, output = local(room, *arguments)
    assert (code, output.count('\n')) == (2, 1)
    assert output.startswith('error: ')


def test_local_dry_run(room: machine_room.Room) -> None:
    _, output = local(room, '--dry_run', '2', 'echo', 'a b')
    assert output.splitlines()[1].endswith(
        'JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=1 echo a\\ b'
    )


# cuda.sh


def cuda(
    room: machine_room.Room, *arguments: str, gpus: str = H100, wheels: str = WHEELS
) -> tuple[int, str]:
    room.write('finish', '')
    more = {'FAKE_GPUS': gpus, 'FAKE_WHEELS': wheels, 'PYTHON': 'python3.13'}
    return room.run('cuda.sh', *arguments, **more, **_given)


_given: dict[str, str] = {}


def test_a_right_machine_starts_the_training(room: machine_room.Room) -> None:
    code, output = cuda(room, '--', '--workdir=runs/a b', '--config=$x *')
    assert code == 0, output
    assert output.startswith('1 GPU(s), NVIDIA H100 80GB HBM3, driver 580.65.06, ')
    workdir = room.root / 'runs' / 'a b'
    assert (workdir / 'arguments').read_text() == '--workdir=runs/a b\n--config=$x *\n'
    environment = (workdir / 'environment').read_text()
    assert 'JAX_PLATFORMS=cuda,cpu\n' in environment
    flags = re.search('^XLA_FLAGS=(.*)$', environment, re.MULTILINE)
    assert flags is not None
    # jaxlib for the CPU parses the same flags, and ends a program at an unknown one.
    subprocess.run(
        [sys.executable, '-c', 'import jax; jax.devices()'],
        env={**os.environ, 'XLA_FLAGS': flags[1], 'JAX_PLATFORMS': 'cpu'},
        check=True,
        timeout=120,
    )


def test_the_users_flags_stay(
    room: machine_room.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, wanted in (
        (
            '--xla_gpu_triton_gemm_any=false --xla_a=1',
            '--xla_gpu_triton_gemm_any=false --xla_a=1 '
            '--xla_gpu_enable_latency_hiding_scheduler=true',
        ),
        ('flags.txt', 'flags.txt'),
    ):
        monkeypatch.setitem(_given, 'XLA_FLAGS', given)
        _, output = cuda(room, '--', '--workdir=runs/a')
        assert f'XLA_FLAGS={wanted}\n' in output


@pytest.mark.parametrize(
    ('gpus', 'wheels', 'given', 'message', 'mend'),
    [
        ('', WHEELS, '', 'nvidia-smi fails: NVIDIA-SMI has failed', 'restart'),
        ('550.1, 9.0, X', WHEELS, '', 'driver 550.1 is too old for CUDA 13', 'cuda12'),
        ('470.1, 9.0, X', '1 none 1', '', 'too old for CUDA 12 (525)', 'apt-get'),
        ('580.1, 7.0, V100', WHEELS, '', 'GPU 0, V100, has compute cap', 'cuda12'),
        (H100, '0.10.2 none none', '', 'has no CUDA plugin', 'requirements-cuda.txt'),
        (H100, 'none none none', '', 'has no jaxlib', 'requirements-cuda.txt'),
        (H100, '0.10.2 0.11.0 none', '', 'plugin is of version 0.11.0', '==0.10.2'),
        (H100, '0.10.2 0.10.2 0.10.2', '', 'both CUDA plugins', 'uninstall'),
        (H100, '', '', 'python3.13 does not run', 'PYTHON='),
        (
            H100,
            WHEELS,
            'LD_LIBRARY_PATH=/usr/local/cuda/lib64',
            'another CUDA',
            'unset',
        ),
        (H100, WHEELS, 'CUDA_VISIBLE_DEVICES=', 'hides every GPU', 'unset'),
    ],
)
def test_each_fault_is_one_line_with_what_mends_it(
    room: machine_room.Room,
    monkeypatch: pytest.MonkeyPatch,
    gpus: str,
    wheels: str,
    given: str,
    message: str,
    mend: str,
) -> None:
    if given:
        monkeypatch.setitem(_given, *given.split('=', 1))
    code, output = cuda(room, '--', '--workdir=runs/a', gpus=gpus, wheels=wheels)
    assert code == 2
    wrong, mended, error = output.splitlines()
    assert wrong.startswith('wrong: ')
    assert message in wrong
    assert mend in mended
    assert error.startswith("error: 1 of the machine's settings")
    assert not (room.root / 'runs').exists()


# slurm.sbatch


@pytest.mark.parametrize(
    ('exits', 'requeued'), [(75, 1), (143, 1), (0, 0), (2, 0), (1, 0), (130, 0)]
)
def test_75_and_143_go_into_the_queue_again(
    room: machine_room.Room, exits: int, requeued: int
) -> None:
    room.write('exits', f'{exits}\n')
    code, _ = room.run('slurm.sbatch', '--', '--workdir=a b', SLURM_JOB_ID='17')
    assert code == (0 if requeued else exits)
    assert room.calls() == 'scontrol requeue 17\n' * requeued
    assert room.read('srun').splitlines()[-5:] == [
        '--wait=120',
        'bash',
        'launch/cuda.sh',
        '--',
        '--workdir=a b',
    ]


def test_a_machine_without_slurm_is_told_so(room: machine_room.Room) -> None:
    code, output = room.run('slurm.sbatch', '--', '--workdir=a', PATH='/usr/bin:/bin')
    assert (code, output.startswith('error: there is no srun here')) == (2, True)


def test_a_submitted_job_goes_on_until_the_run_has_ended(
    room: machine_room.Room,
) -> None:
    room.write('exits', '75\n143\n0\n')
    arguments = ('--nodes=2', 'launch/slurm.sbatch', '--', '--workdir=a b')
    code, output = room.call('sbatch', *arguments)
    assert code == 0, output
    assert room.read('srun').count('--workdir=a b\n') == 3
    assert room.calls() == 'scontrol requeue 17\n' * 2
    assert {'--nodes=2', '--signal=TERM@120'} <= set(room.read('sbatch').splitlines())


def test_a_queue_that_refuses_is_told(room: machine_room.Room) -> None:
    room.write('exits', '75\n')
    room.write('no_requeue', '')
    code, output = room.call('sbatch', 'launch/slurm.sbatch', '--', '--workdir=a')
    assert (code, 'submit it with the same command' in output) == (75, True)


def test_a_job_is_requeued_no_more_after_the_last_restart(
    room: machine_room.Room,
) -> None:
    room.write('exits', '75\n')
    more = {'SLURM_RESTART_COUNT': '100', 'SLURM_JOB_ID': '17'}
    code, output = room.run('slurm.sbatch', '--', '--workdir=a', **more)
    assert (code, room.calls()) == (75, '')
    assert 'the last' in output


def test_a_cancelled_job_is_not_requeued(room: machine_room.Room) -> None:
    process = room.start('slurm.sbatch', '--', '--workdir=a', SLURM_JOB_ID='17')
    room.wait_for(lambda: room.read('srun'))
    process.send_signal(signal.SIGTERM)  # as scancel does, to the step as well
    room.write('exits', '')
    room.write('finish', '')
    output, _ = process.communicate(timeout=60)
    assert 'cancelled; the training ended with 0' in output
    assert room.calls() == ''


def test_sbatch_signals_the_steps_two_minutes_before_the_end() -> None:
    text = (LAUNCH / 'slurm.sbatch').read_text()
    # With "B:" only this script would get it, and Python would be killed unsaved.
    assert '#SBATCH --signal=TERM@120\n' in text
    assert '#SBATCH --requeue\n' in text


# The files of other systems


def test_the_readmes_commands_for_gke_name_what_is_there(
    room: machine_room.Room,
) -> None:
    text = (machine_room.ROOT / 'README.md').read_text()
    block = text[text.index('**GKE**') :].split('```')[1]
    commands = [
        line.split('  #')[0].strip()
        for line in block.splitlines()
        if line.startswith(('docker ', 'kubectl '))
    ]
    for command in commands:
        code, output = room.call(*shlex.split(command))
        assert code == 0, output
    assert room.calls().splitlines() == commands
    arguments = re.findall(r'^ARG (\w+)', (LAUNCH / 'Dockerfile').read_text(), re.M)
    assert set(re.findall(r'--build-arg (\w+)=', block)) <= set(arguments)
    jobsets = list(yaml.safe_load_all((LAUNCH / 'jobset.yaml').read_text()))
    (label,) = re.findall(r' -l machine=(\w+)', block)
    (applied,) = [
        j['metadata']['name']
        for j in jobsets
        if j['metadata']['labels'] == {'machine': label}
    ]
    assert f'jobset-name={applied} ' in block
    assert f'delete jobset {applied}\n' in block


def test_jobset_starts_again_at_75_and_143_and_fails_at_others() -> None:
    text = (LAUNCH / 'jobset.yaml').read_text()
    tpu, gpu = yaml.safe_load_all(text)
    for jobset, machine in ((tpu, 'tpu'), (gpu, 'gpu')):
        assert jobset['metadata']['labels'] == {'machine': machine}  # apply -l
        (rule,) = jobset['spec']['failurePolicy']['rules']
        assert rule['action'] == 'FailJobSet'
        assert rule['onJobFailureReasons'] == ['PodFailurePolicy']
        (workers,) = jobset['spec']['replicatedJobs']
        job = workers['template']['spec']
        assert job['backoffLimit'] == 0
        assert job['completions'] == job['parallelism']
        taken, codes = job['podFailurePolicy']['rules']
        assert taken['action'] == 'Count'
        assert codes['action'] == 'FailJob'
        wanted = {'operator': 'NotIn', 'values': [75, 143]}
        assert codes['onExitCodes'] == wanted
        assert job['template']['spec']['restartPolicy'] == 'Never'
    job = gpu['spec']['replicatedJobs'][0]['template']['spec']
    (container,) = job['template']['spec']['containers']
    values = {each['name']: each.get('value') for each in container['env']}
    assert values['JAX_NUM_PROCESSES'] == str(job['completions'])
    assert values['JAX_COORDINATOR_ADDRESS'] == '$(COORDINATOR):8476'
    assert gpu['spec']['coordinator']['replicatedJob'] == 'workers'


def test_sky_recovers_at_75_and_143() -> None:
    task = yaml.safe_load((LAUNCH / 'sky.yaml').read_text())
    recovery = task['resources']['job_recovery']
    assert recovery['recover_on_exit_codes'] == [75, 143]
    assert recovery['max_restarts_on_errors'] == 0
    for part in ('setup', 'run'):
        subprocess.run(['bash', '-n'], input=task[part], text=True, check=True)


def test_the_image_has_what_it_copies_and_a_base_by_digest() -> None:
    text = (LAUNCH / 'Dockerfile').read_text()
    assert re.search(r'^ARG BASE=python:3\.12-slim@sha256:[0-9a-f]{64}$', text, re.M)
    for sources in re.findall(r'^COPY (.+) \S+$', text, re.M):
        for source in sources.split():
            assert (machine_room.ROOT / source).exists(), source


@pytest.mark.parametrize('kind', ['cuda', 'tpu'])
def test_requirements_take_the_same_jax(kind: str) -> None:
    base = (machine_room.ROOT / 'requirements.txt').read_text()
    wanted = re.search(r'^jax(\S+)', base, re.M)
    assert wanted is not None
    text = (LAUNCH / f'requirements-{kind}.txt').read_text()
    assert re.search(rf'^jax\[{kind}(13)?\]{re.escape(wanted[1])} ', text, re.M)
    assert '-r ../requirements.txt\n' in text
