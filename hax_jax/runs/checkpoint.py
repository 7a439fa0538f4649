"""Orbax's asynchronous checkpoints. Its moving API is confined to this file.

`<folder>/<step>/` holds two trees, each a flat dictionary of dotted names: `params`
(the trained parameters: all of them, or the adapters) and `optimizer`. The metadata of
a step is the caller's dictionary.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from hax_jax import errors
from hax_jax.model import param_tree

PARAMS, OPTIMIZER = 'params', 'optimizer'
_LOSS = 'validation_loss'


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """A checkpoint that is whole; `validation_loss` is None if it was not evaluated."""

    step: int
    validation_loss: float | None


class Checkpoints:
    """One run's checkpoints, written in the background. Close it, or use `with`."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        keep_last: int = 1,
        keep_best: int = 0,
        read_only: bool = False,
    ) -> None:
        """Opens `folder`. To write, it is made, and what a killed save left goes."""
        policies = ocp.training.preservation_policies
        self.folder = folder
        self._keep_best = keep_best
        self._running: Any = None
        self._checkpointer = ocp.training.Checkpointer(
            folder.absolute(),
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(
                1
            ),
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(keep_last),
                    policies.BestN(
                        get_metric_fn=lambda metrics: -metrics[_LOSS],
                        n=keep_best,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            cleanup_tmp_directories=not read_only,
        )

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the save that is running, whose failure is raised here."""
        self._checkpointer.close()

    def steps(self) -> list[StepInfo]:
        """The checkpoints that are whole, oldest first."""
        return [
            StepInfo(saved.step, (saved.metrics or {}).get(_LOSS))
            for saved in self._checkpointer.checkpoints
        ]

    def among_best(self, validation_loss: float) -> bool:
        """Whether a checkpoint of this loss would be one of the `keep_best` kept."""
        self.wait()
        known = [saved.validation_loss for saved in self.steps()]
        better = sum(loss is not None and loss <= validation_loss for loss in known)
        return better < self._keep_best

    def save(
        self,
        step: int,
        trees: dict[str, Any],
        *,
        validation_loss: float | None = None,
        metadata: dict[str, Any],
    ) -> None:
        """Starts to save trees of arrays under a step, once an earlier save has ended.

        `trees` are PARAMS, and OPTIMIZER where there is one. Their arrays may be
        donated as soon as this returns.

        Raises:
          RuntimeError: Orbax declined to save.
        """
        self.wait()
        response = self._checkpointer.save_checkpointables_async(
            step,
            {name: param_tree.named(tree) for name, tree in trees.items()},
            force=True,
            metrics=None if validation_loss is None else {_LOSS: validation_loss},
            custom_metadata=metadata,
        )
        if response is None:
            raise RuntimeError(f'Orbax declined to save step {step} in {self.folder}.')
        self._running = response

    def wait(self) -> None:
        """Waits for the save that is running; raises what made it fail."""
        if self._running is not None:
            self._running.result()
            self._running = None

    def metadata(self, step: int) -> dict[str, Any]:
        """The metadata that the caller stored with a step."""
        with _named_failure(self.folder, step):
            return self._checkpointer.checkpointables_metadata(step).custom_metadata

    def restore(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        """The trees of a step, each device reading its own part of each array.

        `abstract` has a tree of ShapeDtypeStructs with shardings for each that is
        wanted: {PARAMS: ..., OPTIMIZER: ...}.

        Raises:
          InputError: names every tensor that is missing, extra or misshapen.
        """
        wanted = {name: param_tree.named(tree) for name, tree in abstract.items()}
        loaded = self._load(step, wanted)
        return {
            name: param_tree.like(tree, loaded[name]) for name, tree in abstract.items()
        }

    def load_parameters(
        self, step: int, shapes: dict[str, tuple[int, ...]]
    ) -> dict[str, np.ndarray]:
        """The trained parameters of a step on this host: dotted name -> array.

        Raises:
          InputError: names every tensor that is missing, extra or misshapen.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        wanted = {
            name: jax.ShapeDtypeStruct(shape, np.float32, sharding=device)
            for name, shape in shapes.items()
        }
        loaded = self._load(step, {PARAMS: wanted})[PARAMS]
        return {name: np.asarray(array) for name, array in loaded.items()}

    def _load(self, step: int, wanted: dict[str, dict[str, Any]]) -> dict[str, Any]:
        # Orbax pads or cuts an array of another shape in silence, so look first.
        with _named_failure(self.folder, step):
            stored = self._checkpointer.checkpointables_metadata(step).metadata
            found = {
                part: {name: tuple(leaf.shape) for name, leaf in stored[part].items()}
                for part in wanted
            }
        problems = []
        for part, leaves in wanted.items():
            for name in sorted(leaves.keys() - found[part].keys()):
                problems.append(f'{part}: {name} is missing')
            for name in sorted(found[part].keys() - leaves.keys()):
                problems.append(f'{part}: {name} is extra')
            problems += [
                f'{part}: {name} has shape {found[part][name]}, wanted {leaf.shape}'
                for name, leaf in leaves.items()
                if name in found[part] and found[part][name] != tuple(leaf.shape)
            ]
        if problems:
            raise errors.InputError(
                f'checkpoint {self.folder / str(step)} is of another model or '
                'optimizer:\n' + '\n'.join(problems)
            )
        with _named_failure(self.folder, step):
            return self._checkpointer.load_checkpointables(step, wanted)


@contextlib.contextmanager
def _named_failure(folder: pathlib.Path, step: int) -> Iterator[None]:
    """Turns what Orbax raises on a damaged checkpoint into one error that names it."""
    path = folder / str(step)
    if not path.is_dir():
        have = sorted(int(p.name) for p in folder.glob('*') if p.name.isdigit())
        raise errors.InputError(
            f'there is no checkpoint {path}; the steps of this run are {have}.'
        )
    try:
        yield
    except Exception as error:  # Orbax raises many kinds
        raise errors.InputError(
            f'checkpoint {path} is damaged: delete that folder to go on from the '
            'checkpoint before it, or name another --step. Orbax said: '
            + str(error).split('\n')[0][:200]
        ) from error
