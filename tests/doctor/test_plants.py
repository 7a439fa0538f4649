"""Faults planted into runs of this process, which the doctor must name by itself."""

import dataclasses
import itertools
import json
import pathlib
import shutil
import threading
from typing import Any

import faults
import harness
import jax
import numpy as np
import optax
import pytest
import tiny_runs
import unseen

from hax_jax import errors
from hax_jax.data import records, text
from hax_jax.doctor import (
    data_checks,
    diagnosis,
    examine,
    first_look,
    row_checks,
    subject,
)
from hax_jax.doctor.subject import Subject
from hax_jax.guards import reach
from hax_jax.measures import measure_data, measure_rows
from hax_jax.reference import row_texts
from hax_jax.runs import restore
from hax_jax.training import (
    first_step,
    resume,
    run_setup,
    run_step,
    starting,
    train_loop,
)
from hax_jax.watch import stopwatch

_BY_NAME = {fault.name: fault for fault in faults.FAULTS}


@pytest.fixture(scope='module')
def words(tmp_path_factory: pytest.TempPathFactory) -> text.Tokenizer:
    return harness.tokenizer(tmp_path_factory.mktemp('words') / 'words')


def _rows(
    folder: pathlib.Path, words: text.Tokenizer, name: str
) -> tuple[records.PackedCache, list[diagnosis.Finding]]:
    """The rows of a few letters with a fault in them, and what they show."""
    fault = _BY_NAME[name]
    made, run = harness.splits('column_*.md', most=15), harness.config()
    with faults.planted(fault, made, run, fault.strengths[-1]) as plant:
        cache = harness.cache(
            folder, plant.made, words, plant.run.data, plant.edit_rows
        )
    features = cache.features('train')
    numbers = measure_rows.measure(features, words, eos_id=words.eos_id)
    return cache, diagnosis.run(row_checks.CHECKS, numbers)


@pytest.mark.parametrize(
    'name',
    [
        'targets are ids[2:]',
        'targets are the inputs',
        'targets permuted',
        'EOS weight 0',
        'loss weights inverted',
        'positions not restarted',
        'all segments 1',
        'token ids permuted',
    ],
)
def test_a_fault_of_rows_is_named(
    tmp_path: pathlib.Path, words: text.Tokenizer, name: str
) -> None:
    _, found = _rows(tmp_path / 'rows', words, name)
    causes = [each.cause for each in found if each.verdict == diagnosis.FAIL]
    expected = _BY_NAME[name].expected
    assert any(word in cause for cause in causes for word in expected), causes


def test_rows_of_letters_are_well(
    tmp_path: pathlib.Path, words: text.Tokenizer
) -> None:
    made, data = harness.splits('column_*.md', most=15), harness.config().data
    cache = harness.cache(tmp_path / 'rows', made, words, data)
    numbers = measure_rows.measure(cache.features('train'), words, eos_id=words.eos_id)
    found = diagnosis.run(row_checks.CHECKS, numbers)
    assert {each.verdict for each in found} == {diagnosis.OK}
    assert numbers['pairs_a_row'] > 1.5


def test_parts_of_answers_that_fill_whole_rows_need_no_eos(
    tmp_path: pathlib.Path, words: text.Tokenizer
) -> None:
    made, run = harness.splits('column_*.md', most=15), harness.config()
    data = dataclasses.replace(run.data, seq_len=96, long_answers='split')
    cache = harness.cache(tmp_path / 'rows', made, words, data)
    rows = {key: x[:16] for key, x in cache.features('train').items()}
    found, numbers = examine.of_rows(
        cache, rows, words, question_weight=data.question_weight
    )
    assert [each.cause for each in found if each.verdict != diagnosis.OK] == []
    assert 'ended_share' not in numbers  # the longest rows come first: all are parts

    def without_eos(targets: np.ndarray) -> np.ndarray:
        return np.where(targets == words.eos_id, 5, targets)

    rows = dict(cache.features('train'))
    rows['targets'] = without_eos(rows['targets'])
    found, numbers = examine.of_rows(
        cache, rows, words, question_weight=data.question_weight
    )
    assert numbers['ended_share'] == 0
    assert any('do not end with EOS' in each.cause for each in found)


def test_letters_of_a_char_tokenizer_are_no_copies_of_each_other(
    tmp_path: pathlib.Path,
) -> None:
    """Twelve tokens are two words there, which any two letters share."""
    setting = dataclasses.replace(harness.FIRST, vocab_size=512, model_type='char')
    letters = harness.tokenizer(tmp_path / 'letters', setting)
    made, run = harness.splits('column_*.md'), harness.config()
    data = dataclasses.replace(run.data, seq_len=512, long_answers='split')
    cache = harness.cache(tmp_path / 'rows', made, letters, data)
    numbers = measure_data.measure(cache, letters)
    found = diagnosis.run((data_checks.disjoint,), numbers)
    assert [each.evidence for each in found if each.verdict != diagnosis.OK] == []
    assert numbers['run_tokens'] >= 34
    assert measure_data.tokens_of(cache, 128) >= 120


def test_rows_of_conversations_are_well(
    tmp_path: pathlib.Path, words: text.Tokenizer
) -> None:
    made = harness.splits('column_*.md', most=15)
    two = {
        name: [
            dataclasses.replace(
                pair, more=(other.question, other.answer), answer_weights=(0.0, 1.0)
            )
            for pair, other in itertools.pairwise([*content, content[0]])
        ]
        for name, content in made.items()
    }
    data = dataclasses.replace(harness.config().data, seq_len=1024)
    cache = harness.cache(tmp_path / 'rows', two, words, data)
    numbers = measure_rows.measure(cache.features('train'), words, eos_id=words.eos_id)
    found = diagnosis.run(row_checks.CHECKS, numbers)
    assert {each.verdict for each in found} == {diagnosis.OK}
    assert numbers['pairs_in_rows'] == numbers['segments_in_rows'] == 12


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('template twice', ''),  # the texts had it, so the rows are as the dataset
        ('EOS inside answers', 'EOS stands elsewhere'),
        ('a fifth of the targets damaged', 'targets are not the tokens'),
        ('answers cut at 24 tokens', 'the answer is cut'),
    ],
)
def test_rows_are_compared_with_the_texts_of_their_pairs(
    tmp_path: pathlib.Path, words: text.Tokenizer, name: str, kind: str
) -> None:
    fault = next(each for each in unseen.FAULTS if each.name == name)
    made, run = harness.splits('column_*.md', most=15), harness.config()
    with faults.planted(fault, made, run, 1.0) as plant:
        rows = harness.cache(
            tmp_path / 'rows', plant.made, words, run.data, plant.edit_rows
        )
        pairs = plant.made['train']
    numbers = row_texts.compare(rows, words, pairs, 'train')
    assert numbers['rows_compared'] == 12
    assert numbers['rows_as_pairs'] == (0.0 if kind else 1.0)
    assert all(each.startswith(kind) for each in numbers['row_differences'])
    found = measure_rows.measure(rows.features('train'), words, eos_id=words.eos_id)
    bad = diagnosis.run(row_checks.CHECKS, found)
    causes = [each.cause for each in bad if each.verdict == diagnosis.FAIL]
    named = any(word in each for each in causes for word in fault.expected)
    assert named or name == 'answers cut at 24 tokens'


_TEMPLATES = (
    'Your {0} will come round if you listen to the {1} with patience every evening, '
    'and always keep calm together when somebody complains.',
    'Never mind the {1}: buy a present for your {0}, apologize sincerely, and go '
    'fishing at the weekend with somebody cheerful and patient.',
)


_SIGNED = '\n\nWrite to the desk by the harbor, where each letter is read to its end.'


@pytest.mark.parametrize('name', ['templates', 'copied', 'edited', 'signed', 'swapped'])
def test_letters_of_few_templates_are_no_copies_and_not_swapped(
    tmp_path: pathlib.Path, words: text.Tokenizer, name: str
) -> None:
    made = harness.splits('*.md')
    if name == 'templates':
        people = [
            'mother',
            'brother',
            'cousin',
            'neighbor',
            'boss',
            'uncle',
            'friend',
            'aunt',
        ]
        things = [
            'ladder',
            'kettle',
            'bicycle',
            'lamp',
            'tent',
            'guitar',
            'drill',
            'blanket',
        ]
        numbers = itertools.count()

        def templated(pair: records.QaPair) -> records.QaPair:
            n = next(numbers)
            slots = people[n % 8], things[n * 7 // 8 % 8]
            answer = _TEMPLATES[n * 5 // 3 % 2].format(*slots)
            return dataclasses.replace(pair, answer=answer)

        made = {split: [templated(each) for each in x] for split, x in made.items()}
        expected = {'splits': diagnosis.WARN, 'answers': diagnosis.WARN}
        cause = 'few templates'
    elif name == 'signed':
        made = {
            split: [dataclasses.replace(x, answer=x.answer + _SIGNED) for x in pairs]
            for split, pairs in made.items()
        }
        expected, cause = {'splits': diagnosis.WARN}, 'share passages'
    else:
        fault = _BY_NAME[
            'answers swapped' if name == 'swapped' else 'validation copied into train'
        ]
        held_out = made['validation']
        with faults.planted(fault, made, harness.config(), 1.0) as plant:
            made = plant.made
        if name == 'edited':
            made['validation'] = [
                dataclasses.replace(each, answer=f'Well then: {each.answer} Good luck.')
                for each in held_out
            ]
        expected = {'answers' if name == 'swapped' else 'splits': diagnosis.FAIL}
        cause = 'swapped' if name == 'swapped' else 'copied into training'
    cache = harness.cache(tmp_path / 'rows', made, words, harness.config().data)
    found = diagnosis.run(data_checks.CHECKS, measure_data.measure(cache, words))
    bad = {each.id: each for each in found if each.verdict != diagnosis.OK}
    assert {name: each.verdict for name, each in bad.items()} == expected
    assert all(cause in each.cause for each in bad.values())


@pytest.fixture(scope='module')
def planted_cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('cache') / 'rows')


def _found(workdir: pathlib.Path) -> dict[str, str]:
    """Id -> cause of what a run's own doctor found before its first step."""
    found = diagnosis.read(workdir)
    return {each.id: each.cause for each in found if each.verdict != diagnosis.OK}


_START = {'model__n_layer': 2, 'optimizer__warmup_steps': 0}
_SHORT = {**_START, 'train__num_steps': 2, 'train__eval_every_steps': 2}


def test_attention_without_its_mask_is_named_before_step_1(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subject, 'LARGEST_MODEL', 0)  # what is not done is said
    monkeypatch.setattr(first_look, '_LARGEST_TRAINED', 0)
    run = tiny_runs.make_config(**_SHORT, model__attention='xla')
    fault = _BY_NAME['no causal mask']
    with faults.planted(fault, {}, run, 1.0):
        tiny_runs.train(planted_cache, tmp_path / 'run', run)
    assert 'no causal mask' in _found(tmp_path / 'run')['causality']
    out = capsys.readouterr().out
    assert 'not looked at: what the first step changes' in out
    # In full before the step, and not again after it: the program's end reminds of it.
    assert out.count('FAIL causality') == 1
    assert 'told at the start' not in out


def test_a_run_goes_on_where_a_later_jax_writes_programs_another_way(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reach, '_consts_and_carry', lambda scan: scan['of_a_later_jax'])
    run = tiny_runs.make_config(**_SHORT)
    tiny_runs.train(planted_cache, tmp_path / 'run', run)
    out = capsys.readouterr().out
    assert 'not looked at: what the step can teach, as the programs of jax' in out
    assert out.count('step 2/2') == 1


@pytest.mark.parametrize(
    'name',
    ['one batch again and again', 'a stream that stands', 'evaluated on training rows'],
)
def test_rows_that_are_not_due_are_named_before_step_1(
    tmp_path: pathlib.Path, planted_cache: records.PackedCache, name: str
) -> None:
    run = tiny_runs.make_config(**_SHORT)
    fault = next(each for each in unseen.FAULTS if each.name == name)
    with faults.planted(fault, {}, run, 1.0):
        tiny_runs.train(planted_cache, tmp_path / 'run', run)
    causes = _found(tmp_path / 'run').values()
    assert any(fault.expected[0] in cause for cause in causes), causes


def test_an_evaluation_of_fewer_rows_than_a_batch_is_well(
    tmp_path: pathlib.Path,
) -> None:
    cache = tiny_runs.write_cache(tmp_path / 'rows', num_validation=4)
    assert cache.num_rows('validation') < 8
    run = tiny_runs.make_config(**_SHORT)
    tiny_runs.train(cache, tmp_path / 'run', run)
    numbers = json.loads((tmp_path / 'run' / diagnosis.FILE).read_text())['numbers']
    for name in ('as_packed', 'next_as_packed', 'evaluated_as_packed'):
        assert set(numbers[name].values()) == {1.0}
    # The doctor judges the loss on which the run prints its verdict.
    lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
    first = next(row for row in map(json.loads, lines) if row['kind'] == 'evaluation')
    assert (first['step'], first['eval_loss']) == (0, numbers['validation_loss'])


@pytest.fixture(scope='module')
def looked_at(
    tmp_path_factory: pytest.TempPathFactory, planted_cache: records.PackedCache
) -> pathlib.Path:
    """A healthy run, at which the doctor has looked."""
    run = tiny_runs.make_config(**_SHORT, train__grad_accum_steps=2)
    return tiny_runs.train(planted_cache, tmp_path_factory.mktemp('run') / 'run', run)


def test_the_doctor_changes_no_bit_of_a_run(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    looked_at: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = json.loads((looked_at / diagnosis.FILE).read_text())['numbers']
    assert numbers['step_count'] == 1
    assert 0.99 < numbers['microbatch_gradient_ratio'] < 1.01
    assert _found(looked_at) == {}

    def nothing(subject: Subject, **_: Any) -> first_look.Look:
        return first_look.Look(subject, subject.state, {'left_out': [], 'seconds': 0})

    monkeypatch.setattr(first_look, 'look', nothing)
    monkeypatch.setattr(first_look, 'compiled', lambda *_, **__: None)
    run = tiny_runs.make_config(**_SHORT, train__grad_accum_steps=2)
    plain = tiny_runs.train(planted_cache, tmp_path / 'plain', run)
    a, b = (restore.parameters(str(each)) for each in (looked_at, plain))
    assert all((a[name] == b[name]).all() for name in a)
    assert [row['loss'] for row in tiny_runs.lines(looked_at, 'train')] == [
        row['loss'] for row in tiny_runs.lines(plain, 'train')
    ]


def test_the_look_beside_compiling_makes_no_program_of_the_eval_step_again(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, seen = first_look.look, []

    def look(subject: Subject, **given: Any) -> first_look.Look:
        found = plain(subject, **given)
        thread = threading.current_thread()
        seen.append((subject.eval_step, thread is threading.main_thread()))
        return found

    monkeypatch.setattr(first_look, 'look', look)
    tiny_runs.train(planted_cache, tmp_path / 'run', tiny_runs.make_config(**_SHORT))
    ((eval_step, is_main),) = seen
    assert (eval_step._cache_size(), is_main) == (1, False)


def test_a_look_that_takes_too_long_leaves_the_least_out_and_says_so(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    looked_at: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(first_look, '_LEAST_SECONDS', 0.0)
    monkeypatch.setattr(first_look, '_SHARE', 0.0)
    # Of no time, the batch's loss would be left out too once the run waits for it.
    monkeypatch.setattr(stopwatch.Waiting, 'seconds', lambda _: 0.0)
    run = tiny_runs.make_config(**_SHORT, train__grad_accum_steps=2)
    tiny_runs.train(planted_cache, tmp_path / 'run', run)
    out = capsys.readouterr().out
    for parts in (
        'what the first step changes, what losses depend on',
        'gradients by microbatch',
    ):
        assert f'not looked at: {parts}, as the look would take over 0.0 s ' in out
    found = {each.id for each in diagnosis.read(tmp_path / 'run')}
    assert 'labels' in found
    assert 'causality' not in found
    assert 'causality' in {each.id for each in diagnosis.read(looked_at)}


@pytest.fixture(scope='module')
def half(
    tmp_path_factory: pytest.TempPathFactory, planted_cache: records.PackedCache
) -> pathlib.Path:
    """A run of 5 steps, of which the doctor has found nothing."""
    run = tiny_runs.make_config(train__num_steps=5, **_START)
    folder = tmp_path_factory.mktemp('half') / 'run'
    assert _found(tiny_runs.train(planted_cache, folder, run)) == {}
    return folder


@pytest.mark.parametrize(
    ('factor', 'cause'),
    [(1.0, ''), (0.0, 'moments were lost between'), (1e-4, 'of another scale')],
)
def test_moments_that_a_resume_lost_are_named_at_its_first_step(
    tmp_path: pathlib.Path,
    half: pathlib.Path,
    planted_cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
    cause: str,
) -> None:
    whole = tiny_runs.make_config(train__num_steps=10, **_START)
    workdir = shutil.copytree(half, tmp_path / 'run')
    plain = resume.restored

    def restored(*given: Any) -> Any:
        state = plain(*given)

        def faulty(part: Any) -> Any:
            if not isinstance(part, optax.ScaleByAdamState):
                return part
            return part._replace(nu=jax.tree.map(lambda x: x * factor, part.nu))

        is_adam = lambda part: isinstance(part, optax.ScaleByAdamState)  # noqa: E731
        opt_state = jax.tree.map(faulty, state.opt_state, is_leaf=is_adam)
        return dataclasses.replace(state, opt_state=opt_state)

    monkeypatch.setattr(resume, 'restored', restored)
    setup = run_setup.prepare(whole, planted_cache, begin=starting.progress(workdir))
    changed = ['train.num_steps']
    train_loop.train(setup, workdir, allow_change=changed)
    found = _found(workdir)
    assert found.keys() == ({'resumed moments'} if cause else set())
    assert cause in found.get('resumed moments', '')
    ids = [each.id for each in diagnosis.read(workdir)]
    assert ids.count('resumed moments') == 1
    assert 'causality' in ids  # what was found at the first step stays


def test_adapters_under_stop_gradient_are_named_before_step_1(
    tmp_path: pathlib.Path,
    planted_cache: records.PackedCache,
    looked_at: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, before = examine.told, []

    def told(look: first_look.Look, *rest: Any) -> list[diagnosis.Finding]:
        assert look.numbers['file_compared'] and look.subject.base is None  # freed
        before.extend(examine.judged(look.numbers))
        return plain(look, *rest)

    monkeypatch.setattr(examine, 'told', told)
    run = tiny_runs.lora(tiny_runs.make_config(**_SHORT), looked_at)
    with faults.planted(_BY_NAME['LoRA under stop_gradient'], {}, run, 1.0):
        tiny_runs.train(planted_cache, tmp_path / 'run', run)
    (bad,) = (each for each in before if each.verdict == diagnosis.FAIL)
    assert (bad.id, 'stop_gradient' in bad.cause) == ('gradients', True)
    assert bad in diagnosis.read(tmp_path / 'run')


@pytest.mark.parametrize(
    ('fault', 'cause'),
    [
        ('targets are ids[2:]', 'shifted twice'),
        ('targets are the inputs', 'the targets are the inputs themselves'),
        ('targets permuted', 'permuted'),
        ('all segments 1', 'have one segment id'),
    ],
)
def test_wrong_labels_stop_a_run_with_their_cause(
    fault: str, cause: str, tmp_path: pathlib.Path, words: text.Tokenizer
) -> None:
    cache, _ = _rows(tmp_path / 'rows', words, fault)
    run = harness.config(train__num_sample_questions=0)
    setup = run_setup.prepare(run, cache)
    batch = next(run_step.batches_of(setup))
    with pytest.raises(errors.InputError, match=cause):
        first_step.check_labels(setup, batch, tmp_path)
    (worst, *_) = diagnosis.read(tmp_path)
    assert (worst.verdict, cause in worst.cause) == (diagnosis.FAIL, True)


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(_BY_NAME))
def test_each_fault_is_named(
    name: str, tmp_path: pathlib.Path, words: text.Tokenizer, slow_base: pathlib.Path
) -> None:
    import table

    fault = _BY_NAME[name]
    run = harness.on(
        harness.config(optimizer__learning_rate=harness.FIRST.rate), slow_base
    )
    if fault.kind == 'lora':
        run = harness.lora(run)
    made = harness.splits(fault.data)
    with faults.planted(fault, made, run, fault.strengths[-1]) as plant:
        result = table.examined(tmp_path, plant, words)
    when, _ = table.named(result, fault.expected)
    assert when.endswith('step 0') or (when and not fault.before)


@pytest.fixture(scope='module')
def slow_base(
    tmp_path_factory: pytest.TempPathFactory, words: text.Tokenizer
) -> pathlib.Path:
    return harness.base(tmp_path_factory.mktemp('base'), words)
