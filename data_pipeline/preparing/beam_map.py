"""A function over items in an Apache Beam pipeline, its results in the items' order.

Each result is one JSON file, written whole, in a folder that the workers share with
this process. `worker_map` does the same in processes of this machine.
"""

import functools
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from data_pipeline.preparing import beam_pipeline
from hax_jax import errors

Item = TypeVar('Item')
Result = TypeVar('Result')


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    result_type: type[Result],
    options: beam_pipeline.Options,
    beside: pathlib.Path,
) -> Iterator[Result]:
    """`function` of each item, computed by Beam, in the order of the items.

    Runs the pipeline to its end before the first result; then reads one result at a
    time. The pipeline's own description holds the function and all items. The results
    travel as JSON: `result_type` is a type that msgspec knows, such as a dataclass.

    Raises:
      InputError: Beam is not installed, its pipeline failed, a result is missing, or
        `function` raised an InputError (then that of the earliest item).
    """
    beam = beam_pipeline.imported()
    with beam_pipeline.work_folder(options, beside=beside) as folder:
        elements = list(enumerate(items))
        if not elements:
            return
        with (
            beam_pipeline.named_errors('preparing the pairs'),
            beam.Pipeline(options=beam_pipeline.parsed(options)) as pipeline,
        ):
            _ = (
                pipeline
                | 'Items' >> beam.Create(elements)
                | 'Spread' >> beam.Reshuffle()
                | 'Apply' >> beam.Map(functools.partial(_apply, function, folder))
            )
        for ordinal in range(len(elements)):
            yield _read(_path(folder, ordinal), result_type)


def _apply(
    function: Callable[[Any], Any], folder: str, element: tuple[int, Any]
) -> int:
    """Writes the result of one element, in a worker."""
    ordinal, item = element
    file_systems = beam_pipeline.imported().io.filesystems.FileSystems
    try:
        result = {'value': function(item)}
    except errors.InputError as error:
        # Beam would retry a failure; an error in the user's input stays an error.
        result = {'error': str(error)}
    # A runner may give one element to two workers: each writes its own file, and the
    # last rename leaves the same bytes as the first.
    path = _path(folder, ordinal)
    temporary = f'{path}.{uuid.uuid4().hex}'
    with file_systems.create(temporary) as file:
        file.write(msgspec.json.encode(result))
    file_systems.rename([temporary], [path])
    return ordinal


def _path(folder: str, ordinal: int) -> str:
    return f'{folder}/result-{ordinal:08}.json'


def _read(path: str, result_type: type[Result]) -> Result:
    """The result in a file.

    Raises:
      InputError: the file is missing, or holds the message of the function's own.
    """
    file_systems = beam_pipeline.imported().io.filesystems.FileSystems
    if not file_systems.exists(path):
        raise errors.InputError(
            f'the Beam pipeline ended without {path}; give --beam_folder a folder that '
            'this machine and all workers share, or look in the log of the runner.'
        )
    with file_systems.open(path) as file:
        return decoded(file.read(), result_type)


def decoded(text: bytes, result_type: type[Result]) -> Result:
    """The result that `_apply` wrote; raises InputError for an error's message."""
    found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if 'error' in found:
        raise errors.InputError(msgspec.json.decode(found['error']))
    # msgspec has no Counter: it decodes a dict, which the hook converts.
    return msgspec.json.decode(
        found['value'], type=result_type, dec_hook=lambda kind, value: kind(value)
    )
