"""Packs a dataset's rows as launch.train would, and prints their folder.

    python -m launch.pack --config=configs/gpt2_lora.py \\
        --config.data.path=data/advice --config.model.pretrained=/path/to/gpt2

For machines that train without TensorFlow, and for hax_jax.train. Rows that are there
are used.
"""

from __future__ import annotations

from hax_jax.program import entry, later, results
from launch import shared_flags

with later.imports():
    from data_pipeline import pack
    from hax_jax.data import dataset_folder
    from hax_jax.runs import grown_base, origin

shared_flags.CONFIG.define()


def main() -> None:
    run = shared_flags.CONFIG.value()
    dataset_folder.read_manifest(run.data.path)  # before JAX is imported
    run, tokenizer_path = origin.resolve(grown_base.make(run))
    tokenizer = pack.load_tokenizer(run.data, run.tokenizer, path=tokenizer_path)
    folder = pack.ensure_packed(run.data, tokenizer)
    print(folder)
    results.give({'packed': folder})


if __name__ == '__main__':
    entry.run(main, prepare=shared_flags.CONFIG.check, in_one_process=True)
