"""A config file: Python with a function `get_config()` that returns the draft."""

import importlib.machinery
import importlib.util
import pathlib
import traceback
from typing import Any

import ml_collections

from hax_jax import errors


def load(
    file: str, *, what: str, example: str, draft: str
) -> ml_collections.ConfigDict:
    """What `get_config()` of a config file returns; `file.py:text` gives it `text`.

    Messages name what such a file says, one that the project has, beside which the
    others lie, and the function whose draft a file changes.

    Raises:
      InputError: none is given or there, it does not run, or it returns another
        thing.
    """
    if not file:
        raise errors.InputError(
            f'--config is missing; give the file that says {what}, e.g. '
            f'--config={example}.'
        )
    path, colon, text = file.partition(':')
    if not pathlib.Path(path).is_file():
        there = sorted(str(p) for p in pathlib.Path(example).parent.glob('*.py'))
        raise errors.InputError(
            f'--config={path} is not a file; give one such as '
            f'{", ".join(there) or example}.'
        )
    spec = importlib.util.spec_from_loader(
        'config_file', importlib.machinery.SourceFileLoader('config_file', path)
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, 'get_config', None)):
            raise errors.InputError(
                f'--config={path} has no function get_config(); give it one that '
                f'returns {draft}() with its changes.'
            )
        made = module.get_config(*([text] if colon else []))
    except errors.InputError:
        raise
    except Exception as error:  # whatever a file may raise: the cause is in that file
        raise errors.InputError(
            f'--config={path} does not load: {_place(error, path)}'
            f'{type(error).__name__}: {error}. Mend the file.'
        ) from error
    if not isinstance(made, ml_collections.ConfigDict):
        raise errors.InputError(
            f'--config={path}: get_config() returns a {type(made).__name__}; it must '
            f'return {draft}() with its changes.'
        )
    strange = [name for name, section in made.items() if not _is_section(section)]
    if strange:
        raise errors.InputError(
            f'--config={path}: {", ".join(strange)} of get_config() is not a section; '
            f'start from {draft}() and change its fields.'
        )
    return made


def _is_section(value: Any) -> bool:
    return isinstance(value, ml_collections.ConfigDict)


def _place(error: Exception, path: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f'line {lines[-1]}: ' if lines else ''
