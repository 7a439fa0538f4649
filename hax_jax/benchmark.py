"""What a config costs on this machine: each part of a run timed on synthetic rows.

Each function gives plain numbers; launch/benchmark.py prints them. Times are of the
wall clock, the devices waited for.
"""

import collections.abc
import dataclasses
import pathlib
import resource
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hax_jax import (
    checkpoint,
    config,
    evaluate,
    files,
    fitting,
    generate,
    gpt2,
    input_pipeline,
    packing,
    preflight,
    prompts,
    records,
    text,
    throughput,
    train_step,
)
from hax_jax import mesh as mesh_lib
from hax_jax import train_state as ts

_MEDIAN_LENGTH = 300  # tokens of a pair, near that of real letters and answers
_SPREAD = 0.8  # of the lengths' logarithm
_NO_TOKENIZER = 'synthetic'


@dataclasses.dataclass(frozen=True)
class Spread:
    """Seconds of repeated runs."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, seconds: collections.abc.Sequence[float]) -> 'Spread':
        return cls(statistics.median(seconds), min(seconds), max(seconds))


def synthetic_cache(
    folder: pathlib.Path, run: config.Config, *, num_rows: int, whole_rows: bool
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


def matmul_flops(dtype: str, *, size: int, repeats: int) -> float:
    """FLOP/s of square matrix products in `dtype`: what a step can at most reach."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    jax.block_until_ready(product(a, a))
    seconds = [_seconds(lambda: product(a, a)) for _ in range(repeats)]
    return 2 * size**3 / min(seconds)


def step_flops(setup: preflight.Setup) -> float:
    """FLOPs of a train step on whole rows (throughput.py), padding counted too."""
    abstract, run = setup.blueprint.abstract, setup.run
    trained, frozen = (
        {name: tuple(leaf.shape) for name, leaf in ts.named(tree).items()}
        for tree in (abstract.params, abstract.frozen)
    )
    length = run.data.seq_len
    each = throughput.flops_per_token(
        trained, frozen, n_embd=run.model.n_embd, seq_len=length
    )
    return run.train.batch_size * length * each


class Training:
    """A run's compiled step and its state, on batches of its cache."""

    def __init__(self, setup: preflight.Setup, *, reader: str = 'numpy') -> None:
        self.setup = setup
        run = setup.run
        with jax.set_mesh(setup.mesh):
            self.state = ts.create(
                setup.blueprint,
                run.model,
                run.lora,
                setup.tx,
                compute_dtype=setup.compute_dtype,
                seed=0,
            )
            self._step = train_step.make_train_step(
                setup.blueprint,
                setup.tx,
                setup.schedule,
                mesh=setup.mesh,
                grad_accum_steps=run.train.grad_accum_steps,
                seed=0,
            )
            self._batches = batches(setup, reader=reader)
            jax.block_until_ready(self.state)
            self.compile_seconds = self.step()

    def step(self) -> float:
        """One step; its seconds."""
        batch = next(self._batches)

        def go() -> Any:
            self.state, metrics = self._step(self.state, batch)
            return metrics

        with jax.set_mesh(self.setup.mesh):
            return _seconds(go)


def batches(
    setup: preflight.Setup, *, reader: str
) -> collections.abc.Iterator[dict[str, jax.Array]]:
    return iter(
        input_pipeline.train_batches(
            setup.cache,
            sharding=mesh_lib.batch_sharding(setup.mesh),
            batch_size=setup.run.train.batch_size,
            seed=0,
            start_step=0,
            num_steps=10**9,
            reader=reader,
        )
    )


def time_evaluation(training: Training, *, repeats: int) -> tuple[Spread, float]:
    """(seconds of a whole validation split, its compile time)."""
    setup = training.setup
    step = train_step.make_eval_step(setup.blueprint, mesh=setup.mesh)
    run = setup.run.train

    def go() -> evaluate.Evaluation:
        return evaluate.evaluate(
            lambda batch: step(training.state.params, training.state.frozen, batch),
            setup.cache,
            'validation',
            sharding=mesh_lib.batch_sharding(setup.mesh),
            batch_size=run.batch_size // run.grad_accum_steps,
        )

    with jax.set_mesh(setup.mesh):
        first = _seconds(go)
        times = Spread.of([_seconds(go) for _ in range(repeats)])
    return times, max(first - times.median, 0.0)


def time_input(setup: preflight.Setup, *, reader: str, num_batches: int) -> float:
    """Batches a second that a reader gives, when nothing else is done."""
    stream = batches(setup, reader=reader)
    next(stream)
    begun = time.monotonic()
    for _ in range(num_batches):
        jax.block_until_ready(next(stream))
    return num_batches / (time.monotonic() - begun)


def time_checkpoint(
    training: Training, folder: pathlib.Path, *, repeats: int
) -> dict[str, Spread]:
    """Seconds to copy a state off the devices, to have it whole on disk, to restore."""
    blocked, whole, restored = [], [], []
    blueprint, step = training.setup.blueprint, int(training.state.step)
    for number in range(repeats):
        with checkpoint.Checkpoints(folder / str(number), keep_last=1) as checkpoints:
            begun = time.monotonic()
            checkpoints.save(training.state, validation_loss=None, metadata={})
            blocked.append(time.monotonic() - begun)
            checkpoints.wait()
            whole.append(time.monotonic() - begun)
            begun = time.monotonic()
            jax.block_until_ready(checkpoints.restore(step, blueprint))
            restored.append(time.monotonic() - begun)
    return {
        'blocked': Spread.of(blocked),
        'saved': Spread.of(whole),
        'restored': Spread.of(restored),
    }


def random_model(model: config.ModelConfig, *, dtype: str) -> gpt2.Gpt2:
    """A model of random weights, its vocabulary not padded."""
    model = dataclasses.replace(model, attention='xla', pad_vocab_to_multiple_of=1)

    def make(key: jax.Array) -> gpt2.Gpt2:
        return gpt2.Gpt2(model, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(key))

    graphdef = nnx.split(nnx.eval_shape(lambda: make(jax.random.key(0))))[0]
    state = jax.jit(lambda key: nnx.state(make(key)))(jax.random.key(0))
    return nnx.merge(graphdef, state)


class _Ids:
    """Stands for a tokenizer where nothing is text, and no token ends an answer."""

    eos_id = -1
    num_replaced = 0
    fingerprint = _NO_TOKENIZER

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def encode(self, texts: collections.abc.Sequence[str]) -> list[list[int]]:
        raise NotImplementedError

    def decode(self, ids: collections.abc.Sequence[int]) -> str:
        return str(len(ids))

    def save(self, folder: pathlib.Path) -> None:
        raise NotImplementedError


class Generation:
    """A model of random weights that answers random prompts, greedily."""

    def __init__(
        self,
        model: gpt2.Gpt2,
        *,
        batch_size: int,
        prompt_tokens: int,
        new_tokens: int,
    ) -> None:
        rng = np.random.default_rng(0)
        vocab = model.model.vocab_size
        ids = rng.integers(0, vocab, (batch_size, prompt_tokens)).tolist()
        self._generator = generate.Generator(
            model, _Ids(vocab), mesh=mesh_lib.make_mesh(config.MeshConfig())
        )
        self._fitted = fitting.Fitted(
            [prompts.Question(str(i), '', str(i)) for i in range(batch_size)],
            [text.Prompt(row, 0) for row in ids],
            [[] for _ in ids],
            [],
        )
        self._settings = config.SamplingConfig(
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


def _seconds(go: collections.abc.Callable[[], Any]) -> float:
    begun = time.monotonic()
    jax.block_until_ready(go())
    return time.monotonic() - begun
