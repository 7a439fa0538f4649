"""All processes of a run do the same, or none begins: what they compare, and how.

Process 0 judges (`peers.agree`), through the coordinator's key-value store: programs
that differ would wait for each other in a collective for ever. The number of devices
of each process, and the paths where it finds data and models, may differ.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

import jax

from hax_jax import places
from hax_jax.devices import peers

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
_CODE = ('hax_jax', 'data_pipeline', 'launch')  # folders beside each other
# Of JAX's settings, and of XLA's flags, those that change no program's result.
_SETTINGS = (
    'jax_enable_x64',
    'jax_default_matmul_precision',
    'jax_default_prng_impl',
    'jax_threefry_partitionable',
    'jax_platforms',
)
_OWN_FLAGS = (
    '--xla_force_host_platform_device_count',
    '--xla_dump_',
    '--xla_gpu_autotune_cache',
    '--xla_gpu_per_fusion_autotune_cache',
)
_MOST_LINES = 8
SAME_FILES = 'Let all processes read the same files, on a disk that they share.'
_LOOK_SECONDS = 6.0  # network disks show a new file late


def compare(facts: Mapping[str, Any], *, remedy: str) -> None:
    """Compares the facts of all processes; `remedy` is a sentence.

    Facts are JSON's. Where there is one process, nothing is compared.

    Raises:
      InputError: names each fact that differs, the processes and their values.
    """

    def judge(values: list[dict[str, Any]]) -> str:
        lines = differences(values)
        if not lines:
            return ''
        more = [f'... and {len(lines) - _MOST_LINES} more'] * (len(lines) > _MOST_LINES)
        return '\n'.join(
            ['the processes of this run differ:', *lines[:_MOST_LINES], *more, remedy]
        )

    peers.agree(json.loads(json.dumps(facts)), judge)


def differences(values: list[dict[str, Any]]) -> list[str]:
    """A line for each fact that is not the same in the facts of all processes.

    [{'seed': 0}, {'seed': 1}, {'seed': 1}] ->
    ['  seed: 0 in process 0, 1 in processes 1, 2']
    """
    lines = []
    for name in sorted({name for facts in values for name in facts}):
        found: dict[str, list[int]] = {}
        for process, facts in enumerate(values):
            text = json.dumps(facts[name]) if name in facts else 'missing'
            found.setdefault(text, []).append(process)
        if len(found) > 1:
            parts = (
                f'{text} in process{"es" * (len(who) > 1)} {", ".join(map(str, who))}'
                for text, who in found.items()
            )
            lines.append(f'  {name}: {", ".join(parts)}')
    return lines


def check_environment() -> None:
    """Compares program, code, versions of packages, and settings of XLA and JAX."""
    spec = getattr(sys.modules['__main__'], '__spec__', None)
    compare(
        {
            'the program': spec.name if spec else pathlib.Path(sys.argv[0]).name,
            'Python': platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
            **{name: str(getattr(jax.config, name)) for name in _SETTINGS},
            'XLA_FLAGS': shared_flags(os.environ.get('XLA_FLAGS', '')),
            'LIBTPU_INIT_ARGS': shared_flags(os.environ.get('LIBTPU_INIT_ARGS', '')),
            **code(),
        },
        remedy='Start the same program on each machine, with a copy of the same code '
        'and packages, and the same variables in its environment.',
    )


def shared_flags(text: str) -> list[str]:
    """The flags of XLA that all processes need alike, sorted."""
    return sorted(flag for flag in text.split() if not flag.startswith(_OWN_FLAGS))


def code() -> dict[str, str]:
    """Path -> a digest, of each .py file of the project's packages."""
    root = pathlib.Path(__file__).parents[2]
    return {
        path.relative_to(root).as_posix(): _digest(path)
        for folder in _CODE
        for path in (root / folder).rglob('*.py')
    }


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def check_shared(folder: pathlib.Path) -> None:
    """Checks that each process sees in `folder` what process 0 writes there.

    Leaves no trace: neither the file nor a folder that was missing.

    Raises:
      InputError: names the processes for which `folder` is another one.
      OSError: process 0 can't write there.
    """
    if not peers.are_several():
        return
    is_first = peers.process() == 0
    made: list[pathlib.Path] = []
    probe = folder / peers.from_first(f'.seen-by-all-{uuid.uuid4().hex[:12]}')
    try:
        if is_first:
            if not places.is_remote(folder):
                made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_text('', encoding='utf-8')
        peers.from_first('written')
        peers.agree(
            {'sees': is_first or _appears(probe), 'where': str(folder)}, _judge_seen
        )
    finally:
        if is_first:
            probe.unlink(missing_ok=True)
            for path in made:
                path.rmdir()
    peers.from_first('removed')  # nobody looks at the folder while it goes


def _appears(probe: pathlib.Path) -> bool:
    until = time.monotonic() + _LOOK_SECONDS
    while True:
        # Listing makes a network disk ask its server again.
        if probe.parent.is_dir() and probe in probe.parent.iterdir():
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.2)


def _judge_seen(values: list[dict[str, Any]]) -> str:
    blind = [
        f'process {number} ({value["where"]})'
        for number, value in enumerate(values)
        if not value['sees']
    ]
    if not blind:
        return ''
    return (
        f'the workdir is not shared: {", ".join(blind)} did not see a file that '
        f'process 0 wrote in {values[0]["where"]}. Give --workdir a folder that all '
        'machines see, on a network disk, or a bucket: --workdir=gs://bucket/run.'
    )
