"""Python run as a fork of a process that has imported what programs import.

It needs a tenth of the time to start. It is a child of the tests as `subprocess` makes
them: id, exit code, signals, streams, environment and folder are its own. It proves
nothing about importing: tests of that, or of variables read then, use `programs.run`.
"""

import atexit
import ctypes
import functools
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import re
import runpy
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Mapping
from typing import Any

import programs

# Variables that were read before the fork; runtime.start reads the excepted ones.
_EARLY = re.compile(
    r'JAX_(?!PLATFORMS|COORDINATOR_ADDRESS|NUM_PROCESSES|PROCESS_ID)'
    r'|PYTHON(?!PATH$)|LD_|GLIBC_|HF_'
)
# Programs, and what needs TensorFlow and gcsfs, would double the time of importing.
_NOT_IMPORTED = re.compile(r'data_pipeline\.\w+$|.*(_flags$|\.writing|\.store)')
_SET_CHILD_SUBREAPER = 36  # prctl(2): the children of an ended child become ours


class Popen(subprocess.Popen):
    """subprocess.Popen of what `programs.run` takes, without the name of Python.

    Raises:
      ValueError: a variable differs that a library has read already.
    """

    def _execute_child(self, args: list[str], *given: Any) -> None:
        (cwd, env), pipes = given[4:6], given[9:15]
        own = (pipes[0], pipes[3], pipes[5])  # its ends: -1 where it inherits ours
        streams = [number if end < 0 else end for number, end in enumerate(own)]
        values = dict(os.environ if env is None else env)
        try:
            self.pid = _fork(args, str(cwd), values, streams)
        finally:
            self._close_pipe_fds(*pipes)
        self._child_created = True


def start(*arguments: object, **options: Any) -> Popen[str]:
    """As `programs.start`, of '-m' PROGRAM, '-c' CODE or a file, and its arguments."""
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    environment = {**os.environ, 'PYTHONPATH': programs.PATH}
    command = [str(argument) for argument in arguments]
    options = {'cwd': programs.ROOT, 'env': environment, **pipes, **options}
    return Popen(command, text=True, **options)


def run(
    *arguments: object,
    given: str | None = None,
    seconds: float = 240,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """As `programs.run`, of what `start` takes."""
    values = {**os.environ, 'PYTHONPATH': programs.PATH, **environment}
    with start(*arguments, stdin=subprocess.PIPE, env=values) as child:
        try:
            output, error = child.communicate(given, timeout=seconds)
        except BaseException:
            child.kill()
            raise
    return subprocess.CompletedProcess(child.args, child.returncode, output, error)


if sys.platform != 'linux':  # the others have no prctl
    start, run = programs.start, programs.run


def _fork(args: list[str], cwd: str, values: dict[str, str], streams: list[int]) -> int:
    channel, early = _forking()
    differing = sorted({name for name, _ in early.items() ^ _early(values).items()})
    if differing:
        raise ValueError(f'read before the fork: {differing}; use programs.run.')
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        request = json.dumps([args, cwd, values]).encode()
        socket.send_fds(channel, [request], streams)
        pid = int(channel.recv(32))
        channel.recv(1)  # its parent has ended: it is our child
    finally:
        libc.prctl(_SET_CHILD_SUBREAPER, 0)
    return pid


def _early(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if _EARLY.match(name)}


@functools.cache
def _forking() -> tuple[socket.socket, dict[str, str]]:
    """A process that forks when asked, and the early variables that it has."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, 'PYTHONPATH': programs.PATH}
    with its:
        subprocess.Popen(
            [sys.executable, '-m', 'forks', str(its.fileno())],
            cwd=programs.ROOT,
            env=environment,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
        )
    ours.settimeout(240)
    return ours, _early(environment)


def _import_libraries() -> None:
    """Imports most modules that are no programs, and so their libraries."""
    importlib.import_module('launch')
    for name in ('hax_jax', 'data_pipeline'):
        path = importlib.import_module(name).__path__
        for module in pkgutil.walk_packages(path, f'{name}.'):
            if module.ispkg or not _NOT_IMPORTED.match(module.name):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*programs.GARBAGE)


def _next_child(channel: socket.socket) -> list[str]:
    """Forks for each request; returns the arguments, in the child alone."""
    while True:
        request, streams, *_ = socket.recv_fds(channel, 2**20, 3)
        if not request:
            os._exit(0)  # the tests have ended
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            channel.send(b'.')
            for stream in streams:
                os.close(stream)
            continue
        child = os.fork()
        if child:
            channel.send(str(child).encode())
            os._exit(0)
        channel.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        arguments, cwd, values = json.loads(request)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(values)
        paths = values.get('PYTHONPATH', '').split(os.pathsep)
        sys.path[1:1] = [each for each in paths if each not in sys.path]
        if 'JAX_PLATFORMS' in values:  # as importing JAX does
            jax = importlib.import_module('jax')
            jax.config.update('jax_platforms', values['JAX_PLATFORMS'])
        return arguments


def _exit_code(kind: str, code: str) -> int:
    """Runs the code as Python does, and returns the code that it would end with.

    `kind` is '-m' of a module, '-c' of a text, and '' of a file.
    """
    try:
        if kind == '-m':
            runpy.run_module(code, run_name='__main__', alter_sys=True)
        elif kind == '-c':
            main = sys.modules['__main__'] = types.ModuleType('__main__')
            exec(compile(code, '<string>', 'exec'), main.__dict__)
        else:
            sys.path[0] = str(pathlib.Path(code).resolve().parent)
            runpy.run_path(code, run_name='__main__')
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == '__main__':
    _import_libraries()
    _arguments = _next_child(socket.socket(fileno=int(sys.argv[1])))
    sys.orig_argv = [sys.executable, *_arguments]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (what was read of the old one)
    _kind = _arguments.pop(0) if _arguments[0] in ('-m', '-c') else ''
    sys.argv = [*_arguments] if _kind != '-c' else ['-c', *_arguments[1:]]
    _code = _exit_code(_kind, _arguments[0])
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_code)  # taking hundreds of modules apart would need most of the time
