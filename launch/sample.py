"""Answers letters with the models of one or more runs.

    python -m launch.sample --workdir=runs/lora --prompt='My mother-in-law ...'
    python -m launch.sample --workdir=runs/lora --prompts=questions.txt \\
        --output=samples.jsonl
    python -m launch.sample --workdir=runs/lora@500 --workdir=runs/full \\
        --prompts=prompts.md --name='easy 1' --table=answers.md

Letters come from --prompt, from a text file (separated by a line ---), from JSONL
({"question": ..., "id": ..., "seed": ..., "stem": ...}), from a Markdown prompt file or
from standard input (--prompts=-, or a pipe). With --output, answers are appended to
JSONL as they come, and the same command goes on after a kill; without it and without
--table, they are printed and everything else goes to standard error.
"""

import dataclasses
import os
import pathlib
import sys
import time
from typing import Any

from absl import flags

from data_pipeline import clean, program
from hax_jax import (
    answer_file,
    answer_table,
    config,
    files,
    fitting,
    generate,
    mesh,
    metrics,
    prompt_names,
    prompts,
    runtime,
    text,
)
from launch import models, sampling_flags

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], "A run's folder, or FOLDER@STEP. May be repeated."
)
_PROMPT = flags.DEFINE_multi_string(
    'prompt', [], 'A letter to answer. May be repeated.'
)
_PROMPTS = flags.DEFINE_string(
    'prompts', '', 'A text, JSONL or Markdown prompt file; - for standard input.'
)
_NAME = flags.DEFINE_multi_string(
    'name', [], 'Answer only the prompt of this name, or nearly. May be repeated.'
)
_LIST = flags.DEFINE_bool('list', False, 'List the names of the prompts and stop.')
_STEM = flags.DEFINE_string(
    'stem', None, "What each answer begins with, in place of the prompts' own stems."
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSONL file to append to; what it has already is not made again.'
)
_TABLE = flags.DEFINE_string(
    'table', '', 'Markdown file to write, with room for scores; replaced if there.'
)
_STEP = flags.DEFINE_integer(
    'step', None, 'Which checkpoint; the best by validation loss, else the latest.'
)
_BASE = flags.DEFINE_string(
    'base', '', 'Where the pretrained model lies now, if it moved since the run began.'
)
_LOGPROBS = flags.DEFINE_bool(
    'logprobs',
    False,
    "Write each token's id and log probability (nats, in the model's distribution "
    'before penalties and temperature) too; needs --output.',
)
_NUM_SAMPLES = flags.DEFINE_integer('num_samples', 1, 'Answers to each letter.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 8, 'Answers at a time; more is faster on accelerators.'
)
_TENSOR = flags.DEFINE_integer(
    'tensor', 1, 'Devices that share one copy of the model; the others share rows.'
)
_LINE_EVERY_SECONDS = 5.0
# Fields of a row that may differ between two commands that fill one file.
_MAY_DIFFER = {'step_reason', 'num_samples', 'batch_size'}


def main() -> None:
    settings = sampling_flags.settings()
    _check(settings)
    questions = _questions()
    if _LIST.value:
        print(prompt_names.listing(questions))
        return
    runtime.start()
    chosen = models.choose(_WORKDIR.value, _STEP.value)
    on = mesh.make_mesh(config.MeshConfig(tensor=_TENSOR.value))
    output = None
    if _OUTPUT.value:
        output = _open_output(chosen, questions, settings)
    rows: list[dict[str, Any]] = []
    try:
        for which in chosen:
            _say(f'{which.workdir} at step {which.step} ({which.why})')
            num_wanted = len(questions) * _NUM_SAMPLES.value
            if output is not None and len(_have(output, which)) == num_wanted:
                continue
            model = models.load(which, base=_BASE.value, on=on)
            fitted = fitting.fit(
                questions,
                model.tokenizer,
                n_positions=model.n_positions,
                max_new_tokens=settings.max_new_tokens,
            )
            for note in fitted.notes:
                _say(f'note: {note}')
            more = _settings_of_all(which, settings)
            if output is not None:
                have = _have(output, which)
                _append(output, model.generator, fitted, settings, more, have)
            else:
                rows += _print(model.generator, fitted, settings, more)
            del model  # its memory is free before the next one's is taken
    except KeyboardInterrupt:
        if output is not None:
            _say(f'the same command goes on with {_OUTPUT.value}')
        raise
    finally:
        if output is not None:
            output.close()
    if output is not None:
        order = _expected(chosen, questions, settings)
        rows = answer_file.put_in_order(output.path, order)
        reasons = [row['finish_reason'] for row in rows]
        counts = ', '.join(f'{reasons.count(n)} {n}' for n in sorted(set(reasons)))
        _say(f'wrote {len(rows)} samples to {_OUTPUT.value} (ended by: {counts})')
    if _TABLE.value:
        page = answer_table.page(
            questions,
            [answer_table.Checkpoint(which.workdir, which.step) for which in chosen],
            rows,
            {
                name: value
                for name, value in _settings_of_all(chosen[0], settings).items()
                if name not in {'workdir', 'step', *_MAY_DIFFER}
            },
        )
        files.write_text(_TABLE.value, page)
        _say(f'wrote {len(rows)} samples to {_TABLE.value}')


def _check(settings: config.SamplingConfig) -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    if not _WORKDIR.value and not _LIST.value:
        problems.append('--workdir is missing; give the folder of a run.')
    if _PROMPT.value and _PROMPTS.value:
        problems.append('--prompt and --prompts are both given; give one of them.')
    for flag in (_NUM_SAMPLES, _BATCH_SIZE, _TENSOR):
        if flag.value < 1:
            problems.append(
                f'{flag.name}={flag.value} is not accepted; use an integer from 1 on.'
            )
    try:
        config.check_sampling(settings)
    except config.InputError as error:
        problems.append(str(error))
    if settings.temperature == 0 and _NUM_SAMPLES.value > 1:
        problems.append(
            f'temperature=0.0 gives the same answer num_samples={_NUM_SAMPLES.value} '
            'times; use a temperature over 0.0 or num_samples=1.'
        )
    if _LOGPROBS.value and not _OUTPUT.value:
        problems.append('--logprobs are written to --output alone; give a file there.')
    for name, value in (('output', _OUTPUT.value), ('table', _TABLE.value)):
        if value:
            problems += _output_problems(name, pathlib.Path(value))
    if problems:
        raise config.InputError('\n'.join(problems))


def _output_problems(name: str, path: pathlib.Path) -> list[str]:
    """Why the file can't be written when all is sampled: better known before."""
    if path.is_dir():
        return [f'--{name}={path} is a folder; give the name of a file in it.']
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return [f'--{name}={path}: {folder} is not a folder that can be written to.']
    return []


def _questions() -> list[prompts.Question]:
    """The letters, cleaned as the training data were."""
    if _PROMPT.value:
        found = prompts.from_texts(_PROMPT.value)
    elif _PROMPTS.value:
        found = prompts.read(_PROMPTS.value)
    elif not sys.stdin.isatty():
        _say('reading letters from standard input')
        found = prompts.read(prompts.STANDARD_INPUT)
    else:
        raise config.InputError(
            'there is no letter to answer; give --prompt="...", --prompts=FILE, or '
            '--prompts=- for standard input.'
        )
    if _NAME.value:
        found = prompt_names.choose(found, _NAME.value)
    if _STEM.value is not None:
        found = prompt_names.with_stem(found, _STEM.value)
    for note in found.notes:
        _say(f'note: {note}')
    cleaned = [
        dataclasses.replace(
            question,
            text=clean.text(question.text).strip(),
            stem=clean.text(question.stem).strip(),
        )
        for question in found.questions
    ]
    empty = [question.place for question in cleaned if not question.text]
    if empty:
        raise config.InputError(
            f'{", ".join(empty)}: nothing to read but invisible characters; write a '
            'letter.'
        )
    num_changed = sum(
        (before.text, before.stem) != (after.text, after.stem)
        for before, after in zip(found.questions, cleaned, strict=True)
    )
    if num_changed:
        _say(
            f'note: {num_changed} of {len(cleaned)} letters cleaned of odd spaces, '
            'entities or invisible characters, as the training data were'
        )
    return cleaned


def _settings_of_all(
    which: models.Chosen, settings: config.SamplingConfig
) -> dict[str, Any]:
    """What each row says of the command that made it."""
    said = dataclasses.asdict(settings)
    del said['seed']  # a row has its own
    said['stop'] = list(settings.stop)
    return {
        'step': which.step,
        'step_reason': which.why,
        'workdir': which.workdir,
        'template': text.TEMPLATE_VERSION,
        **said,
        'num_samples': _NUM_SAMPLES.value,
        'batch_size': _BATCH_SIZE.value,
        'logprobs_of': 'model' if _LOGPROBS.value else '',
    }


def _expected(
    chosen: list[models.Chosen],
    questions: list[prompts.Question],
    settings: config.SamplingConfig,
) -> dict[answer_file.Key, dict[str, Any]]:
    """The answers to make, in order, with what is known of each before it is made."""
    expected = {}
    for which in chosen:
        known = {
            name: value
            for name, value in _settings_of_all(which, settings).items()
            if name not in _MAY_DIFFER
        }
        for question in questions:
            seed = settings.seed if question.seed is None else question.seed
            own = {'prompt': question.text, 'stem': question.stem, 'seed': seed}
            for sample in range(_NUM_SAMPLES.value):
                key = (which.workdir, which.step, question.id, sample)
                expected[key] = known | own
    return expected


def _open_output(
    chosen: list[models.Chosen],
    questions: list[prompts.Question],
    settings: config.SamplingConfig,
) -> answer_file.AnswerFile:
    """The output, if what it has already is of this command."""
    output = answer_file.AnswerFile(pathlib.Path(_OUTPUT.value))
    expected = _expected(chosen, questions, settings)
    try:
        output.check(expected)
    except config.InputError:
        output.close()
        raise
    if output.torn:
        _say(f'note: {_OUTPUT.value}: removed the last line, torn by a kill')
    output.remove_torn()
    if output.rows:
        _say(f'{len(output.rows)} of {len(expected)} samples are in {_OUTPUT.value}')
    return output


def _append(
    output: answer_file.AnswerFile,
    generator: generate.Generator,
    fitted: fitting.Fitted,
    settings: config.SamplingConfig,
    more: dict[str, Any],
    have: set[tuple[str, int]],
) -> None:
    total = len(fitted.prompts) * _NUM_SAMPLES.value
    progress = metrics.Progress(start=len(have), total=total, unit='sample')
    begun = shown = time.monotonic()
    num_done, num_tokens = len(have), 0
    try:
        for samples in generator.batches(
            fitted,
            settings,
            num_samples=_NUM_SAMPLES.value,
            batch_size=_BATCH_SIZE.value,
            logprobs=_LOGPROBS.value,
            have=have,
        ):
            output.append([_row(sample, more) for sample in samples])
            num_done += len(samples)
            num_tokens += sum(sample.num_tokens for sample in samples)
            for _ in samples:
                progress.advance()
            now = time.monotonic()
            if now - shown >= _LINE_EVERY_SECONDS or num_done == total:
                shown = now
                progress.show(num_done, f'{num_tokens / (now - begun):,.0f} tokens/s')
    finally:
        progress.close()


def _row(sample: generate.Sample, more: dict[str, Any]) -> dict[str, Any]:
    row = dataclasses.asdict(sample) | more
    if not _LOGPROBS.value:
        del row['logprobs'], row['token_ids']
    return row


def _have(output: answer_file.AnswerFile, which: models.Chosen) -> set[tuple[str, int]]:
    """(question id, sample) of the answers that a checkpoint has in the output."""
    return {
        (row['id'], row['sample'])
        for row in output.rows
        if (row['workdir'], row['step']) == (which.workdir, which.step)
    }


def _print(
    generator: generate.Generator,
    fitted: fitting.Fitted,
    settings: config.SamplingConfig,
    more: dict[str, Any],
) -> list[dict[str, Any]]:
    """The rows, printed too unless a table is asked for."""
    places = {question.id: question.place for question in fitted.questions}
    rows = []
    for sample in generator.samples(
        fitted,
        settings,
        num_samples=_NUM_SAMPLES.value,
        batch_size=_BATCH_SIZE.value,
    ):
        rows.append(_row(sample, more))
        if _TABLE.value:
            continue
        run = f' {more["workdir"]}@{more["step"]}' if len(_WORKDIR.value) > 1 else ''
        which = f' sample {sample.sample}' if _NUM_SAMPLES.value > 1 else ''
        print(
            f'---{run} {places[sample.id]} (id {sample.id}){which}: '
            f'{sample.num_tokens} tokens, {sample.finish_reason}\n{sample.text}\n',
            flush=True,
        )
    return rows


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    program.run(main)
