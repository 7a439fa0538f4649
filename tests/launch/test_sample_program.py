"""launch.sample on a small run that was trained here."""

import io
import json
import pathlib
import subprocess
import types
from collections.abc import Iterator
from typing import Any

import forks
import numpy as np
import programs
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from hax_jax import errors, files
from hax_jax.data import packing, records, text
from hax_jax.devices import runtime
from hax_jax.program import results
from hax_jax.runs import restore
from hax_jax.sampling import answer_file, answer_table, generation
from hax_jax.training import run_setup, train_loop
from launch import sample

_FAST = ('--max_new_tokens=8', '--batch_size=2')
_LETTERS = ['My mother visits.\n\nWhy?', 'Is it rude?', 'Who pays?']
_SETTINGS = {
    'template': text.TEMPLATE_VERSION,
    'max_new_tokens': 8,
    'temperature': 0.7,
    'top_k': 50,
    'top_p': 0.9,
    'min_p': 0.0,
    'repetition_penalty': 1.0,
    'no_repeat_ngram': 0,
    'min_new_tokens': 0,
    'stop': [],
    'num_samples': 1,
    'batch_size': 2,
}


@pytest.fixture(scope='module')
def workdir(
    tmp_path_factory: pytest.TempPathFactory, sentencepiece_folder: pathlib.Path
) -> pathlib.Path:
    """A run of four steps, evaluated at 2 and 4, whose model has 96 positions."""
    folder = tmp_path_factory.mktemp('run')
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    pairs = [
        records.QaPair(
            id=f'{i}',
            group=f'{i}',
            source='chat',
            file='a.md',
            line=1,
            topic='',
            time='',
            question=_LETTERS[i % 3],
            answer='Ask her once, kindly, to call first.',
        )
        for i in range(12)
    ]
    tokenized = packing.tokenize(pairs, tokenizer, seq_len=96, long_answers='drop')
    split = packing.pack(tokenized.pairs, seq_len=96, question_weight=0.0)
    meta = {
        'tokenizer': tokenizer.fingerprint,
        'template': text.TEMPLATE_VERSION,
        'seq_len': 96,
        'splits': dict.fromkeys(records.SPLITS, packing.count_positions(split)),
        'vocab_size': tokenizer.vocab_size,
        'eos_id': tokenizer.eos_id,
    }
    with files.new_folder(folder / 'cache') as new:
        (new / 'tokenizer').mkdir()
        tokenizer.save(new / 'tokenizer')
        records.write_cache(new, dict.fromkeys(records.SPLITS, split), meta)
    run = tiny_runs.make_config(
        data__seq_len=96,
        model__n_layer=2,
        model__n_positions=96,
        model__vocab_size=tokenizer.vocab_size,
        train__num_steps=4,
        train__batch_size=2,
        train__eval_every_steps=2,
        train__checkpoint_every_steps=2,
        optimizer__warmup_steps=0,
    )
    cache = records.open_cache(folder / 'cache')
    train_loop.train(run_setup.prepare(run, cache), folder / 'run', allow_change=[])
    return folder / 'run'


@pytest.fixture(autouse=True)
def _keep_this_process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, 'start', lambda: None)


def run_here(*arguments: object) -> None:
    with flagsaver.flagsaver():
        flags.FLAGS(['sample', *map(str, arguments)])
        sample.main()


def run_command(
    *arguments: object,
    given: str = '',
    environment: dict[str, str] | None = None,
    program: str = 'launch.sample',
) -> subprocess.CompletedProcess:
    return forks.run('-m', program, *arguments, given=given, **(environment or {}))


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def message(*arguments: object) -> str:
    with pytest.raises(errors.InputError) as error:
        run_here(*arguments)
    return str(error.value)


def test_a_file_of_letters_becomes_json_lines(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    letters, output = tmp_path / 'questions.txt', tmp_path / 'new' / 'samples.jsonl'
    letters.write_text('\n---\n'.join(_LETTERS))
    result = run_command(
        f'--workdir={workdir}', f'--prompts={letters}', f'--output={output}', *_FAST
    )
    assert result.returncode == 0, result.stderr
    assert 'sample 3/3' in result.stdout
    loaded = restore.load(str(workdir))
    assert f'{workdir} at step {loaded.step} ({loaded.why})' in result.stderr
    assert f'{output} has 3 samples, 3 of them new (ended by: ' in result.stderr
    assert 'Traceback' not in result.stderr
    rows = read_lines(output)
    assert [row['prompt'] for row in rows] == _LETTERS
    for row in rows:
        assert {name: row[name] for name in _SETTINGS} == _SETTINGS
        assert (row['step'], row['step_reason']) == (loaded.step, loaded.why)
        assert row['workdir'] == str(workdir)
        assert (row['sample'], row['seed'], row['prompt_tokens_cut']) == (0, 0, 0)
        assert row['finish_reason'] in ('eos', 'length')
        assert 1 <= row['num_tokens'] <= 8
        assert row['prompt_tokens'] > 10
        assert isinstance(row['text'], str)
        assert len(row['id']) == 12


def test_an_answer_is_printed_alone_on_standard_output(workdir: pathlib.Path) -> None:
    by_flag = run_command(f'--workdir={workdir}', f'--prompt={_LETTERS[1]}', *_FAST)
    assert by_flag.returncode == 0, by_flag.stderr
    assert by_flag.stdout.startswith('--- --prompt (id ')
    assert str(workdir) not in by_flag.stdout
    assert f'{workdir} at step ' in by_flag.stderr
    by_pipe = run_command(f'--workdir={workdir}', *_FAST, given=_LETTERS[1])
    assert by_pipe.returncode == 0, by_pipe.stderr
    assert by_pipe.stdout.split('\n')[1:] == by_flag.stdout.split('\n')[1:]


def test_mistakes_are_one_error_and_no_traceback(workdir: pathlib.Path) -> None:
    result = run_command(f'--workdir={workdir}', '--prompt=Why?', '--top_p=2')
    assert result.returncode == 2
    assert result.stderr == (
        'error: top_p=2.0 is not accepted; use over 0.0 and up to 1.0 (off).\n'
    )
    assert result.stdout == ''


def test_tensorflow_is_not_imported() -> None:
    code = 'import sys, launch.sample; print("tensorflow" in sys.modules)'
    result = programs.run('-c', code)
    assert result.stdout.strip() == 'False', result.stderr


def test_several_samples_follow_their_seeds_whatever_the_batch(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    letters = tmp_path / 'letters.jsonl'
    rows = [
        {'id': 'a', 'question': _LETTERS[0]},
        {'id': 'b', 'question': _LETTERS[1], 'seed': 5},
    ]
    letters.write_text('\n'.join(map(json.dumps, rows)))
    arguments = (
        f'--workdir={workdir}',
        '--max_new_tokens=8',
        '--temperature=2.0',
        '--top_k=0',
        '--top_p=1.0',
    )
    three, one = tmp_path / 'three.jsonl', tmp_path / 'one.jsonl'
    run_here(
        *arguments,
        f'--prompts={letters}',
        '--num_samples=3',
        '--seed=1',
        f'--output={three}',
    )
    found = read_lines(three)
    keys = [(row['id'], row['sample'], row['seed']) for row in found]
    assert keys == [(name, i, s) for name, s in (('a', 1), ('b', 5)) for i in range(3)]
    assert len({row['text'] for row in found}) == 6
    letters.write_text(json.dumps(rows[1]))
    run_here(*arguments, f'--prompts={letters}', f'--output={one}')
    [alone] = read_lines(one)
    assert alone['text'] == found[3]['text']


def test_the_step_that_was_asked_for_is_used_and_said(
    workdir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ('--prompt=Why?', *_FAST)
    here = f'--workdir={workdir}'
    for step, ask in ((2, (here, '--step=2')), (4, (f'{here}@4',))):
        output = tmp_path / f'{step}.jsonl'
        run_here(*arguments, *ask, f'--output={output}')
        assert read_lines(output)[0]['step'] == step
        assert f'{workdir} at step {step} (as asked)' in capsys.readouterr().err
    assert 'no checkpoint of step 3; it has 2, 4.' in message(
        *arguments, here, '--step=3'
    )
    lines = message(*arguments, f'{here}@4', '--step=2').split('\n')
    assert lines == [f'--workdir={workdir}@4 and --step=2 both name a step; give one.']
    lines = message(*arguments, f'{here}@4', f'{here}@4', f'{here}@5').split('\n')
    assert lines == [
        f'--workdir={workdir}@4 is step 4 again; remove it.',
        f'{workdir} has no checkpoint of step 5; it has 2, 4.',
    ]


def test_what_is_cut_or_cleaned_is_said(
    workdir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / 'samples.jsonl'
    run_here(
        f'--workdir={workdir}',
        '--prompt=Is\u00a0it rude,&amp; why?\u200b',
        '--prompt=' + 'Is it rude? ' * 60,
        f'--output={output}',
        '--max_new_tokens=300',
    )
    error = capsys.readouterr().err
    assert '1 of 2 questions shortened to leave room' in error
    assert 'max_new_tokens=300 does not fit beside 2 of 2 questions' in error
    assert '1 of 2 letters cleaned of odd spaces' in error
    short, long = read_lines(output)
    assert short['prompt'] == 'Is it rude,& why?'
    assert short['prompt_tokens_cut'] == 0
    assert long['prompt_tokens_cut'] > 0
    assert long['finish_reason'] in ('eos', 'n_positions')


def test_all_wrong_flags_are_named_at_once_before_anything_is_read(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'file').touch()
    lines = message(
        '--prompt=Why?',
        '--prompts=missing.txt',
        '--num_samples=0',
        '--batch_size=-1',
        '--max_new_tokens=0',
        '--temperature=nan',
        '--top_k=-1',
        '--seed=-1',
        f'--output={tmp_path / "file" / "samples.jsonl"}',
    ).split('\n')
    starts = [
        '--workdir is missing',
        '--prompt and --prompts are both given',
        '--num_samples=0 is not accepted',
        '--batch_size=-1 is not accepted',
        'max_new_tokens=0 is not accepted',
        'temperature=nan is not accepted',
        'top_k=-1 is not accepted',
        'seed=-1 is not accepted',
        f'--output={tmp_path / "file" / "samples.jsonl"}: {tmp_path / "file"} is not',
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)


def test_each_other_mistake_is_one_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f'--workdir={tmp_path}'
    assert 'is a folder' in message(here, '--prompt=Why?', f'--output={tmp_path}')
    assert '--batch_size=1048577 is not accepted; use from 1 to 1,048' in message(
        here, '--prompt=Why?', '--batch_size=1048577'
    )
    assert 'makes 2,000,000 answers; ask for 1,048,576 at most' in message(
        here, '--prompt=Why?', '--prompt=Who?', '--num_samples=1000000'
    )
    assert 'same answer num_samples=2 times' in message(
        here, '--prompt=Why?', '--temperature=0', '--num_samples=2'
    )
    letters = tmp_path / 'letters.md'
    assert '--prompts and --table are the same file' in message(
        here, f'--prompts={letters}', f'--table={letters}'
    )
    assert '--output and --table are the same file' in message(
        here, '--prompt=Why?', f'--output={letters}', f'--table={letters}'
    )
    assert 'does not exist' in message(here, f'--prompts={tmp_path / "no.txt"}')
    assert 'invisible' in message(here, '--prompt=\u200b', '--prompt=Why?')
    assert 'is not a run' in message(here, '--prompt=Why?')
    stdin = types.SimpleNamespace(buffer=io.BytesIO(b''), isatty=lambda: False)
    monkeypatch.setattr('sys.stdin', stdin)
    assert 'standard input is empty' in message(here)
    stdin.isatty = lambda: True
    assert 'there is no letter to answer; give --prompt' in message(here)


def answers_of(path: pathlib.Path) -> list[tuple[int, str, int, str]]:
    rows = read_lines(path)
    return [(row['step'], row['id'], row['sample'], row['text']) for row in rows]


def test_a_killed_run_goes_on_to_the_very_same_file(
    workdir: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [f'--workdir={workdir}@2', f'--workdir={workdir}@4', *_FAST]
    arguments += [f'--prompt={letter}' for letter in _LETTERS]
    arguments += ['--num_samples=2', '--temperature=2', '--logprobs']
    whole, killed = tmp_path / 'whole.jsonl', tmp_path / 'killed.jsonl'
    run_here(*arguments, f'--output={whole}')
    append = answer_file.AnswerFile.append
    batches = []

    def stop(self: answer_file.AnswerFile, rows: list[dict[str, Any]]) -> None:
        # Some answers of the second checkpoint are there.
        if len(batches) == 6:
            raise KeyboardInterrupt
        batches.append(rows)
        append(self, rows)

    monkeypatch.setattr(answer_file.AnswerFile, 'append', stop)
    with pytest.raises(KeyboardInterrupt):
        run_here(*arguments, f'--output={killed}')
    assert f'the same command goes on with {killed}' in capsys.readouterr().err
    written = sum(map(len, batches))
    assert 6 < written < 12
    assert len(read_lines(killed)) == written
    with open(killed, 'a') as file:
        file.write('{"id": "torn')
    monkeypatch.setattr(answer_file.AnswerFile, 'append', append)
    made = []
    stream = generation.Generator.as_finished

    def spy(*given: object, **named: object) -> Iterator[list[generation.Sample]]:
        for batch in stream(*given, **named):
            made.extend(batch)
            yield batch

    monkeypatch.setattr(generation.Generator, 'as_finished', spy)
    run_here(*arguments, f'--output={killed}')
    error = capsys.readouterr().err
    assert f'{killed}: removed the last line, torn by a kill' in error
    assert f'{written} of 12 samples are in {killed}' in error
    assert len(made) == 12 - written
    # The same file, but for float noise: other rows were beside these in the batch.
    for one, other in zip(read_lines(killed), read_lines(whole), strict=True):
        noise = np.subtract(one.pop('logprobs'), other.pop('logprobs'))
        assert np.abs(noise).max() < 1e-5
        assert one == other
    keys = [(step, sample) for step, _, sample, _ in answers_of(whole)]
    assert keys == [
        (step, sample) for step in (2, 4) for _ in range(3) for sample in (0, 1)
    ]
    row = read_lines(whole)[0]
    assert len(row['token_ids']) == len(row['logprobs']) == row['num_tokens']
    assert max(row['logprobs']) < 0
    assert row['logprobs_of'] == 'model'


def test_answers_of_other_settings_are_not_mixed(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / 'samples.jsonl'
    arguments = (f'--workdir={workdir}@4', f'--output={output}', *_FAST)
    run_here(*arguments, '--prompt=Why?', '--prompt=Who?')
    before = output.read_bytes()
    lines = message(
        *arguments, '--prompt=Why?', '--stem=No.', '--top_k=9', '--stop=x', '--seed=1'
    ).split('\n')
    assert lines[0].startswith(f'{output} holds answers of another command')
    changes = [
        'top_k was 50, is now 9',
        "stop was [], is now ['x']",
        "stem was '', is now 'No.'",
        'seed was 0, is now 1',
    ]
    asked = [line for line in lines[1:] if 'is not asked for' in line]
    assert len(asked) == 1
    assert sorted(set(lines[1:]) - set(asked)) == sorted(
        f'  {change} (answers: 1)' for change in changes
    )
    other = tmp_path / 'other.jsonl'
    other.write_text('old\n')
    assert f'{other}:1 is no answer' in message(
        f'--workdir={workdir}', '--prompt=Why?', f'--output={other}', *_FAST
    )
    assert (output.read_bytes(), other.read_text()) == (before, 'old\n')
    # More letters and more samples are the same command, only longer.
    run_here(
        *arguments,
        '--prompt=Why?',
        '--prompt=Who?',
        '--prompt=When?',
        '--num_samples=2',
    )
    assert len(read_lines(output)) == 6


def test_a_file_that_another_process_writes_is_refused(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / 'samples.jsonl'
    held = answer_file.AnswerFile(output)
    arguments = (f'--workdir={workdir}', '--prompt=Why?', f'--output={output}', *_FAST)
    assert 'is being written by another process' in message(*arguments)
    held.close()
    assert not output.exists()


def test_prompts_of_markdown_become_a_table_of_two_checkpoints(
    workdir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, table = tmp_path / 'prompts.md', tmp_path / 'new' / 'answers.md'
    file.write_text(
        '### Easy 1 \u2013 Visits\n\nSHORTHAND: visits\n\nQUESTION: Why | how?\n\n'
        'STEM:\nAsk her. \n\nWhat to look for:\n\nCalm.\n\n'
        '### Hard 1 - Debts\n\nSHORTHAND: debts\n\nPROMPT: Who pays?\n'
    )
    run_here(f'--prompts={file}', '--list')
    lines = capsys.readouterr().out.split('\n')
    assert lines[0] == 'visits  Easy 1 - Visits  (stem of 8 characters)'
    assert lines[1] == 'debts   Hard 1 - Debts'
    assert results._given['names'] == ['visits', 'debts']
    arguments = (
        f'--workdir={workdir}@2',
        f'--workdir={workdir}@4',
        f'--prompts={file}',
    )
    run_here(*arguments, f'--table={table}', '--num_samples=2', *_FAST)
    page = table.read_text()
    names = [answer_table.cell(f'{workdir}@{step}') for step in (2, 4)]
    assert f'| prompt | sample | {names[0]} | {names[1]} | notes |' in page
    assert '| Easy 1 - Visits | 1 |  |  |  |' in page
    assert '> Why | how?' in page
    assert 'What to look for:\n\n> Calm.' in page
    answers = [line for line in page.split('\n') if line.startswith('| 1 | Ask her.')]
    assert len(answers) == 1
    assert answers[0].count(' | Ask her.') == 2
    assert page.count('| score |  |  |') == 4
    capsys.readouterr()
    run_here(
        f'--workdir={workdir}',
        f'--prompts={file}',
        '--name=dept',
        '--stem=I do',
        *_FAST,
    )
    shown = capsys.readouterr()
    assert "--name='dept' read as 'debts' (the nearest name)" in shown.err
    assert shown.out.split('\n')[1].startswith('I do')
    assert shown.out.count('--- ') == 1


def test_all_devices_share_the_rows_and_the_model(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = [f'--workdir={workdir}@4', '--max_new_tokens=8', '--temperature=2']
    arguments += [f'--prompt={letter}' for letter in _LETTERS]
    alone, spread = tmp_path / 'alone.jsonl', tmp_path / 'spread.jsonl'
    run_here(*arguments, f'--output={alone}')
    result = run_command(
        *arguments, f'--output={spread}', '--tensor=2', environment=programs.devices(4)
    )
    assert result.returncode == 0, result.stderr
    assert spread.read_bytes() == alone.read_bytes()
    said = message(*arguments, '--tensor=3')
    assert '--tensor=3 does not divide the 1 devices here; give a divisor' in said


def test_a_conversation_through_a_pipe(
    workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    talk = tmp_path / 'talk.md'
    result = run_command(
        f'--workdir={workdir}@4',
        '--max_new_tokens=8',
        f'--transcript={talk}',
        given='Why?\n/temperature 0\nWho?\n',
        program='launch.chat',
    )
    assert result.returncode == 0, result.stderr
    assert 'temperature is 0.0' in result.stderr
    assert talk.read_text().count('## Answer ') == 2
    for part in talk.read_text().split('## Answer ')[1:]:
        assert part.split('\n\n')[1].strip() in result.stdout
    assert 'Traceback' not in result.stderr
    result = run_command(
        '--top_p=2', '--tensor=0', f'--transcript={tmp_path}', program='launch.chat'
    )
    assert (result.returncode, result.stdout) == (2, '')
    for said in (
        'error: top_p=2.0 is not accepted; use ',
        '\n--workdir is missing; give the folder of a run.\n',
        '\n--tensor=0 is not accepted; use from 1 to 1,048,576.\n',
        f'\n--transcript={tmp_path} is a folder; give the name of a file in it.\n',
    ):
        assert said in result.stderr
