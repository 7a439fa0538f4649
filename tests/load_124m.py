"""Times how the 124M is loaded, and how much memory that takes; a script, no test.

    PYTHONPATH=. python tests/load_124m.py

Writes random weights in each format that can be written here (.bin needs torch), and
loads each in a process of its own. Memory is the peak of resident pages over that after
imports, beside the 498 MB that the model has in float32.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import ml_dtypes
import numpy as np
import safetensors.numpy
from flax import serialization

from hax_jax.config import schema
from hax_jax.formats import hf_folder
from hax_jax.model import naming

SIZES = schema.ModelConfig(
    n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
)
DTYPES = {'float32': np.float32, 'float16': np.float16, 'bfloat16': ml_dtypes.bfloat16}
FILES = {
    'safetensors': 'model.safetensors',
    'msgpack': 'flax_model.msgpack',
    'bin': 'pytorch_model.bin',
}


def write(file: pathlib.Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(0, 0.1, shape).astype(dtype)
        for name, shape in naming.parameter_shapes(SIZES).items()
    }
    if file.suffix == '.msgpack':
        tree: dict[str, object] = {}
        for name, array in arrays.items():
            *path, last = naming.hugging_face_flax(name).split('/')
            inner = tree
            for key in path:
                inner = inner.setdefault(key, {})
            inner[last] = array.T if last == 'kernel' else array
        file.write_bytes(serialization.msgpack_serialize(tree))
        return
    arrays = {naming.hugging_face(name): array for name, array in arrays.items()}
    if file.suffix == '.safetensors':
        safetensors.numpy.save_file(arrays, file)
        return
    import torch

    kind = getattr(torch, np.dtype(dtype).name)
    torch.save(
        {n: torch.tensor(a.astype(np.float32)).to(kind) for n, a in arrays.items()},
        file,
    )


def memory(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process, in bytes."""
    status = pathlib.Path('/proc/self/status').read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def load(folder: pathlib.Path) -> None:
    if (folder / FILES['bin']).exists():
        import torch  # noqa: F401 (its import is not the model's memory)
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    before, begun = memory('VmRSS'), time.monotonic()
    parameters = hf_folder.read_parameters(folder, hf_folder.read_model_config(folder))
    seconds = time.monotonic() - begun
    peak = memory('VmHWM') - before
    size = sum(array.nbytes for array in parameters.values())
    print(f'{seconds:.1f} s, {peak / 1e6:.0f} MB, {peak / size:.2f} of the model')


def main() -> None:
    for dtype, kind in itertools.product(DTYPES, FILES):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            values = {'model_type': 'gpt2'}  # whose other fields are the 124M's
            (folder / 'config.json').write_text(json.dumps(values))
            try:
                write(folder / FILES[kind], DTYPES[dtype])
            except ImportError as error:
                print(f'{dtype:9} {kind:12} not here: {error}')
                continue
            child = [sys.executable, __file__, str(folder)]
            out = subprocess.run(child, capture_output=True, text=True, check=True)
            print(f'{dtype:9} {kind:12} {out.stdout.strip()}', flush=True)


if __name__ == '__main__':
    load(pathlib.Path(sys.argv[1])) if sys.argv[1:] else main()
