"""Runs without data, to be timed: synthetic rows to train on, random prompts to answer.

measures.py times them, and parts.py makes the figures that launch.benchmark prints.
"""

import concurrent.futures
import dataclasses
import pathlib
import resource
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from hax_jax import errors, files
from hax_jax.benchmark import measures
from hax_jax.config import published, schema
from hax_jax.data import packing, records, text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import abstract, gpt2
from hax_jax.runs import origin
from hax_jax.sampling import generation, prompt_fitting, prompts
from hax_jax.training import run_setup, run_step, train_step
from hax_jax.training import train_state as ts

_MEDIAN_LENGTH = 300  # tokens of a pair, near that of real letters and answers
_SPREAD = 0.8  # of the lengths' logarithm
_NO_TOKENIZER = 'synthetic'


def with_sizes(run: schema.Config) -> schema.Config:
    """The run with random weights of its model's sizes, and no pretrained model.

    Raises:
      InputError: nothing says how large the vocabulary is.
    """
    name = run.model.pretrained
    model = run.model
    sized = published.sized(model)
    if sized and not pathlib.Path(name).exists():
        model = sized
    elif name:
        model = origin.resolve(run)[0].model
    # A tokenizer that is trained with the run has the size that is asked of it.
    trained = run.tokenizer.vocab_size if run.tokenizer.path == 'train' else 0
    vocab = model.vocab_size or trained
    if not vocab:
        raise errors.InputError(
            'model.vocab_size=0: no tokenizer is read here that would give it; set '
            '--config.model.vocab_size=50257, say.'
        )
    model = dataclasses.replace(model, vocab_size=vocab, pretrained='')
    return dataclasses.replace(run, model=model)


def synthetic_cache(
    folder: pathlib.Path, run: schema.Config, *, num_rows: int, whole_rows: bool
) -> records.PackedCache:
    """A packed cache of random ids: `num_rows` rows or a few more in each split.

    Pairs have the lengths of letters and answers; with `whole_rows` each fills a row,
    as in benchmarks of other trainers.
    """
    length, vocab = run.data.seq_len, run.model.vocab_size
    rng = np.random.default_rng(0)
    pairs, total = [], 0
    while total < num_rows * length:
        drawn = int(rng.lognormal(np.log(_MEDIAN_LENGTH), _SPREAD))
        size = length + 1 if whole_rows else min(max(drawn, 8), length + 1)
        ids = rng.integers(0, vocab, size).astype(np.int32)
        half = size // 2
        pairs.append(
            records.TokenizedPair(
                ordinal=len(pairs),
                id=str(len(pairs)),
                source='synthetic',
                ids=ids,
                prompt_length=half,
                question_bytes=4 * (half - 1),
                answer_bytes=4 * (size - half),
            )
        )
        total += size
    split = packing.pack(
        pairs, seq_len=length, question_weight=run.data.question_weight
    )
    splits = dict.fromkeys(records.SPLITS, split)
    meta = {
        'tokenizer': _NO_TOKENIZER,
        'template': text.TEMPLATE_VERSION,
        'seq_len': length,
        'splits': dict.fromkeys(splits, packing.count_positions(split)),
        'vocab_size': vocab,
        'eos_id': 0,
    }
    with files.new_folder(folder) as new:
        (new / 'tokenizer').mkdir()
        records.write_cache(new, splits, meta)
    return records.open_cache(folder)


class Training:
    """A run's compiled step and its state, on batches of its cache."""

    def __init__(self, setup: run_setup.Setup, *, reader: str = 'numpy') -> None:
        self.setup = setup
        with (
            jax.set_mesh(setup.mesh),
            concurrent.futures.ThreadPoolExecutor(1) as beside,
        ):
            making = beside.submit(measures.timed, lambda: run_step.step_of(setup))
            self.state = ts.create(setup.blueprint, seed=0)
            self._batches = measures.batches(setup, reader=reader)
            batch = next(self._batches)
            (_, step), self.compile_seconds = making.result()
            if isinstance(step, jax.stages.Lowered):
                jax.block_until_ready(self.state)
                lowered = step
                step, seconds = measures.timed(
                    lambda: train_step.compiled(lowered, setup.mesh)
                )
                self.compile_seconds += seconds
            self._step: Any = step
        self._trained(batch)

    def step(self) -> float:
        """One step; its seconds."""
        return self._trained(next(self._batches))

    def _trained(self, batch: dict[str, jax.Array]) -> float:
        def go() -> Any:
            self.state, metrics = self._step(self.state, batch)
            return metrics

        with jax.set_mesh(self.setup.mesh):
            return measures.seconds_of(go)


def random_model(model: schema.ModelConfig, *, dtype: str) -> gpt2.Gpt2:
    """A model of random weights, its vocabulary not padded."""
    model = dataclasses.replace(model, attention='xla', pad_vocab_to_multiple_of=1)

    def make(key: jax.Array) -> gpt2.Gpt2:
        return abstract.build(model, schema.LoraConfig(), compute_dtype=dtype, key=key)

    graphdef = nnx.split(nnx.eval_shape(lambda: make(jax.random.key(0))))[0]
    state = jax.jit(lambda key: nnx.state(make(key)))(jax.random.key(0))
    return nnx.merge(graphdef, state)


class _Ids:
    """Stands for a tokenizer where nothing is text, and no token ends an answer."""

    eos_id = -1

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def decode(self, ids: Sequence[int]) -> str:
        return ' '.join(map(str, ids))


class Generation:
    """A model of random weights that answers random prompts, greedily."""

    def __init__(
        self, model: gpt2.Gpt2, *, batch_size: int, prompt_tokens: int, new_tokens: int
    ) -> None:
        rng = np.random.default_rng(0)
        vocab = model.model.vocab_size
        ids = rng.integers(0, vocab, (batch_size, prompt_tokens)).tolist()
        self._generator = generation.Generator(
            model, _Ids(vocab), mesh=mesh_lib.make_mesh(schema.MeshConfig())
        )
        self._fitted = prompt_fitting.Fitted(
            [prompts.Question(str(i), '', str(i)) for i in range(batch_size)],
            [text.Prompt(row, 0) for row in ids],
            [[] for _ in ids],
            [],
        )
        self._settings = schema.SamplingConfig(
            max_new_tokens=new_tokens, temperature=0.0
        )
        self._batch_size = batch_size
        self.compile_seconds = self.run()

    def run(self) -> float:
        """All answers; their seconds."""
        begun = time.monotonic()
        samples = list(
            self._generator.samples(
                self._fitted, self._settings, batch_size=self._batch_size
            )
        )
        seconds = time.monotonic() - begun
        wanted = self._settings.max_new_tokens
        assert all(sample.num_tokens == wanted for sample in samples)
        return seconds


def peak_memory() -> int:
    """Bytes: the first device's peak, or on a CPU the most this process has held."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if 'peak_bytes_in_use' in stats:
        return int(stats['peak_bytes_in_use'])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
