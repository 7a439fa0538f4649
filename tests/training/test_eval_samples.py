"""A run's answers to a few questions: they follow the model and disturb nothing."""

import json
import pathlib
import shutil
from typing import Any

import answered_runs
import processes
import pytest
import tiny_runs

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.devices import mesh
from hax_jax.runs import origin, restore
from hax_jax.sampling import chat, decode, generation, prompt_fitting, prompts
from hax_jax.training import eval_samples, run_setup, train_loop

_CHILD = """
import pathlib, sys
import answered_runs
import jax
from hax_jax.data import records
from hax_jax.devices import runtime
from hax_jax.training import eval_samples, run_setup
from hax_jax.watch import metrics, stopwatch
from hax_jax.training import train_state
runtime.start()
run = answered_runs.make_config(mesh__fsdp=2, mesh__tensor=2)
setup = run_setup.prepare(run, records.open_cache(sys.argv[1]))
workdir = pathlib.Path(sys.argv[2])
workdir.mkdir(exist_ok=True)
watch = stopwatch.Stopwatch()
report = metrics.Report(workdir, start=0, num_steps=1, late=False, watch=watch)
with jax.set_mesh(setup.mesh), watch:
    state = train_state.create(setup.blueprint, seed=run.train.seed)
    eval_samples.RunSamples(setup, workdir, start=0).write(state, report)
"""
_compiled: list[tuple[int, int]] = []  # after each evaluation of `whole`


@pytest.fixture(scope='module')
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


@pytest.fixture(scope='module')
def cache(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: text.Tokenizer
) -> records.PackedCache:
    folder = tmp_path_factory.mktemp('data') / 'cache'
    pairs = [answered_runs.pair(i) for i in range(12)]
    return answered_runs.write_cache(folder, tokenizer, pairs)


def train(cache: records.PackedCache, workdir: pathlib.Path, **changes: object) -> None:
    run, _ = origin.resolve(answered_runs.make_config(**changes))
    train_loop.train(run_setup.prepare(run, cache), workdir, allow_change=[])


def samples(workdir: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in open(workdir / 'samples.jsonl', 'rb')]


def losses(workdir: pathlib.Path) -> list[tuple[float, float]]:
    return [
        (row['loss'], row['grad_norm']) for row in tiny_runs.lines(workdir, 'train')
    ]


@pytest.fixture(scope='module')
def whole(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 4 steps, two questions answered at 0, 2 and 4."""
    workdir = tmp_path_factory.mktemp('runs') / 'whole'
    write = eval_samples.RunSamples.write

    def counted(*arguments: Any) -> None:
        write(*arguments)
        _compiled.append((decode.prefill._cache_size(), decode.decode._cache_size()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eval_samples.RunSamples, 'write', counted)
        train(cache, workdir)
    return workdir


def test_answers_are_those_that_the_model_of_that_step_samples(
    whole: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    found = samples(whole)
    assert [(row['step'], row['id']) for row in found] == [
        (step, id) for step in (0, 2, 4) for id in ('p0', 'p1')
    ]
    questions = [
        prompts.Question(f'p{i}', answered_runs.QUESTIONS[i], '') for i in (0, 1)
    ]
    fitted = prompt_fitting.fit(questions, tokenizer, n_positions=96, max_new_tokens=12)
    loaded = restore.load(str(whole), step=4)
    generator = generation.Generator(
        loaded.model, tokenizer, mesh=mesh.make_mesh(schema.MeshConfig())
    )
    settings = schema.SamplingConfig(max_new_tokens=12)
    for row, expected in zip(
        found[4:], generator.samples(fitted, settings), strict=True
    ):
        assert row['prompt'] == expected.prompt
        assert row['text'] == expected.text
        assert row['finish_reason'] == expected.finish_reason
        assert (row['temperature'], row['max_new_tokens']) == (0.7, 12)
    assert found[0]['text'] != found[4]['text']  # it has learned something


def test_metrics_have_the_figures_of_the_answers(whole: pathlib.Path) -> None:
    figures = tiny_runs.lines(whole, 'samples')
    assert [row['step'] for row in figures] == [0, 2, 4]
    found = samples(whole)
    for row in figures:
        mine = [sample for sample in found if sample['step'] == row['step']]
        assert row['answers'] == len(mine) == 2
        assert row['mean_length'] == sum(s['num_tokens'] for s in mine) / 2
        ended = [s['finish_reason'] == 'eos' for s in mine]
        assert row['eos_share'] == sum(ended) / 2
        words = [word for s in mine for word in s['text'].lower().split()]
        assert row['distinct_1'] == pytest.approx(len(set(words)) / len(words))


def test_answering_does_not_disturb_training(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(cache, tmp_path, train__num_sample_questions=0)
    assert losses(tmp_path) == losses(whole)
    assert tiny_runs.lines(tmp_path, 'evaluation') == tiny_runs.lines(
        whole, 'evaluation'
    )
    assert tiny_runs.lines(tmp_path, 'samples') == []
    assert not (tmp_path / 'samples.jsonl').exists()


def test_a_run_that_lost_its_last_steps_has_no_line_twice(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cut = tmp_path / 'cut'
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / 'checkpoints' / '4')  # killed before it was saved
    assert samples(cut)[-1]['step'] == 4
    train(cache, cut)
    assert (cut / 'samples.jsonl').read_bytes() == (
        whole / 'samples.jsonl'
    ).read_bytes()
    assert losses(cut) == losses(whole)
    # Gone on with as another cadence, what came after the checkpoint is gone too.
    no_more = answered_runs.make_config(train__num_sample_questions=0)
    eval_samples.RunSamples(run_setup.prepare(no_more, cache), cut, start=2)
    assert {row['step'] for row in samples(cut)} == {0, 2}


def test_a_file_that_something_else_changed_is_named(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = (whole / 'samples.jsonl').read_text()
    (tmp_path / 'samples.jsonl').write_text(before + '{"step": 4\n')
    setup = run_setup.prepare(answered_runs.make_config(), cache)
    with pytest.raises(
        errors.InputError, match=r'samples\.jsonl, line 7, is no sample'
    ):
        eval_samples.RunSamples(setup, tmp_path, start=2)


def test_nothing_is_compiled_anew_at_the_next_evaluation(whole: pathlib.Path) -> None:
    assert len(_compiled) == 3
    assert min(_compiled[0]) >= 1
    assert set(_compiled) == {_compiled[0]}


def test_an_adapter_answers_unmerged_and_begins_as_its_base(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(
        cache,
        tmp_path,
        model__pretrained=str(whole),
        lora__rank=4,
        lora__dora=True,
        lora__targets=('attn.c_attn', 'lm_head'),
        train__num_steps=2,
        optimizer__learning_rate=0.1,
    )
    best = restore.find_step(whole, None).step
    of_base = [row['text'] for row in samples(whole) if row['step'] == best]
    assert [row['text'] for row in samples(tmp_path)[:2]] == of_base
    assert [row['text'] for row in samples(tmp_path)[2:]] != of_base


def test_questions_are_the_first_of_each_source_in_turn(
    tokenizer: text.Tokenizer, tmp_path: pathlib.Path
) -> None:
    long = 'Why does she say so? ' * 8
    pairs = [
        answered_runs.pair(1, question=long),
        answered_runs.pair(2),
        answered_runs.pair(3, answer=answered_runs.ANSWER * 9),  # in several parts
        answered_runs.pair(4),
        answered_runs.pair(5),
    ]
    cache = answered_runs.write_cache(tmp_path / 'cache', tokenizer, pairs)
    parts = [s.id for s in cache.segments('validation')]
    assert parts.count('p3') > 1

    def chosen(number: int, room: int) -> list[str]:
        fitted = eval_samples.questions(cache, tokenizer, number=number, room=room)
        return [question.id for question in fitted.questions]

    assert chosen(3, room=1000) == ['p1', 'p4', 'p2']
    assert chosen(9, room=1000) == ['p1', 'p4', 'p2', 'p3', 'p5']
    # A question that leaves no room for its answer comes last.
    assert chosen(9, room=60) == ['p2', 'p4', 'p3', 'p5', 'p1']
    fitted = eval_samples.questions(cache, tokenizer, number=9, room=1000)
    pieces = text.template(tokenizer)
    for question, prompt in zip(fitted.questions, fitted.prompts, strict=True):
        (pair,) = [pair for pair in pairs if pair.id == question.id]
        ids = tokenizer.encode([pair.question])[0]
        whole = text.prompt(pieces, ids, max_length=1000)
        if question.id in ('p2', 'p4', 'p5'):
            assert prompt.ids == whole.ids
            assert question.text == pair.question
        assert prompt.ids[: len(pieces.head)] == pieces.head
        assert prompt.ids[-len(pieces.tail) :] == pieces.tail


def test_a_conversation_s_question_is_its_last_after_the_turns_before(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    pair = answered_runs.pair(0)
    turns = [('Why?', 'No.', 0.0), ('And?', 'So.', 1.0), ('Who?', 'Ann.', 1.0)]
    talk = pair.with_exchanges([records.Exchange(*turn) for turn in turns])
    cache = answered_runs.write_cache(tmp_path / 'cache', tokenizer, [talk])
    fitted = eval_samples.questions(cache, tokenizer, number=1, room=1000)
    ours = chat.Conversation(tokenizer, n_positions=96)
    ours.turns += [chat.Turn(*turn[:2], 'eos') for turn in turns[:2]]
    row = ours.prepare('Who?', schema.SamplingConfig(max_new_tokens=8), sample=0).row
    assert fitted.prompts[0].ids == row.prompt.ids
    assert fitted.questions[0].text == (
        'Why?\n\nANSWER:\nNo.\n\nQUESTION:\nAnd?\n\nANSWER:\nSo.\n\nQUESTION:\nWho?'
    )


def test_two_processes_on_a_mesh_of_four_devices_answer_as_one_device_does(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    outputs = processes.run_well(
        '-c', _CHILD, cache.path, tmp_path / 'run', num_processes=2, devices=2
    )
    found = [(row['step'], row['id'], row['text']) for row in samples(tmp_path / 'run')]
    expected = [(row['step'], row['id'], row['text']) for row in samples(whole)]
    assert found == expected[:2]  # before training
    assert 'samples.jsonl' in outputs[0]
    assert 'samples.jsonl' not in outputs[1]  # one process reports
