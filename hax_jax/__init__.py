"""hax_jax from Python: train a run, sample from it, take its parameters elsewhere.

    import hax_jax
    from hax_jax.config import schema

    run = schema.Config(data=schema.DataConfig(path='data/advice'), ...)
    hax_jax.train(run, packed='data/advice/packed/KEY', workdir='runs/full')
    for answer in hax_jax.sample('runs/full', ['My mother-in-law ...']):
        print(answer.text)
    parameters = hax_jax.restore('runs/full')

Where to start reading: training/train_loop.py for the loop, training/train_step.py for
the step, model/gpt2.py for the model, data/packing.py for the rows, config/schema.py
for every setting. Each folder's __init__.py says what comes in and what goes out.
"""

from collections.abc import Sequence
from typing import Any


def train(
    run: Any,
    packed: str,
    workdir: str,
    *,
    allow_change: Sequence[str] = (),
    base: str = '',
    restart: bool = False,
) -> Any:
    """Starts a run in `workdir`, or goes on with the one that is there.

    `run` is a `config.schema.Config`; `packed` is the folder of packed rows that
    data_pipeline.pack prints. With `restart` the files of an old run are moved aside,
    and the run begins anew. Returns a `training.run_summary.Summary`.

    Raises:
      InputError: config, rows and workdir do not fit together.
      FloatingPointError: a step was bad, or training has diverged
        (`guards.stops.StoppedError`); what is saved is good.
    """
    from hax_jax import local_copy, places
    from hax_jax.data import records, text
    from hax_jax.devices import runtime
    from hax_jax.runs import origin
    from hax_jax.training import run_setup, starting, train_loop

    runtime.start()
    cache = records.open_cache(local_copy.folder(packed))
    cache.verify()
    resolved, _ = origin.resolve(run)
    tokenizer = text.of_cache(cache)
    folder = places.path(workdir)
    places.check(folder)
    setup = run_setup.prepare(
        origin.with_vocab(resolved, tokenizer),
        cache,
        begin=None if restart else starting.progress(folder),
    )
    return train_loop.train(
        setup, folder, allow_change=list(allow_change), base=base, restart=restart
    )


def sample(
    workdir: str,
    letters: Sequence[str],
    *,
    step: int | None = None,
    base: str = '',
    settings: Any = None,
    num_samples: int = 1,
    batch_size: int = 8,
) -> list[Any]:
    """Answers to letters, `num_samples` each, in the order of the letters.

    The model is a run's at `step`, else at its best step. `settings` is a
    `config.schema.SamplingConfig`. Returns `sampling.generation.Sample`s.

    Raises:
      InputError: there is no such run or step, or a letter is empty.
    """
    from hax_jax.config import schema
    from hax_jax.devices import mesh, runtime
    from hax_jax.runs import restore as run_restore
    from hax_jax.sampling import generation, prompt_fitting, prompts

    runtime.start()
    settings = settings or schema.SamplingConfig()
    on = mesh.make_mesh(schema.MeshConfig())
    loaded = run_restore.load(
        workdir, step=step, base=base, mesh=on if on.size > 1 else None
    )
    fitted = prompt_fitting.fit(
        prompts.from_texts(letters).questions,
        loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
        max_new_tokens=settings.max_new_tokens,
    )
    generator = generation.Generator(loaded.model, loaded.tokenizer, mesh=on)
    return list(
        generator.samples(
            fitted, settings, num_samples=num_samples, batch_size=batch_size
        )
    )


def restore(
    workdir: str,
    *,
    step: int | None = None,
    base: str = '',
    adapter_only: bool = False,
    mesh: Any = None,
) -> dict[str, Any]:
    """A run's parameters: dotted name -> float32 array; see `runs.restore.parameters`.

    All parameters with adapters merged, or `adapter_only`; numpy arrays, or jax Arrays
    sharded over `mesh`.

    Raises:
      InputError: there is no such run or step, or its base is not what it was.
    """
    from hax_jax.runs import restore as run_restore

    return run_restore.parameters(
        workdir, step=step, base=base, adapter_only=adapter_only, mesh=mesh
    )
