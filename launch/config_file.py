"""The config files that say what to train."""

import ml_collections

from hax_jax.program import config_file


def load(file: str) -> ml_collections.ConfigDict:
    """What `get_config()` of the file returns.

    Raises:
      InputError: none is given or there, it does not run, or it returns another
        thing.
    """
    return config_file.load(
        file, what='what to train', example='configs/gpt2_full.py', draft='config.draft'
    )
