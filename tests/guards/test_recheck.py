"""Bits planted between the two computations of a step's gradients are all found."""

import json
import pathlib
import random
from typing import Any

import forks
import jax
import numpy as np
import programs
import pytest
import test_rows
import tiny_runs

from hax_jax import errors
from hax_jax.data import records
from hax_jax.guards import recheck as recheck_lib
from hax_jax.model import param_tree
from hax_jax.training import run_setup, run_step
from hax_jax.training import train_state as ts

ROOT = pathlib.Path(__file__).parents[2]
PATHS = [ROOT / 'tests', *(ROOT / 'tests' / name for name in ('training', 'guards'))]


def flipped(tree: Any, chance: random.Random) -> tuple[Any, str, str]:
    """A copy with one other bit, in a random leaf, element and device: and where."""
    leaves, structure = jax.tree.flatten(tree)
    where = chance.randrange(len(leaves))
    parts = [shard.data for shard in leaves[where].addressable_shards]
    place = chance.randrange(len(parts))
    numbers = np.array(parts[place])
    bits = numbers.reshape(-1).view(np.uint32)
    bits[chance.randrange(bits.size)] ^= np.uint32(1 << chance.randrange(32))
    (device,) = parts[place].devices()
    parts[place] = jax.device_put(numbers, device)
    leaves[where] = jax.make_array_from_single_device_arrays(
        leaves[where].shape, leaves[where].sharding, parts
    )
    name = list(param_tree.named(tree))[where]
    return jax.tree.unflatten(structure, leaves), name, str(device)


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def twenty_flips(cache_path: str) -> None:
    """On a mesh: a healthy step, then a bit flipped twenty times; prints the errors."""
    run = tiny_runs.make_config(model__n_layer=1, model__n_embd=8, mesh__fsdp=2)
    setup = run_setup.prepare(run, records.open_cache(cache_path))
    chance, said = random.Random(0), []
    with jax.set_mesh(setup.mesh):
        state = ts.create(setup.blueprint, seed=0)
        batch = next(run_step.batches_of(setup))
        recheck = run_step.recheck_of(setup)
        recheck.check(100, state, batch)
        for _ in range(20):
            first = recheck.compute(state, batch)
            second, name, device = flipped(recheck.compute(state, batch), chance)
            with pytest.raises(errors.InputError) as error:
                recheck.compare(200, first, second)
            said.append((name, device, str(error.value)))
    print(json.dumps(said))


def test_twenty_flipped_bits_of_twenty_are_found_and_named(
    cache: records.PackedCache,
) -> None:
    done = forks.run(
        '-c',
        f'import test_recheck; test_recheck.twenty_flips({str(cache.path)!r})',
        **programs.devices(4),
        PYTHONPATH=':'.join(map(str, (ROOT, *PATHS))),
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == 20
    assert {device for _, device, _ in said} == {f'cpu:{n}' for n in range(4)}
    assert len({name for name, _, _ in said}) > 5
    for name, device, error in said:
        assert error.startswith(
            'step 200: its gradients were computed twice and are not the same on '
            f'device {device} (cpu) of process 0, in 1 of the numbers of {name}. That '
            'hardware computes wrong numbers. The step was not applied and nothing of '
            'it was saved. Step 100 was the last that gave the same bits: later '
            'checkpoints may be wrong too.'
        )


def test_a_device_that_errs_stops_the_run_and_nothing_of_the_step_is_saved(
    cache: records.PackedCache, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_runs.make_config(
        model__n_layer=1, model__n_embd=8, train__recheck_every_steps=4
    )
    compute, calls = recheck_lib.Recheck.compute, []

    def erring(self: recheck_lib.Recheck, *arguments: object) -> object:
        out = compute(self, *arguments)
        calls.append(out)
        # Steps 1 and 4 are checked; the last of their four computations errs.
        return flipped(out, random.Random(0))[0] if len(calls) == 4 else out

    test_rows.compute_little(monkeypatch)
    monkeypatch.setattr(recheck_lib.Recheck, 'compute', erring)
    with pytest.raises(errors.InputError, match=r'^step 4: .* not the same on device'):
        tiny_runs.train(cache, tmp_path, run)
    assert all(row['step'] < 4 for row in tiny_runs.lines(tmp_path, 'train'))
    saved = tmp_path / 'checkpoints'
    assert [path.name for path in saved.iterdir()] == []
