"""A trace of a few steps by JAX's profiler."""

import collections
import pathlib
import re
import shlex
import tempfile
from typing import Any

import jax

from hax_jax import places
from hax_jax.config import schema

FOLDER = 'profile'  # in the workdir


def folder(workdir: pathlib.Path) -> pathlib.Path:
    """Where a run's traces lie: in its folder, or of a run at gs:// on this machine."""
    if places.is_remote(workdir):
        return pathlib.Path(tempfile.gettempdir(), f'{FOLDER}-{workdir.name}')
    return workdir / FOLDER


class Profiler:
    """Traces the steps that `text` names ('' none) into `folder`."""

    def __init__(self, text: str, folder: pathlib.Path) -> None:
        """Of '10:13', the three updates that lead from step 10 to step 13."""
        self._first, self._last = schema.profile_range(text) or (-1, -1)
        self._folder = folder
        self._running = False

    def missed(self, step: int) -> str:
        """What to say where a call goes on from a step behind the first; '' if nothing.

        A trace of an earlier call is what was asked for.
        """
        if not 0 <= self._first < step or any(self._folder.rglob('*.xplane.pb')):
            return ''
        return (
            f'train.profile_steps: step {self._first} was made by an earlier call, so '
            'no profile is written; name steps to come'
        )

    def at(self, step: int, computed: Any) -> str:
        """Call it after each step and before the first; says what it wrote, or ''.

        `computed` are the step's results: the trace begins and ends when they are
        ready, so it holds the named steps and no others.
        """
        if step == self._first:
            jax.block_until_ready(computed)
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif step == self._last and self._running:
            jax.block_until_ready(computed)
            return self.close()
        return ''

    def close(self) -> str:
        """Ends a trace that is running, whole or not; says where it lies, or ''."""
        if not self._running:
            return ''
        self._running = False
        jax.profiler.stop_trace()
        traces = sorted(self._folder.rglob('*.trace.json.gz'))
        where = traces[-1] if traces else self._folder
        return (
            f'profile of the steps from {self._first} on: open {where} at '
            f'https://ui.perfetto.dev, or `pip install xprof` and run '
            f'`xprof --logdir={shlex.quote(str(self._folder))}`'
        )


def costliest(folder: pathlib.Path, *, count: int) -> dict[str, float]:
    """The costliest operations of a trace: operation -> its share of the devices' time.

    Operations are XLA's, those that differ by their number alone taken together:
    fusion.12 and fusion.7 are 'fusion'. Of several traces in `folder`, the last.
    """
    (*_, path) = sorted(folder.rglob('*.xplane.pb'))
    spent: collections.Counter[str] = collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        for line in plane.lines:
            for event in line.events:
                operation = dict(event.stats).get('hlo_op')
                if operation:
                    name = re.sub(r'[.\d]+$', '', str(operation))
                    spent[name] += event.duration_ns
    total = sum(spent.values())
    return {name: time / total for name, time in spent.most_common(count)}
