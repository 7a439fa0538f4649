"""hax_jax from Python: train a run, ask it, score it, take its parameters elsewhere.

    import hax_jax
    from hax_jax.config import schema

    config = schema.Config(
        data=schema.DataConfig(path='data/advice'),
        model=schema.ModelConfig(pretrained='gpt2'),
        train=schema.TrainConfig(num_steps=500),
    )
    hax_jax.train(config, 'runs/full')
    for answer in hax_jax.sample('runs/full', ['My mother-in-law ...']):
        print(answer.text)
    print(hax_jax.evaluate('runs/full'))
    parameters = hax_jax.restore('runs/full')

`help(hax_jax.train)` and so on give a page each; launch/first_run.ipynb calls all four.
`hax pack` packs a dataset first, which `train` and `evaluate` read.

Where to start reading: training/train_loop.py for the loop, training/train_step.py for
the step, model/gpt2.py for the model, data/packing.py for the rows, config/schema.py
for every setting. Each folder's __init__.py says what comes in and what goes out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def train(
    config: Any,
    workdir: str,
    *,
    packed: str = '',
    allow_change: Sequence[str] = (),
    base: str = '',
    restart: bool = False,
) -> Any:
    """Starts a run in `workdir`, or goes on with the one that is there.

    The same call after a stop goes on from the newest checkpoint, bit for bit on the
    same kind of machine. Ctrl-C (a notebook's "interrupt") finishes the step, saves and
    returns; a second one ends at once. Progress is a bar in a notebook and on a
    terminal, and a line for each logged step.

    Args:
      config: a `config.schema.Config`, or a draft: what `get_config()` of a file in
        configs/ returns. `config/schema.py` explains each field, and `hax train
        --help_config` lists them. Fields that matter first: `data.path`,
        `model.pretrained` ('' trains from scratch), `data.seq_len` (positions in a
        row), `train.batch_size` (rows in a step), `train.num_steps`, and
        `optimizer.learning_rate`.
      workdir: the run's folder, made if it is missing; a local path or gs://.
      packed: the folder of the packed rows, if they were copied without their dataset;
        '' finds them in `config.data.path`, where `hax pack` puts them.
      allow_change: names of fields, such as 'optimizer.learning_rate', in which
        `config` may differ from the run that is there.
      base: where the pretrained model lies now, if it moved since the run began.
      restart: moves the files of a run that is there to `old-1/`, and begins anew.

    Returns:
      A `training.run_summary.Summary`. `reason` says how the call ended: 'finished',
      'patience', 'max_minutes' or 'signal'. It has `step` of `num_steps`, `best_step`
      with its `best_validation_loss` (nats per weighted token), and `seconds` by part.
      `workdir/metrics.jsonl` has a JSON row for each logged step (`kind` 'train', with
      `step`, `loss` and `tokens_per_second`) and each evaluation (`kind` 'evaluation',
      with `eval_loss`).

    Raises:
      InputError: a field is out of range; the dataset is missing or not packed yet (it
        names the command that packs it); config, rows and the run in `workdir` do not
        fit together; or the run does not fit the memory or the disk.
      FloatingPointError: a step was bad, or training has diverged
        (`guards.stops.StoppedError`); the checkpoints that were saved are good.

    Example:
      >>> from configs import gpt2_lora
      >>> draft = gpt2_lora.get_config()
      >>> draft.data.path = 'data/advice'
      >>> draft.train.batch_size = 4  # 4 * 1024 = 4,096 positions per step
      >>> summary = hax_jax.train(draft, 'runs/lora')
      >>> summary.best_validation_loss
    """
    import ml_collections

    from hax_jax import errors, local_copy, places
    from hax_jax.config import convert, schema
    from hax_jax.data import dataset_folder, records, text
    from hax_jax.devices import runtime
    from hax_jax.planning import planner
    from hax_jax.runs import grown_base, origin, packed_rows
    from hax_jax.training import run_setup, starting, train_loop

    is_draft = isinstance(config, ml_collections.ConfigDict)
    if not is_draft and not isinstance(config, schema.Config):
        raise errors.InputError(
            f'config is a {type(config).__name__}; give a config.schema.Config, or the '
            "draft of a file's get_config()."
        )
    run = convert.from_dict(config.to_dict() if is_draft else convert.to_dict(config))
    folder = places.path(workdir)
    places.check_workdir(folder)
    dataset_folder.refuse_as_workdir(folder)
    if not packed:
        dataset_folder.read_manifest(run.data.path)  # before JAX is imported
    runtime.start()
    if not restart:
        starting.check_config(run, folder, list(allow_change))
    run, tokenizer_path = origin.resolve(grown_base.find(run))
    rows = (
        local_copy.folder(packed) if packed else packed_rows.find(run, tokenizer_path)
    )
    cache = records.open_cache(rows)
    cache.verify()
    setup = run_setup.prepare(
        origin.with_vocab(run, text.of_cache(cache)),
        cache,
        begin=None if restart else starting.progress(folder),
    )
    print(planner.render(planner.make_plan(setup)), flush=True)
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

    The same letter, seed and settings give the same answer, whatever stands beside it.
    A letter that is too long for the model loses text from its middle; a line says so.

    Args:
      workdir: a run's folder.
      letters: the questions, as plain text; the prompt's template is added here.
      step: which checkpoint; by default that with the best validation loss, else the
        latest. The chosen one is printed.
      base: where the pretrained model of a LoRA run lies now, if it moved.
      settings: a `config.schema.SamplingConfig`: `temperature`, `top_k`, `top_p`,
        `min_p`, `repetition_penalty`, `max_new_tokens`, `stop`, `seed` and others; None
        is its defaults. `temperature=0.0` takes the likeliest token each time.
      num_samples: answers to each letter; each has random bits of its own.
      batch_size: answers computed at a time; more is faster on accelerators, and
        changes no answer.

    Returns:
      A list of `sampling.generation.Sample`, len(letters) * num_samples long. `text` is
      the answer; `finish_reason` is 'eos' where the model ended it, 'length' where
      max_new_tokens did; `num_tokens` counts its new tokens.

    Raises:
      InputError: there is no such run or step, a letter is empty, or the base of a LoRA
        run is not what it was.

    Example:
      >>> settings = schema.SamplingConfig(temperature=0.7, max_new_tokens=120, seed=1)
      >>> letters = ['Is it rude to leave a party at nine?']
      >>> first, second = hax_jax.sample(
      ...     'runs/lora', letters, settings=settings, num_samples=2
      ... )
      >>> print(first.text)
    """
    from hax_jax import errors
    from hax_jax.config import convert, schema
    from hax_jax.devices import mesh, runtime
    from hax_jax.program import entry
    from hax_jax.runs import restore as run_restore
    from hax_jax.sampling import generation, prompt_fitting, prompts

    settings = schema.SamplingConfig() if settings is None else settings
    problems = [
        f'{name}={value!r} is not accepted; use a whole number of 1 or more.'
        for name, value in (('num_samples', num_samples), ('batch_size', batch_size))
        if type(value) is not int or value < 1
    ]
    is_list = isinstance(letters, Iterable) and not isinstance(letters, str)
    letters = list(letters) if is_list else []
    if not is_list or not all(isinstance(each, str) for each in letters):
        problems.append('letters are no list of texts; give such as ["Is it rude?"].')
    if isinstance(settings, schema.SamplingConfig):
        values = convert.to_dict(settings)
        problems += convert.problems(values, schema.SamplingConfig)
    else:
        problems.append(
            f'settings is a {type(settings).__name__}; give a '
            'config.schema.SamplingConfig.'
        )
    errors.refuse(problems)
    found = prompts.from_texts(letters, name='letter')
    runtime.start()
    on = mesh.make_mesh(schema.MeshConfig())
    loaded = run_restore.load(
        workdir, step=step, base=base, mesh=on if on.size > 1 else None
    )
    entry.say(f'{workdir} at step {loaded.step} ({loaded.why})')
    fitted = prompt_fitting.fit(
        found.questions,
        loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
        max_new_tokens=settings.max_new_tokens,
    )
    for note in fitted.notes:
        entry.say(f'note: {note}')
    generator = generation.Generator(loaded.model, loaded.tokenizer, mesh=on)
    return list(
        generator.samples(
            fitted, settings, num_samples=num_samples, batch_size=batch_size
        )
    )


def evaluate(
    model: str,
    other: str = '',
    *,
    data: str = '',
    split: str = 'validation',
    seq_len: int = 0,
    batch_size: int = 0,
    base: str = '',
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Any:
    """Scores a model on a whole split, or two models on the same pairs.

    A run gets the numbers of its own training, bit for bit on the same machine.

    Args:
      model: a run's folder (its best step), `FOLDER@STEP`, or a Hugging Face folder or
        hub name of GPT-2.
      other: a second model, B; '' scores the first alone. Two steps of a run are two
        models.
      data: a dataset that data_pipeline.build made; '' is the run's own. A Hugging Face
        model needs it.
      split: 'train', 'validation' or 'test'.
      seq_len: positions in a row; 0 is the run's, or of two models the smaller.
      batch_size: rows in a batch; 0 is the run's own, or 8. It changes no score by more
        than float noise.
      base: where the pretrained model of a LoRA run lies now, if it moved.
      groups: pair id -> group, for the interval of a difference, which draws whole
        groups (a chat, a post). None makes each pair a group, which says so and gives
        narrower intervals where pairs of a group are alike; `hax compare` knows them.
      seed: of the bootstrap's 10,000 resamples.

    Returns:
      An `evaluation.findings.Findings`. `print` shows it as tables: nats per token,
      perplexity, bits per byte and accuracy by source, for questions, answers and both.
      `scored[0].evaluation` has them as numbers: `loss` (nats per weighted token, as
      training weighs them), `by['all']['answer']['nll']` (nats per token) and a score
      of each pair. `comparison.by['all']` is the difference of two models, A minus B,
      with its 95% interval. `to_json()` gives all of it as dictionaries.

    Raises:
      InputError: there is no such model, step or dataset; the dataset has no rows for
        the model's tokenizer yet; the split is empty; or both models are the same.

    Example:
      >>> found = hax_jax.evaluate('runs/lora')
      >>> found.scored[0].evaluation.by['all']['answer']['perplexity']
      >>> print(hax_jax.evaluate('runs/full', 'runs/lora@400', split='test'))
    """
    from hax_jax import errors
    from hax_jax.data import records
    from hax_jax.devices import runtime
    from hax_jax.evaluation import findings, same_rows, scoring
    from hax_jax.runs import packed_rows

    if split not in records.SPLITS:
        raise errors.InputError(
            f'split={split!r}; use one of {", ".join(records.SPLITS)}.'
        )
    runtime.start()
    models = [model, other] if other else [model]
    candidates = [
        scoring.named(each, base=base, batch_size=batch_size or 8) for each in models
    ]
    rows = same_rows.of_each(
        scoring.all_different(candidates),
        data=data,
        split=split,
        seq_len=seq_len,
        packed=packed_rows.for_models(models, data, seq_len),
    )
    return findings.find(rows, split, batch_size=batch_size, groups=groups, seed=seed)


def restore(
    workdir: str,
    *,
    step: int | None = None,
    base: str = '',
    adapter_only: bool = False,
    mesh: Any = None,
) -> dict[str, Any]:
    """A run's parameters: dotted name -> float32 array, to use elsewhere.

    Every byte of the checkpoint is compared with its digest first.

    Args:
      workdir: a run's folder.
      step: which checkpoint; by default that with the best validation loss, else the
        latest that is whole.
      base: where the pretrained model of a LoRA run lies now, if it moved.
      adapter_only: gives `lora_a` and `lora_b` (DoRA: the magnitudes too) alone, in
        place of all parameters with the adapters merged.
      mesh: a `jax.sharding.Mesh` of the axes data, fsdp, tensor; the arrays then lie on
        it as in training, each device holding its own part. None gives numpy arrays.

    Returns:
      Names as 'wte.embedding' [vocab, n_embd], 'wpe.embedding' [n_positions, n_embd],
      'h.0.attn.c_attn.kernel' [n_embd, 3 * n_embd] (kernels are [in, out]),
      'h.0.mlp.c_fc.bias' [n_inner] and 'ln_f.scale' [n_embd]. The vocabulary is the
      tokenizer's: rows that `model.pad_vocab_to_multiple_of` added are left out.

    Raises:
      InputError: there is no such run or step, it is damaged, its base is not what it
        was, or `adapter_only` is asked of a run without an adapter.

    Example:
      >>> parameters = hax_jax.restore('runs/full', step=400)
      >>> parameters['wte.embedding'].shape
      (50257, 768)
    """
    from hax_jax.runs import restore as run_restore

    return run_restore.parameters(
        workdir, step=step, base=base, adapter_only=adapter_only, mesh=mesh
    )
