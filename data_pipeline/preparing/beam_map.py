"""A function over items in an Apache Beam pipeline, its results in the items' order.

Results come back as one JSON file an item, written whole, in a folder that the workers
share with this process; `worker_map` does the same in processes of this machine.
"""

import json
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from data_pipeline.preparing import beam_pipeline
from hax_jax import errors
from hax_jax.data import records

Item = TypeVar('Item')
Result = TypeVar('Result')


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    options: beam_pipeline.Options,
    beside: pathlib.Path,
    encode: Callable[[Result], Any],
    decode: Callable[[Any], Result],
) -> Iterator[Result]:
    """`function` of each item, computed by Beam, in the order of the items.

    The pipeline has run to its end before the first result is given. `function` and the
    items travel in the pipeline's own description, all of them; `encode` gives a result
    as JSON's types, `decode` gives it back.
    Each result is read when it is asked for, so one is in memory at a time.

    Raises:
      InputError: Beam is not there, its pipeline failed, an item's result is missing,
        or `function` raised one (that of the earliest item, with its own message).
    """
    beam = beam_pipeline.imported()
    file_systems = beam.io.filesystems.FileSystems
    with beam_pipeline.work_folder(options, beside=beside) as folder:
        elements = list(enumerate(items))
        if not elements:
            return
        task = _Task(function, encode, folder)
        with (
            beam_pipeline.named_errors('preparing the pairs'),
            beam.Pipeline(options=beam_pipeline.parsed(options)) as pipeline,
        ):
            _ = (
                pipeline
                | 'Items' >> beam.Create(elements)
                | 'Spread' >> beam.Reshuffle()
                | 'Apply' >> beam.Map(task)
            )
        for ordinal in range(len(elements)):
            yield decode(_read(file_systems, _path(folder, ordinal)))


class _Task:
    """One element's work, as it is pickled for the workers."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        encode: Callable[[Any], Any],
        folder: str,
    ) -> None:
        self._function = function
        self._encode = encode
        self._folder = folder

    def __call__(self, element: tuple[int, Any]) -> int:
        ordinal, item = element
        file_systems = beam_pipeline.imported().io.filesystems.FileSystems
        try:
            result = {'value': self._encode(self._function(item))}
        except errors.InputError as error:
            # What the user got wrong is no failure of the pipeline, to be tried again.
            result = {'error': str(error)}
        # A runner may give one element to two workers: each writes a file of its own,
        # and whichever is renamed last holds the same bytes.
        path = _path(self._folder, ordinal)
        temporary = f'{path}.{uuid.uuid4().hex}'
        with file_systems.create(temporary) as file:
            file.write(records.canonical_json(result).encode())
        file_systems.rename([temporary], [path])
        return ordinal


def _path(folder: str, ordinal: int) -> str:
    return f'{folder}/result-{ordinal:08}.json'


def _read(file_systems: Any, path: str) -> Any:
    """The value in a result's file.

    Raises:
      InputError: it is not there, or what it holds is an error of the function's.
    """
    if not file_systems.exists(path):
        raise errors.InputError(
            f'the Beam pipeline ended without {path}; give --beam_folder a folder that '
            'this machine and all workers share, or look in the log of the runner.'
        )
    with file_systems.open(path) as file:
        result = json.loads(file.read())
    if 'error' in result:
        raise errors.InputError(result['error'])
    return result['value']
