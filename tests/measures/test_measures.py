"""Numbers of rows, words, gradients, weights and adapters, each by itself."""

import pathlib
import re

import numpy as np
import pytest
import tiny_steps

from hax_jax.config import schema
from hax_jax.measures import (
    measure_data,
    measure_model,
    measure_rows,
    measure_trial,
    measure_weights,
)
from hax_jax.reference import numpy_gpt2

_CORPUS = pathlib.Path(__file__).parents[2] / 'data_pipeline' / 'sample_corpus'
_MODEL = schema.ModelConfig(
    n_layer=2, n_head=2, n_embd=32, n_positions=24, vocab_size=64
)


def test_a_row_that_comes_twice_in_a_batch_counts_once() -> None:
    due = {'inputs': np.arange(12).reshape(4, 3)}
    assert measure_rows.as_packed(due, due) == {'inputs': 1.0}
    turned = {'inputs': due['inputs'][::-1]}
    assert measure_rows.as_packed(turned, due) == {'inputs': 1.0}
    again = {'inputs': np.repeat(due['inputs'][:1], 4, axis=0)}
    assert measure_rows.as_packed(again, due) == {'inputs': 0.25}
    same = {'inputs': np.zeros((4, 3))}  # a cache may have equal rows
    assert measure_rows.as_packed(same, same) == {'inputs': 1.0}


def test_shuffled_words_have_no_more_repeated_pairs_than_chance() -> None:
    texts = [
        re.findall(r'[a-z]+', part.lower())
        for path in sorted(_CORPUS.glob('column_*.md'))
        for part in path.read_text(encoding='utf-8').split('\n\n')
    ]
    told = measure_data._word_order(texts)
    assert told['word_pairs_once'] < 0.9 * told['word_pairs_by_chance']
    rng = np.random.default_rng(5)
    shuffled = [list(rng.permutation(words)) if words else [] for words in texts]
    told = measure_data._word_order(shuffled)
    assert told['word_pairs_once'] > 0.96 * told['word_pairs_by_chance']
    assert measure_data._word_order(texts[:2]) == {}  # too few to tell


def test_letters_speak_of_their_writer_and_answers_to_the_reader() -> None:
    asked, said = "I'm sad, and my sister says you are too.", 'You’re right: ask her.'
    assert measure_data._of_writer(asked) == pytest.approx(2 / 3)
    assert measure_data._of_writer(said) == 0.0
    assert measure_data._of_writer('So.') is None
    shares = [(2 / 3, 0.0), (1.0, 0.5), (None, 0.5)]
    assert measure_data._of_writers(shares) == {
        'writer_in_questions': pytest.approx(5 / 6),
        'writer_in_answers': 0.25,
        'writer_pairs': 2,
    }


def test_a_third_of_c_attn_without_a_gradient_is_idle() -> None:
    gradient = np.ones((4, 12), np.float32)
    name = 'h.0.attn.c_attn.kernel'
    assert measure_trial._idle_thirds(name, gradient) == []
    gradient[:, :8] = 0
    assert measure_trial._idle_thirds(name, gradient) == ['queries', 'keys']
    assert measure_trial._idle_thirds('h.0.mlp.c_fc.kernel', gradient) == []
    assert measure_trial._idle_thirds(name, 0 * gradient) == []  # other checks say so


def test_weights_that_were_not_in_a_file_are_told() -> None:
    whole = dict(tiny_steps.random_parameters(_MODEL, scale=0.3))
    told = measure_weights.contents(whole)
    assert (told['zero_biases'], told['flat_arrays']) == ([], {})
    lost = {name: 0 * whole[name] for name in ('h.1.mlp.c_fc.bias', 'ln_f.scale')}
    told = measure_weights.contents(whole | lost)
    assert told['zero_biases'] == ['h.1.mlp.c_fc.bias']
    assert told['flat_arrays'] == {'ln_f.scale': 0.0}


@pytest.mark.parametrize(
    ('times', 'named'),
    [
        (1.0, ''),
        (4.0, 'are scaled by alpha, not'),
        (-1.0, 'subtracted'),
        (0, 'not used'),
    ],
)
def test_how_adapters_are_added_is_told_before_they_have_learned(
    times: float, named: str
) -> None:
    settings = schema.LoraConfig(rank=4, alpha=12.0, targets=('attn.c_attn',))
    rng = np.random.default_rng(0)
    parameters = dict(tiny_steps.random_parameters(_MODEL, scale=0.3))
    for block in ('h.0', 'h.1'):
        layer = f'{block}.attn.c_attn'
        parameters[f'{layer}.lora_a'] = rng.normal(0, 0.2, (32, 4)).astype(np.float32)
        parameters[f'{layer}.lora_b'] = np.zeros((4, 96), np.float32)
    added = schema.LoraConfig(rank=4, alpha=12.0 * times or 1e-9)
    formula = numpy_gpt2.right(_MODEL, added)

    def score(replaced: dict, rows: measure_model.Rows) -> np.ndarray:
        arrays = parameters | replaced
        each = [{n: x[i] for n, x in rows.items()} for i in range(len(rows['inputs']))]
        return np.stack([numpy_gpt2.nll(arrays, _MODEL, row, formula) for row in each])

    ids = rng.integers(0, 64, 21)
    rows = {
        'inputs': ids[None, :-1],
        'targets': ids[None, 1:],
        'positions': np.arange(20)[None],
        'segment_ids': np.ones((1, 20), int),
    }
    told = measure_model.of_adapters(
        score, rows, [(0, 0, 20)], parameters, _MODEL, settings
    )
    wrong = told.get('adapter_wrong', {})
    assert (told['adapter_off'] < 1e-4) == (times == 1.0) == (not wrong)
    if wrong:
        assert named in min(wrong, key=lambda name: wrong[name])
