import dataclasses
import functools
import math
import pathlib
import re
import textwrap

import forks
import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import memory, mesh
from hax_jax.model import gpt2, lora, param_tree
from hax_jax.sampling import (
    decode,
    generation,
    next_token,
    prompt_batches,
    prompt_fitting,
    prompts,
    sharded_model,
    stop_strings,
)

LETTERS = [
    'My mother-in-law visits.',
    'The cat is old.\n\nSo is the dog.',
    'Why?',
    'My brother wants the garden and I want the house, and no one wants the debt.',
    'Is it rude to leave a party at nine?',
    'My friend never pays.',
    'Help! ' * 10,
]
GREEDY = schema.SamplingConfig(
    max_new_tokens=20, temperature=0.0, top_k=0, top_p=1.0, seed=0
)
DRAWN = dataclasses.replace(GREEDY, temperature=1.5, top_k=10, top_p=0.95)


@pytest.fixture
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.SentencePieceTokenizer:
    return text.SentencePieceTokenizer(sentencepiece_folder / text.SENTENCEPIECE_FILE)


def make_model(
    tokenizer: text.Tokenizer,
    *,
    n_layer: int = 2,
    n_positions: int = 128,
    extra_ids: int = 0,
    tie_embeddings: bool = True,
    dtype: str = 'float32',
) -> gpt2.Gpt2:
    """A tiny model; parameters so large that its choices are far from ties."""
    sizes = schema.ModelConfig(
        attention='xla',
        n_layer=n_layer,
        n_head=2,
        n_embd=32,
        n_positions=n_positions,
        vocab_size=tokenizer.vocab_size + extra_ids,
        tie_embeddings=tie_embeddings,
    )
    model = gpt2.Gpt2(sizes, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(3))
    graphdef, params = nnx.split(model)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape, scale=0.3), jnp.float32), params
    )
    return nnx.merge(graphdef, params)


def one_device() -> jax.sharding.Mesh:
    return mesh.make_mesh(schema.MeshConfig())


def questions(letters: list[str]) -> list[prompts.Question]:
    return prompts.from_texts(letters).questions


def answers(
    model: gpt2.Gpt2,
    tokenizer: text.Tokenizer,
    letters: list[prompts.Question],
    settings: schema.SamplingConfig,
    *,
    batch_size: int = 4,
    num_samples: int = 1,
) -> list[generation.Sample]:
    fitted = prompt_fitting.fit(
        letters,
        tokenizer,
        n_positions=model.model.n_positions,
        max_new_tokens=settings.max_new_tokens,
    )
    generator = generation.Generator(model, tokenizer, mesh=one_device())
    return list(
        generator.samples(
            fitted, settings, batch_size=batch_size, num_samples=num_samples
        )
    )


@functools.partial(jax.jit, static_argnums=0)
def full_logits(
    graphdef: nnx.GraphDef, params: nnx.State, ids: jax.Array, place: int
) -> jax.Array:
    """Logits at `place` of one forward pass without a cache over ids, one row."""
    model = nnx.merge(graphdef, params)
    positions = jnp.arange(ids.shape[0])[None]
    hidden = model(ids[None], positions, jnp.ones_like(positions))
    features, table = model.head(hidden[0, place])
    return features @ table.T


@functools.partial(jax.jit, static_argnums=2)
def draw_one(
    logits: jax.Array, key: jax.Array, settings: schema.SamplingConfig
) -> jax.Array:
    scores, ids = next_token.candidates(
        logits[None],
        next_token.Drawing(
            eos_id=0,
            vocab_size=logits.shape[0],
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
        ),
    )
    noise = [
        jax.random.gumbel(jax.random.fold_in(key, ids[0, i]))
        for i in range(settings.top_k)
    ]
    return ids[0, jnp.argmax(scores[0] + jnp.stack(noise))]


def processed(
    logits: np.ndarray,
    ids: list[int],
    num_new: int,
    settings: schema.SamplingConfig,
    eos_id: int,
) -> np.ndarray:
    """Penalty, n-grams, minimum length of one row, written out by their definitions."""
    for token in set(ids):
        factor = np.float32(settings.repetition_penalty)
        logits[token] *= factor if logits[token] < 0 else 1 / factor
    size = settings.no_repeat_ngram
    for start in range(len(ids) - size + 1 if size else 0):
        window = ids[start : start + size]
        if window[:-1] == ids[len(ids) - size + 1 :]:
            logits[window[-1]] = -np.inf
    if num_new < settings.min_new_tokens:
        logits[eos_id] = -np.inf
    return logits


def slowly(
    model: gpt2.Gpt2,
    tokenizer: text.Tokenizer,
    question: prompts.Question,
    settings: schema.SamplingConfig,
    *,
    sample: int = 0,
) -> tuple[list[int], str]:
    """New tokens and finish reason, a full forward pass for each token."""
    n_positions = model.model.n_positions
    fitted = prompt_fitting.fit(
        [question],
        tokenizer,
        n_positions=n_positions,
        max_new_tokens=settings.max_new_tokens,
    )
    prompt = fitted.prompts[0].ids + fitted.stems[0]
    ids = list(prompt)
    key = jax.random.key(settings.seed, impl='threefry2x32')
    key = jax.random.fold_in(key, next_token.prompt_number(question.id))
    key = jax.random.fold_in(key, sample)
    graphdef, params = nnx.split(model)
    while True:
        # What stands behind the last token can not be seen from it.
        padded = np.zeros(n_positions, np.int32)
        padded[: len(ids)] = ids
        logits = full_logits(graphdef, params, padded, len(ids) - 1)
        logits = processed(
            np.array(logits[: tokenizer.vocab_size]),
            ids,
            len(ids) - len(prompt),
            settings,
            tokenizer.eos_id,
        )
        if settings.temperature == 0:
            token = int(np.argmax(logits))
        else:
            here = jax.random.fold_in(key, len(ids))
            # Compiled for what it looks at alone.
            looked_at = dataclasses.replace(
                DRAWN,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                min_p=settings.min_p,
            )
            token = int(draw_one(logits, here, looked_at))
        ids.append(token)
        if token == tokenizer.eos_id:
            return ids[len(prompt) :], 'eos'
        if len(ids) - len(prompt) == settings.max_new_tokens:
            return ids[len(prompt) :], 'length'
        if len(ids) > n_positions:
            return ids[len(prompt) :], 'n_positions'


def check_against_slow(
    model: gpt2.Gpt2,
    tokenizer: text.Tokenizer,
    settings: schema.SamplingConfig,
    *,
    batch_size: int = 4,
    more: tuple[str, ...] = (),
) -> list[generation.Sample]:
    letters = questions([*LETTERS, *more])
    found = answers(model, tokenizer, letters, settings, batch_size=batch_size)
    assert [sample.id for sample in found] == [letter.id for letter in letters]
    for sample, letter in zip(found, letters, strict=True):
        ids, finish_reason = slowly(model, tokenizer, letter, settings)
        assert sample.text == tokenizer.decode(ids)
        assert sample.num_tokens == len(ids)
        assert sample.finish_reason == finish_reason
    return found


def test_cached_decoding_equals_full_passes_for_each_row(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    found = check_against_slow(
        make_model(tokenizer), tokenizer, GREEDY, more=('Help! ' * 30, 'Help! ' * 50)
    )
    assert len({sample.prompt_tokens for sample in found}) > 4
    assert len({sample.text for sample in found}) > 4


def test_drawn_tokens_equal_those_of_full_passes(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    settings = dataclasses.replace(DRAWN, max_new_tokens=6)
    check_against_slow(make_model(tokenizer), tokenizer, settings, batch_size=7)


def test_processors_see_each_row_s_own_prompt_and_answer(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    settings = dataclasses.replace(
        DRAWN, max_new_tokens=8, repetition_penalty=1.3, no_repeat_ngram=2, min_p=0.1
    )
    model = make_model(tokenizer)
    # A token that some answers end with at once: the minimum keeps them from it.
    first = slowly(model, tokenizer, questions(LETTERS)[0], settings)[0]
    tokenizer.eos_id = first[1]
    settings = dataclasses.replace(settings, min_new_tokens=6)
    found = check_against_slow(model, tokenizer, settings, batch_size=8)
    assert min(sample.num_tokens for sample in found) >= 6
    for sample in found:
        pairs = list(zip(sample.token_ids, sample.token_ids[1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def test_logprobs_are_those_of_the_model_whatever_the_settings(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    settings = dataclasses.replace(DRAWN, max_new_tokens=5, repetition_penalty=2.0)
    letters = questions(LETTERS[:3])
    fitted = prompt_fitting.fit(letters, tokenizer, n_positions=128, max_new_tokens=5)
    generator = generation.Generator(model, tokenizer, mesh=one_device())
    graphdef, params = nnx.split(model)
    for sample, prompt in zip(
        generator.samples(fitted, settings, logprobs=True), fitted.prompts, strict=True
    ):
        ids = np.zeros(128, np.int32)
        whole = prompt.ids + sample.token_ids
        ids[: len(whole)] = whole
        expected = []
        for place, token in enumerate(sample.token_ids, start=len(prompt.ids)):
            logits = full_logits(graphdef, params, ids, place - 1)
            logits = np.asarray(logits[: tokenizer.vocab_size], np.float64)
            nats = logits[token] - np.log(np.exp(logits - logits.max()).sum())
            expected.append(nats - logits.max())
        np.testing.assert_allclose(sample.logprobs, expected, atol=2e-5)
    assert next(generator.samples(fitted, settings)).logprobs == []


def test_a_stop_string_ends_its_row_and_disturbs_no_other(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    letters = questions(LETTERS)
    settings = dataclasses.replace(DRAWN, max_new_tokens=40)
    free = answers(model, tokenizer, letters, settings, batch_size=8)
    # The end of one token and the beginning of the next, somewhere in an answer.
    which, at, stop = next(
        (i, n, before[n][-1] + after[len(before[n])])
        for i, sample in enumerate(free)
        for before in [[tokenizer.decode(sample.token_ids[:n]) for n in range(41)]]
        for n in range(3, sample.num_tokens - 1)
        for after in [before[n + 1]]
        if len(before[n - 1]) < len(before[n]) < len(after)
        and '\ufffd' not in after
        and before[n][-1] + after[len(before[n])] not in before[n]
    )
    before = tokenizer.decode(free[which].token_ids[:at])
    settings = dataclasses.replace(settings, stop=(stop, 'never in any answer'))
    found = answers(model, tokenizer, letters, settings, batch_size=8)
    assert found[which].text == before[:-1]
    assert (found[which].finish_reason, found[which].num_tokens) == ('stop', at + 1)
    assert found[which].token_ids == free[which].token_ids[: at + 1]
    reasons = set()
    for one, other in zip(found, free, strict=True):
        reasons.add(one.finish_reason)
        if stop in other.text:
            assert one.text == other.text[: other.text.index(stop)]
            assert one.finish_reason == 'stop'
        else:
            assert one == other
    assert len(reasons) > 1


def test_a_batch_ends_when_all_of_its_rows_have_stopped(
    tokenizer: text.SentencePieceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tokenizer)
    letters = questions(['Why?'])
    settings = dataclasses.replace(GREEDY, max_new_tokens=60)
    [free] = answers(model, tokenizer, letters, settings)
    steps = []
    go_on = sharded_model.ShardedModel.go_on

    def spy(*arguments: object, **named: object) -> decode.State:
        steps.append(named['steps'])
        return go_on(*arguments, **named)

    monkeypatch.setattr(sharded_model.ShardedModel, 'go_on', spy)
    stop = tokenizer.decode(free.token_ids[18:20])
    settings = dataclasses.replace(settings, stop=(stop,))
    [found] = answers(model, tokenizer, letters, settings)
    assert found.finish_reason == 'stop'
    # Looked at after 17 tokens and after 33, by when the stop string had come.
    assert steps in ([16], [16, 16])
    steps.clear()
    answers(model, tokenizer, letters, GREEDY)
    assert steps == [64]  # in one call


def test_a_stop_string_does_not_count_before_the_minimum(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    ids = tokenizer.encode(['ask her, ask her, ask them'])[0]
    stem = tokenizer.encode(['I ask'])[0]

    def find(stops_: tuple[str, ...], minimum: int, *, seen: int = 0) -> str | None:
        found = stop_strings.find(
            tokenizer, ids, stops_, stem=stem, seen=seen, min_new_tokens=minimum
        )
        assert found is None or tokenizer.decode(stem + ids[: found[0]]).startswith(
            found[1]
        )
        return found and found[1]

    assert find(('ask',), 0) == 'I ask'  # not the stem's own
    assert find(('kask',), 0) == 'I as'  # but one that reaches beyond it
    assert find((', ask h', 'her'), 0) == 'I askask '
    late = len(tokenizer.encode(['ask her, ask'])[0])
    assert find(('ask h', 'her'), late) == 'I askask her, '
    assert find(('her',), len(ids)) is None
    assert find(('them',), len(ids)) == 'I askask her, ask her, ask '


def test_a_streamed_answer_is_the_same_and_comes_piece_by_piece(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    settings = dataclasses.replace(DRAWN, max_new_tokens=30)
    letters = [dataclasses.replace(questions(['Why?'])[0], stem='I say')]
    [expected] = answers(model, tokenizer, letters, settings)
    for stop in ((), (expected.text[12:15],)):
        settings = dataclasses.replace(settings, stop=stop)
        [expected] = answers(model, tokenizer, letters, settings)
        fitted = prompt_fitting.fit(
            letters, tokenizer, n_positions=128, max_new_tokens=30
        )
        generator = generation.Generator(model, tokenizer, mesh=one_device())
        row = prompt_batches.Row(letters[0], fitted.prompts[0], fitted.stems[0], 0)
        pieces: list[str] = []

        def keep(piece: str, pieces: list[str] = pieces) -> bool:
            pieces.append(piece)
            return True

        assert generator.stream(row, settings, on_text=keep) == expected
        assert ''.join(pieces) == expected.text
        assert sum(bool(piece) for piece in pieces) >= 3
    cut = generator.stream(row, DRAWN, on_text=lambda piece: False)
    assert (cut.finish_reason, cut.num_tokens) == ('interrupted', 2)
    assert expected.text.startswith(cut.text.rstrip('\ufffd'))


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    assert stop_strings.certain('Ask her. QUES', ('QUESTION:', 'x')) == 'Ask her. '
    assert stop_strings.certain('Ask her. QUES', ('ANSWER',)) == 'Ask her. QUES'
    assert stop_strings.certain('aab', ('abab', 'bb')) == 'a'
    assert stop_strings.certain('caf\ufffd\ufffd', ()) == 'caf'


def test_an_answer_begins_with_its_stem(tokenizer: text.SentencePieceTokenizer) -> None:
    model = make_model(tokenizer)
    stems = ['', 'Ask her once, ', 'No.']
    letters = [
        dataclasses.replace(letter, stem=stem)
        for letter, stem in zip(questions(LETTERS[:3]), stems, strict=True)
    ]
    found = answers(model, tokenizer, letters, GREEDY)
    for sample, letter in zip(found, letters, strict=True):
        ids, reason = slowly(model, tokenizer, letter, GREEDY)
        stem = tokenizer.encode([letter.stem])[0]
        assert sample.text == tokenizer.decode(stem + ids)
        assert sample.text.startswith(letter.stem)
        assert (sample.num_tokens, sample.finish_reason) == (len(ids), reason)
    fitted = prompt_fitting.fit(letters, tokenizer, n_positions=128, max_new_tokens=20)
    assert fitted.stems[1] == tokenizer.encode(['Ask her once, '])[0]


def test_a_long_question_leaves_room_for_its_stem_too(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    [letter] = questions([' '.join(f'word{i}' for i in range(200))])
    letter = dataclasses.replace(letter, stem='Ask her once.')
    stem = tokenizer.encode([letter.stem])[0]
    fitted = prompt_fitting.fit([letter], tokenizer, n_positions=128, max_new_tokens=30)
    assert len(fitted.prompts[0].ids) + len(stem) + 30 == 129
    letter = dataclasses.replace(letter, stem='Help! ' * 60)
    with pytest.raises(errors.InputError, match='of its stem; n_positions=128'):
        prompt_fitting.fit([letter], tokenizer, n_positions=128, max_new_tokens=30)


def test_answers_come_as_they_end_and_skip_what_is_there(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    letters = questions([f'Why {i}? ' * (1 + i * 7 % 5) for i in range(80)])
    fitted = prompt_fitting.fit(letters, tokenizer, n_positions=128, max_new_tokens=3)
    generator = generation.Generator(
        make_model(tokenizer), tokenizer, mesh=one_device()
    )
    settings = dataclasses.replace(DRAWN, max_new_tokens=3)
    have = {(letters[0].id, 0), (letters[3].id, 0)}
    batches = list(generator.as_finished(fitted, settings, batch_size=4, have=have))
    # Answers of one length: whole batches end, the longest prompts first.
    assert {len(batch) for batch in batches[:15]} == {4}
    lengths = [sample.prompt_tokens for batch in batches for sample in batch]
    assert lengths == sorted(lengths, reverse=True)
    made = {(s.id, s.sample): s for batch in batches for s in batch}
    assert made.keys() == {(letter.id, 0) for letter in letters} - have
    expected = answers(make_model(tokenizer), tokenizer, letters[:8], settings)
    for sample in expected:
        assert made.get((sample.id, 0), sample) == sample


def test_rows_of_one_batch_end_at_eos_length_and_n_positions(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    settings = dataclasses.replace(DRAWN, max_new_tokens=40)
    model = make_model(tokenizer, n_positions=64)
    found = answers(model, tokenizer, questions(LETTERS), settings, batch_size=8)
    assert {sample.finish_reason for sample in found} >= {'length', 'n_positions'}
    # EOS is, from here on, a token that some answers meet, and not all of either kind.
    letters = questions(LETTERS)
    ends = [slowly(model, tokenizer, letter, settings) for letter in letters]

    def reasons(eos_id: int) -> set[str]:
        return {'eos' if eos_id in ids else reason for ids, reason in ends}

    tokens = sorted({token for ids, _ in ends for token in ids})
    tokenizer.eos_id = next(token for token in tokens if len(reasons(token)) == 3)
    found = check_against_slow(model, tokenizer, settings, batch_size=8)
    assert {sample.finish_reason for sample in found} == {
        'eos',
        'length',
        'n_positions',
    }


def test_an_answer_may_use_the_last_position(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    pieces = text.template(tokenizer)
    [ids] = tokenizer.encode(['Why?'])
    length = len(pieces.head) + len(ids) + len(pieces.tail)
    for n_positions, expected in ((length, 1), (length + 3, 4), (length + 4, 5)):
        model = make_model(tokenizer, n_positions=n_positions)
        settings = dataclasses.replace(GREEDY, max_new_tokens=5)
        [sample] = answers(model, tokenizer, questions(['Why?']), settings)
        assert sample.num_tokens == expected
        reason = 'length' if expected == 5 else 'n_positions'
        assert sample.finish_reason == reason


def test_eos_as_the_first_token_is_an_empty_answer(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    letter = questions(['Why?'])
    tokenizer.eos_id = slowly(model, tokenizer, letter[0], GREEDY)[0][0]
    [sample] = answers(model, tokenizer, letter, GREEDY)
    assert (sample.text, sample.finish_reason, sample.num_tokens) == ('', 'eos', 1)


def test_an_answer_does_not_depend_on_its_batch(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    letters = questions([*LETTERS[:5], 'Help! ' * 20])
    together = answers(model, tokenizer, letters, DRAWN, num_samples=2)
    by_key = {(sample.id, sample.sample): sample for sample in together}
    assert len({sample.text for sample in together}) == 12
    backwards = answers(model, tokenizer, letters[::-1], DRAWN, num_samples=2)
    assert [sample.id for sample in backwards[::2]] == [x.id for x in letters[::-1]]
    for sample in backwards:
        assert sample == by_key[sample.id, sample.sample]
    [alone] = answers(model, tokenizer, letters[2:3], DRAWN)
    assert alone == by_key[letters[2].id, 0]
    two = answers(model, tokenizer, letters[:2], DRAWN, batch_size=2)
    assert two == [by_key[letter.id, 0] for letter in letters[:2]]


def test_samples_and_seeds_and_prompts_differ(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    twice = questions(['Why?', 'Why?'])
    found = answers(model, tokenizer, twice, DRAWN, num_samples=3)
    other = dataclasses.replace(DRAWN, seed=2**32 - 1)
    found += answers(model, tokenizer, twice, other, num_samples=3)
    assert len({sample.text for sample in found}) == 12
    again = answers(model, tokenizer, twice, other, num_samples=3)
    assert found[6:] == again


def test_a_question_s_own_seed_takes_the_place_of_the_run_s(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    [letter] = questions(['Why?'])
    own = dataclasses.replace(letter, seed=9)
    [by_question] = answers(model, tokenizer, [own], DRAWN)
    [by_run] = answers(model, tokenizer, [letter], dataclasses.replace(DRAWN, seed=9))
    assert by_question == by_run
    assert by_question.seed == 9
    assert answers(model, tokenizer, [letter], DRAWN)[0].text != by_run.text


def test_batches_of_one_shape_compile_once(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer, n_positions=120)  # a shape of this test alone
    fitted = prompt_fitting.fit(
        questions([f'Why {i}?' for i in range(9)]),
        tokenizer,
        n_positions=120,
        max_new_tokens=10,
    )
    compiled = (decode.prefill, decode.decode, decode.empty_cache)
    before = [function._cache_size() for function in compiled]
    generator = generation.Generator(model, tokenizer, mesh=one_device())
    for seed in range(2):
        settings = dataclasses.replace(
            DRAWN, seed=seed, temperature=1.0 + seed, max_new_tokens=10 - seed
        )
        assert len(list(generator.samples(fitted, settings, batch_size=2))) == 9
    # Another Generator of the same sizes, as a trainer makes at each evaluation.
    generator = generation.Generator(model, tokenizer, mesh=one_device())
    list(generator.samples(fitted, settings, batch_size=2))
    after = [function._cache_size() for function in compiled]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]


def decoding_program(
    tokenizer: text.SentencePieceTokenizer, on: jax.sharding.Mesh, *, batch_size: int
) -> tuple[int, str]:
    """The numbers in a ring of its cache, and the compiled program that decodes."""
    model = make_model(tokenizer, n_layer=1)
    fitted = prompt_fitting.fit(
        questions(LETTERS[:batch_size]), tokenizer, n_positions=128, max_new_tokens=9
    )
    rows = [
        prompt_batches.Row(*row, sample=0)
        for row in zip(fitted.questions, fitted.prompts, fitted.stems, strict=True)
    ]
    arrays = prompt_batches.arrays(
        rows, GREEDY, size=batch_size, prompt_places=80, n_positions=128
    )
    drawing = next_token.drawing(
        GREEDY, eos_id=tokenizer.eos_id, vocab_size=tokenizer.vocab_size
    )
    sharded = sharded_model.ShardedModel(model, tokenizer, mesh=on)
    state = sharded.start(
        *arrays, drawing, new_places=64, cache_places=96, logprobs=False
    )
    leaves, tree = jax.tree.flatten(state)

    graphdef, params = nnx.split(sharded_model.by_rows(model))
    params = jax.device_put(params, mesh.replicated(on))
    stopped, number = jnp.zeros(batch_size, bool), jnp.int32(3)

    def go_on(leaves: list[jax.Array]) -> decode.State:
        state = jax.tree.unflatten(tree, leaves)
        return decode.decode(
            graphdef, params, state, stopped, number, number, drawing=drawing
        )

    with jax.set_mesh(on):
        compiled = jax.jit(go_on, donate_argnums=0).lower(leaves).compile()
    return state.cache.keys[0].size, compiled.as_text()


@pytest.mark.parametrize('batch_size', [1, 3])
def test_a_token_copies_no_kernel_and_no_keys_or_values_of_those_before_it(
    tokenizer: text.SentencePieceTokenizer, batch_size: int
) -> None:
    ring, program = decoding_program(tokenizer, one_device(), batch_size=batch_size)
    moved = re.findall(r'= \w+\[([\d,]+)\]\S* (?:copy|transpose)\(', program)
    sizes = {math.prod(map(int, shape.split(','))) for shape in moved}
    width = 32
    kernels = {parts * width**2 for parts in (1, 3, 4)}
    assert not sizes & {ring, *kernels}


def test_kernels_of_plain_layers_are_turned_for_a_cpu_and_adapted_ones_are_not(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer, n_layer=1)
    settings = schema.LoraConfig(rank=2, targets=('attn.c_attn',))
    lora.add_lora(model, settings, rngs=nnx.Rngs(1))
    before = param_tree.named(nnx.state(model))
    after = param_tree.named(nnx.state(sharded_model.by_rows(model)))
    assert before.keys() == after.keys()
    for name, kernel in before.items():
        plain = name.endswith('.kernel') and 'c_attn' not in name
        np.testing.assert_array_equal(after[name], kernel.T if plain else kernel)
    for _, layer in nnx.iter_modules(model):
        assert not getattr(layer, 'by_rows', False)


def test_queues_hold_rows_of_like_length_the_longest_first() -> None:
    assert prompt_batches.queues([5, 90, 4, 70, 6], 2) == [[1, 3], [4, 0, 2]]
    # One long prompt fills its batch up with shorter ones; the others are spared it.
    assert prompt_batches.queues([9, 200, 8, 7, 6], 2) == [[1, 0], [2, 3, 4]]
    assert prompt_batches.queues([40, 64, 33], 2) == [[1, 0, 2]]
    assert prompt_batches.queues([], 2) == []
    lengths = [i % 7 for i in range(100)]
    queues = prompt_batches.in_windows(lengths, 3)
    # No row waits for more than a window of 16 batches.
    assert [sorted(queue) for queue in queues] == [
        [*range(48)],
        [*range(48, 96)],
        [*range(96, 100)],
    ]
    for queue in queues:
        assert [lengths[i] for i in queue] == sorted(
            (lengths[i] for i in queue), reverse=True
        )


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {
            'repetition_penalty': 1.3,
            'no_repeat_ngram': 3,
            'min_new_tokens': 3,
            'stop': ('never', 'in any'),
        },
    ],
    ids=['plain', 'all settings'],
)
def test_rows_that_end_leave_and_others_take_their_slots(
    tokenizer: text.SentencePieceTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
) -> None:
    monkeypatch.setattr(prompt_batches, '_SHORTEST_BUCKET', 128)  # one queue
    model = make_model(tokenizer)
    letters = questions([f'Why {i}? ' * (1 + i * 7 % 5) for i in range(20)])
    fitted = prompt_fitting.fit(letters, tokenizer, n_positions=128, max_new_tokens=60)
    generator = generation.Generator(model, tokenizer, mesh=one_device())
    settings = dataclasses.replace(DRAWN, max_new_tokens=60)
    free = [s.token_ids for s in generator.samples(fitted, settings, batch_size=4)]
    # EOS is a token with which answers end early and late.
    tokenizer.eos_id = max(
        {token for ids in free for token in ids},
        key=lambda token: np.std([[*ids, token].index(token) for ids in free]),
    )
    settings = dataclasses.replace(settings, **changes)
    alone = {
        sample.id: sample
        for sample in generator.samples(fitted, settings, batch_size=1, logprobs=True)
    }
    lengths = [sample.num_tokens for sample in alone.values()]
    assert max(lengths) >= (4 if changes else 10) * min(lengths)
    steps = 0
    go_on = sharded_model.ShardedModel.go_on

    def spy(self: object, state: decode.State, *given: object, **named: object) -> None:
        nonlocal steps
        steps -= int(state.cache.length)
        state = go_on(self, state, *given, **named)
        steps += int(state.cache.length)
        return state

    monkeypatch.setattr(sharded_model.ShardedModel, 'go_on', spy)
    together = [
        sample
        for some in generator.as_finished(fitted, settings, batch_size=4, logprobs=True)
        for sample in some
    ]
    assert len(together) == len(alone)
    for sample in together:
        expected = alone[sample.id]
        np.testing.assert_allclose(sample.logprobs, expected.logprobs, atol=2e-5)
        assert dataclasses.replace(sample, logprobs=expected.logprobs) == expected
    # The bound of list scheduling, whatever the order: full slots until the queue is
    # empty, then no longer than the longest answer. A prompt gives the first token; a
    # stop string is looked for after 16 more.
    look = 16 * bool(settings.stop)
    ideal = sum(length - 1 + look for length in lengths) / 4
    assert steps <= ideal + max(lengths) + look
    if not settings.stop:
        by_length = sorted(alone.values(), key=lambda sample: -sample.prompt_tokens)
        in_batches = sum(
            max(sample.num_tokens - 1 for sample in by_length[i : i + 4])
            for i in range(0, 20, 4)
        )
        assert steps < 0.85 * in_batches


def test_a_refill_disturbs_no_bit_of_another_row(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer)
    fitted = prompt_fitting.fit(
        questions(LETTERS), tokenizer, n_positions=128, max_new_tokens=40
    )
    rows = [
        prompt_batches.Row(*row, sample=0)
        for row in zip(fitted.questions, fitted.prompts, fitted.stems, strict=True)
    ]
    rows = sorted(rows, key=lambda row: row.length)
    settings = dataclasses.replace(DRAWN, max_new_tokens=40, repetition_penalty=1.2)
    drawing = next_token.drawing(
        settings, eos_id=tokenizer.eos_id, vocab_size=tokenizer.vocab_size
    )
    sharded = sharded_model.ShardedModel(model, tokenizer, mesh=one_device())

    def run(*, refilled: bool) -> decode.State:
        def arrays(some: list[prompt_batches.Row], size: int) -> tuple:
            return prompt_batches.arrays(
                some, settings, size=size, prompt_places=48, n_positions=128
            )

        def go_on(state: decode.State, steps: int) -> decode.State:
            stopped = np.array([False, steps > 6 and not refilled, False])
            return sharded.go_on(state, drawing, stopped=stopped, enough=3, steps=steps)

        state = sharded.start(
            *arrays(rows[:3], 3),
            drawing,
            new_places=64,
            cache_places=64,  # goes round during the second steps
            logprobs=True,
        )
        state = go_on(state, 6)
        if refilled:
            slots = np.array([1, 3], np.int32)  # 3 is past the last
            state = sharded.refill(state, *arrays(rows[3:4], 2), drawing, slots=slots)
        return go_on(state, 20)

    before, after = run(refilled=False), run(refilled=True)
    assert before.counts.tolist() == [27, 7, 27]
    assert after.counts.tolist() == [27, 21, 27]
    assert after.rows.lengths.tolist() == [
        rows[0].length,
        rows[3].length,
        rows[2].length,
    ]
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if one.ndim:
            others = np.array([0, 2])
            one, other = (x.reshape(3, -1)[others] for x in (one, other))
            np.testing.assert_array_equal(one, other)


def test_samples_come_in_the_questions_order(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    letters = questions([f'Why {i}? ' * (1 + i * 7 % 5) for i in range(11)])
    fitted = prompt_fitting.fit(letters, tokenizer, n_positions=128, max_new_tokens=3)
    generator = generation.Generator(
        make_model(tokenizer), tokenizer, mesh=one_device()
    )
    settings = dataclasses.replace(DRAWN, max_new_tokens=3)
    found = list(generator.samples(fitted, settings, num_samples=2, batch_size=4))
    expected = [(letter.id, sample) for letter in letters for sample in (0, 1)]
    assert [(sample.id, sample.sample) for sample in found] == expected


def test_no_questions_give_no_samples(tokenizer: text.SentencePieceTokenizer) -> None:
    assert answers(make_model(tokenizer), tokenizer, [], GREEDY) == []


def test_ids_that_the_tokenizer_has_not_are_never_drawn(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer, extra_ids=100)
    settings = dataclasses.replace(DRAWN, temperature=100.0, top_k=0, top_p=1.0)
    # SentencePiece refuses to decode an id that it has not.
    found = answers(model, tokenizer, questions(LETTERS[:4]), settings, num_samples=4)
    assert sum(sample.num_tokens for sample in found) > 200  # a fifth would be such


def test_an_untied_head_is_used(tokenizer: text.SentencePieceTokenizer) -> None:
    check_against_slow(make_model(tokenizer, tie_embeddings=False), tokenizer, GREEDY)


def test_adapters_need_not_be_merged(tokenizer: text.SentencePieceTokenizer) -> None:
    model = make_model(tokenizer)
    lora.add_lora(model, schema.LoraConfig(rank=2), rngs=nnx.Rngs(0))
    for layer in model.h:
        shape = layer.mlp.c_fc.lora_b.shape
        layer.mlp.c_fc.lora_b[...] = jax.random.normal(jax.random.key(1), shape) * 0.1
    adapted = check_against_slow(model, tokenizer, GREEDY)
    plain = answers(make_model(tokenizer), tokenizer, questions(LETTERS), GREEDY)
    assert adapted != plain


def test_bfloat16_decodes_to_what_its_full_passes_give(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer, dtype='bfloat16')
    letters = questions(LETTERS)
    settings = dataclasses.replace(GREEDY, max_new_tokens=1)
    found = answers(model, tokenizer, letters, settings)
    expected = [slowly(model, tokenizer, letter, settings)[0] for letter in letters]
    agree = [
        sample.text == tokenizer.decode(ids)
        for sample, ids in zip(found, expected, strict=True)
    ]
    assert sum(agree) >= len(letters) - 1  # one may be a tie at 8 bits of mantissa


def test_a_damaged_model_is_an_error(tokenizer: text.SentencePieceTokenizer) -> None:
    model = make_model(tokenizer)
    model.h[1].mlp.c_fc.bias[...] = model.h[1].mlp.c_fc.bias[...].at[0].set(jnp.nan)
    with pytest.raises(errors.InputError, match='logits that are not finite'):
        answers(model, tokenizer, questions(['Why?']), GREEDY)


def test_a_batch_beyond_the_free_memory_is_refused_before_it_is_made(
    tokenizer: text.SentencePieceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, mesh = make_model(tokenizer), one_device()
    settings = schema.SamplingConfig(max_new_tokens=4)
    letters = questions([f'letter {i}' for i in range(8)])
    fitted = prompt_fitting.fit(
        letters, tokenizer, n_positions=model.model.n_positions, max_new_tokens=4
    )
    longest = max(len(prompt.ids) for prompt in fitted.prompts)
    assert longest <= 32
    # Keys and values of 2 layers at the places of the cache and of the prompts.
    sizes = model.model
    cache_places = min(32 + 64, sizes.n_positions)
    cache_row = 2 * sizes.n_layer * sizes.n_embd * 4 * cache_places
    row = cache_row * (cache_places + 32) // cache_places + sizes.vocab_size * 4
    made = generation.Generator(model, tokenizer, mesh=mesh)

    def answered(free: int) -> int:
        monkeypatch.setattr(memory, 'free', lambda device: free)
        return len(list(made.samples(fitted, settings, batch_size=8)))

    with pytest.raises(errors.InputError, match=r'of 8 answers .* batch_size of 4 or'):
        answered(8 * row - 1)
    assert answered(8 * row) == 8
    assert answered(8 * (row - cache_row)) == 8  # the kept cache is taken again


def test_a_tokenizer_of_more_ids_than_the_model_is_an_error(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    model = make_model(tokenizer, extra_ids=-1)
    with pytest.raises(errors.InputError, match='give the tokenizer that the model'):
        generation.Generator(model, tokenizer, mesh=one_device())


def test_a_long_question_loses_its_middle_to_leave_room(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    long = ' '.join(f'word{i}' for i in range(200))
    fitted = prompt_fitting.fit(
        questions(['Why?', long]), tokenizer, n_positions=128, max_new_tokens=40
    )
    pieces = text.template(tokenizer)
    [short_ids, long_ids] = tokenizer.encode(['Why?', long])
    assert fitted.prompts[0] == text.Prompt(pieces.head + short_ids + pieces.tail, 0)
    # 89 prompt tokens and 40 new ones are 129, and the last is never read.
    assert fitted.prompts[1] == text.prompt(pieces, long_ids, max_length=89)
    assert len(fitted.prompts[1].ids) == 89
    num_cut = fitted.prompts[1].num_cut
    assert fitted.notes == [
        '1 of 2 questions shortened to leave room for the answer in n_positions=128: '
        f'{num_cut:,} tokens cut from the middle.'
    ]


def test_too_many_new_tokens_become_fewer_and_a_note_says_so(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    long = ' '.join(f'word{i}' for i in range(200))
    fitted = prompt_fitting.fit(
        questions(['Why?', long]), tokenizer, n_positions=128, max_new_tokens=300
    )
    pieces = text.template(tokenizer)
    fixed = len(pieces.head) + len(pieces.tail)
    shortest = fixed + len(pieces.cut) + text.MIN_QUESTION_TOKENS
    assert len(fitted.prompts[1].ids) == max(64, shortest)
    assert fitted.prompts[0].num_cut == 0
    assert fitted.notes[1] == (
        'max_new_tokens=300 does not fit beside 2 of 2 questions in n_positions=128: '
        f'an answer may end after {129 - max(64, shortest)} tokens, finish_reason '
        "'n_positions'. The largest max_new_tokens that fits beside all is "
        f'{129 - shortest}.'
    )
    fits = prompt_fitting.fit(
        questions(['Why?', long]),
        tokenizer,
        n_positions=128,
        max_new_tokens=129 - shortest,
    )
    assert len(fits.notes) == 1


def test_a_question_that_fits_in_no_form_is_an_error(
    tokenizer: text.SentencePieceTokenizer,
) -> None:
    pieces = text.template(tokenizer)
    fixed = len(pieces.head) + len(pieces.tail)
    with pytest.raises(errors.InputError) as error:
        prompt_fitting.fit(
            questions(['Why?', 'xyz ' * 100, 'zyx ' * 100]),
            tokenizer,
            n_positions=fixed + 8,
            max_new_tokens=30,
        )
    lines = str(error.value).split('\n')
    assert len(lines) == 2
    assert lines[0].startswith('--prompt 2: the question has ')
    assert f'n_positions={fixed + 8} leaves no room for max_new_tokens=30' in lines[0]
    assert 'Ask in at most 8 tokens' in lines[0]


def test_a_mesh_of_several_devices_gives_the_same_answers(
    sentencepiece_folder: pathlib.Path,
) -> None:
    """Parameters whole on each of 4 devices, then sharded; 6 rows a batch, asked."""
    script = f"""
        import dataclasses
        import jax
        from flax import nnx
        import test_generation as t
        from hax_jax.config import schema
        from hax_jax.data import text
        from hax_jax.devices import memory, mesh
        from hax_jax.model import param_tree
        from hax_jax.sampling import decode, generation, prompt_fitting

        tokenizer = text.load_tokenizer({str(sentencepiece_folder)!r})
        letters = t.questions(t.LETTERS)
        make = lambda: t.make_model(tokenizer, n_layer=1)
        fitted = prompt_fitting.fit(
            letters, tokenizer, n_positions=128, max_new_tokens=20)

        def run(model, mesh):
            generator = generation.Generator(model, tokenizer, mesh=mesh)
            settings = dataclasses.replace(
                t.DRAWN, repetition_penalty=1.3, no_repeat_ngram=2, min_p=0.05,
                min_new_tokens=4, stop=('e', 'a'))
            compiled = (decode.prefill, decode.decode, decode.refill)
            before = [function._cache_size() for function in compiled]
            found = list(
                generator.samples(fitted, settings, batch_size=6, num_samples=3))
            grown = [f._cache_size() - b for f, b in zip(compiled, before)]
            # Once for each bucket of prompts, though called often; one bucket has
            # more prompts than a batch.
            assert grown[0] == grown[1] >= grown[2] == 1, grown
            assert any(s.finish_reason == 'stop' for s in found)
            return found

        alone = run(make(), jax.make_mesh(
            (1, 1, 1), mesh.AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3,
            devices=jax.devices()[:1]))
        whole = mesh.make_mesh(schema.MeshConfig())
        assert whole.shape['data'] == 4
        assert run(make(), whole) == alone

        # The cache stays on its devices: each row's on one, each head's on one.
        both = mesh.make_mesh(schema.MeshConfig(data=2, tensor=2))
        _, program = t.decoding_program(tokenizer, both, batch_size=4)
        assert 'all-gather' not in program and 'all-to-all' not in program

        both = mesh.make_mesh(schema.MeshConfig(data=1, fsdp=2, tensor=2))
        graphdef, params = nnx.split(make())
        params = jax.tree_util.tree_map_with_path(
            lambda path, x: jax.device_put(
                x, mesh.parameter_sharding(both, param_tree.dotted(path), x.shape)),
            params)
        assert run(nnx.merge(graphdef, params), both) == alone
        print('same')
    """
    here = pathlib.Path(__file__).parent
    result = forks.run(
        '-c',
        textwrap.dedent(script),
        PYTHONPATH=f'{here}:{programs.PATH}',
        **programs.devices(4),
    )
    assert result.stdout.strip() == 'same', result.stderr[-3000:]
