"""Answers letters with a run's model.

    python -m launch.sample --workdir=runs/lora --prompt='My mother-in-law ...'
    python -m launch.sample --workdir=runs/lora --prompts=questions.txt \\
        --output=samples.jsonl

Letters come from --prompt, from a text file (separated by a line ---), from JSONL
({"question": ..., "id": ..., "seed": ...}) or from standard input (--prompts=-, or a
pipe). With --output, answers go there as JSONL, whole or not at all; without, they are
printed and everything else goes to standard error.
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
    config,
    files,
    generate,
    mesh,
    metrics,
    prompts,
    restore,
    runtime,
    text,
)

_DEFAULTS = config.SamplingConfig()
_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder.")
_PROMPT = flags.DEFINE_multi_string(
    'prompt', [], 'A letter to answer. May be repeated.'
)
_PROMPTS = flags.DEFINE_string(
    'prompts', '', 'A text file of letters or a JSONL file; - for standard input.'
)
_OUTPUT = flags.DEFINE_string('output', '', 'JSONL file to write; replaced if there.')
_STEP = flags.DEFINE_integer(
    'step', None, 'Which checkpoint; the best by validation loss, else the latest.'
)
_BASE = flags.DEFINE_string(
    'base', '', 'Where the pretrained model lies now, if it moved since the run began.'
)
_MAX_NEW_TOKENS = flags.DEFINE_integer(
    'max_new_tokens', _DEFAULTS.max_new_tokens, 'The longest answer, in tokens.'
)
_TEMPERATURE = flags.DEFINE_float(
    'temperature', _DEFAULTS.temperature, '0.0 takes the likeliest token each time.'
)
_TOP_K = flags.DEFINE_integer(
    'top_k', _DEFAULTS.top_k, 'Draw from so many of the likeliest tokens; 0 from all.'
)
_TOP_P = flags.DEFINE_float(
    'top_p',
    _DEFAULTS.top_p,
    'Draw from the likeliest tokens that have this probability together; 1.0 from all.',
)
_SEED = flags.DEFINE_integer(
    'seed',
    _DEFAULTS.seed,
    'An answer follows from its letter and this seed, whatever else is in the file.',
)
_NUM_SAMPLES = flags.DEFINE_integer('num_samples', 1, 'Answers to each letter.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 8, 'Answers at a time; more is faster on accelerators.'
)
_LINE_EVERY_SECONDS = 5.0


def main() -> None:
    settings = config.SamplingConfig(
        max_new_tokens=_MAX_NEW_TOKENS.value,
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
        top_p=_TOP_P.value,
        seed=_SEED.value,
    )
    _check(settings)
    found = _questions()
    runtime.start()
    loaded = restore.load(_WORKDIR.value, step=_STEP.value, base=_BASE.value)
    _say(f'{_WORKDIR.value} at step {loaded.step} ({loaded.why})')
    fitted = generate.fit(
        found,
        loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
        max_new_tokens=settings.max_new_tokens,
    )
    for note in fitted.notes:
        _say(f'note: {note}')
    generator = generate.Generator(
        loaded.model, loaded.tokenizer, mesh=mesh.make_mesh(config.MeshConfig())
    )
    settings_of_all = {
        'step': loaded.step,
        'step_reason': loaded.why,
        'workdir': _WORKDIR.value,
        'template': text.TEMPLATE_VERSION,
        'max_new_tokens': settings.max_new_tokens,
        'temperature': settings.temperature,
        'top_k': settings.top_k,
        'top_p': settings.top_p,
        'num_samples': _NUM_SAMPLES.value,
        'batch_size': _BATCH_SIZE.value,
    }
    if _OUTPUT.value:
        _write(generator, fitted, settings, settings_of_all)
    else:
        _print(generator, fitted, settings)


def _check(settings: config.SamplingConfig) -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    if not _WORKDIR.value:
        problems.append('--workdir is missing; give the folder of a run.')
    if _PROMPT.value and _PROMPTS.value:
        problems.append('--prompt and --prompts are both given; give one of them.')
    for flag in (_NUM_SAMPLES, _BATCH_SIZE):
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
    if _OUTPUT.value:
        problems += _output_problems(pathlib.Path(_OUTPUT.value))
    if problems:
        raise config.InputError('\n'.join(problems))


def _output_problems(path: pathlib.Path) -> list[str]:
    """Why the file can't be written when all is sampled: better known before."""
    if path.is_dir():
        return [f'--output={path} is a folder; give the name of a file in it.']
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return [f'--output={path}: {folder} is not a folder that can be written to.']
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
    for note in found.notes:
        _say(f'note: {note}')
    cleaned = [
        dataclasses.replace(question, text=clean.text(question.text).strip())
        for question in found.questions
    ]
    empty = [question.place for question in cleaned if not question.text]
    if empty:
        raise config.InputError(
            f'{", ".join(empty)}: nothing to read but invisible characters; write a '
            'letter.'
        )
    num_changed = sum(
        before.text != after.text
        for before, after in zip(found.questions, cleaned, strict=True)
    )
    if num_changed:
        _say(
            f'note: {num_changed} of {len(cleaned)} letters cleaned of odd spaces, '
            'entities or invisible characters, as the training data were'
        )
    return cleaned


def _write(
    generator: generate.Generator,
    fitted: generate.Fitted,
    settings: config.SamplingConfig,
    settings_of_all: dict[str, Any],
) -> None:
    total = len(fitted.prompts) * _NUM_SAMPLES.value
    progress = metrics.Progress(start=0, total=total, unit='sample')
    begun = shown = time.monotonic()
    num_done = num_tokens = 0

    def on_batch(rows: int, tokens: int) -> None:
        nonlocal shown, num_done, num_tokens
        num_done += rows
        num_tokens += tokens
        for _ in range(rows):
            progress.advance()
        now = time.monotonic()
        if now - shown >= _LINE_EVERY_SECONDS or num_done == total:
            shown = now
            progress.show(num_done, f'{num_tokens / (now - begun):,.0f} tokens/s')

    rows = []
    try:
        for sample in generator.samples(
            fitted,
            settings,
            num_samples=_NUM_SAMPLES.value,
            batch_size=_BATCH_SIZE.value,
            on_batch=on_batch,
        ):
            rows.append({**dataclasses.asdict(sample), **settings_of_all})
    finally:
        progress.close()
    files.write_json_lines(_OUTPUT.value, rows)
    reasons = [row['finish_reason'] for row in rows]
    counts = ', '.join(f'{reasons.count(name)} {name}' for name in sorted(set(reasons)))
    _say(f'wrote {len(rows)} samples to {_OUTPUT.value} (ended by: {counts})')


def _print(
    generator: generate.Generator,
    fitted: generate.Fitted,
    settings: config.SamplingConfig,
) -> None:
    places = {question.id: question.place for question in fitted.questions}
    for sample in generator.samples(
        fitted,
        settings,
        num_samples=_NUM_SAMPLES.value,
        batch_size=_BATCH_SIZE.value,
    ):
        which = f' sample {sample.sample}' if _NUM_SAMPLES.value > 1 else ''
        print(
            f'--- {places[sample.id]} (id {sample.id}){which}: {sample.num_tokens} '
            f'tokens, {sample.finish_reason}\n{sample.text}\n',
            flush=True,
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    program.run(main)
