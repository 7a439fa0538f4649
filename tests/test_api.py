"""hax_jax from Python: the three functions of its __init__."""

import dataclasses
import pathlib
import subprocess
import sys

import answered_runs
import numpy as np

import hax_jax
from hax_jax.config import schema
from hax_jax.data import text


def test_importing_the_package_loads_no_library() -> None:
    done = subprocess.run(
        [sys.executable, '-c', 'import hax_jax, sys; print("jax" in sys.modules)'],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == 'False\n'


def test_a_run_is_trained_answers_and_gives_its_parameters(
    tmp_path: pathlib.Path, sentencepiece_folder: pathlib.Path
) -> None:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    pairs = [answered_runs.pair(number) for number in range(8)]
    cache = answered_runs.write_cache(tmp_path / 'packed', tokenizer, pairs)
    run = answered_runs.make_config(train__num_sample_questions=0)
    # The vocabulary's size is the tokenizer's.
    run = dataclasses.replace(run, model=dataclasses.replace(run.model, vocab_size=0))
    workdir = str(tmp_path / 'run')
    summary = hax_jax.train(run, workdir, packed=str(cache.path))
    assert (summary.step, summary.reason) == (4, 'finished')
    parameters = hax_jax.restore(workdir, step=4)
    assert parameters['wte.embedding'].shape == (tokenizer.vocab_size, 32)
    assert all(isinstance(array, np.ndarray) for array in parameters.values())
    settings = schema.SamplingConfig(max_new_tokens=5, seed=3)
    letters = ['Is it rude?', 'Who pays?']
    answers = hax_jax.sample(workdir, letters, settings=settings, num_samples=2)
    assert [answer.prompt for answer in answers] == [
        letter for letter in letters for _ in range(2)
    ]
    # The same letter and seed give the same answer, whatever stands beside it.
    [alone] = hax_jax.sample(workdir, letters[1:], settings=settings)
    assert alone.token_ids == answers[2].token_ids
