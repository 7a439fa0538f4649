"""What launch.export is asked to write, and what each format accepts."""

import dataclasses
import re
from collections.abc import Iterator

# Format -> what it may store weights in.
DTYPES = {
    'hf': ('float32', 'float16', 'bfloat16'),
    'merged': ('float32', 'float16', 'bfloat16'),
    'peft': ('float32',),
    'gguf': ('float32', 'float16', 'bfloat16', 'q8_0'),
}
_IN_SHARDS = ('hf', 'merged')
_SHARD_SIZE = '5GB'


@dataclasses.dataclass(frozen=True)
class Request:
    """The folder's format, the weights' type, and what the card says.

    `format` is 'hf' (all parameters of a run that trained all), 'merged' (all of a LoRA
    run, adapters merged), 'peft' (a LoRA run's adapter) or 'gguf' (all parameters, for
    llama.cpp). A model over `max_shard_size` is written as several files.
    """

    format: str
    dtype: str = 'float32'
    max_shard_size: str = _SHARD_SIZE
    license: str = ''

    def conflicts(self) -> Iterator[str]:
        """A sentence for each value that is not accepted."""
        if self.format not in DTYPES:
            given = (
                f'={self.format!r} is not accepted' if self.format else ' is missing'
            )
            yield f'--format{given}; use one of {", ".join(DTYPES)}.'
            return
        if self.dtype not in DTYPES[self.format]:
            yield (
                f'--dtype={self.dtype} is not accepted with --format={self.format}; '
                f'use one of {", ".join(DTYPES[self.format])}.'
            )
        if self.format not in _IN_SHARDS and self.max_shard_size != _SHARD_SIZE:
            yield (
                f'--max_shard_size is for {" and ".join(_IN_SHARDS)}; '
                f'--format={self.format} is one file. Leave it out.'
            )
        if not re.fullmatch(r'\d+ ?[KMGT]B', self.max_shard_size):
            yield (
                f'--max_shard_size={self.max_shard_size} is no size; give one such as '
                '500MB or 5GB.'
            )
