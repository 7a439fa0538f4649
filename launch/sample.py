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

Started as several processes, all devices share the rows; process 0 alone reads the
letters and writes.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys
from typing import Any

from absl import flags

from hax_jax import counted, errors
from hax_jax.config import ranges
from hax_jax.program import ending, entry, later, one_process, output_file, results
from launch import sampling_flags, shared_flags

with later.imports():
    from data_pipeline.pages import characters
    from hax_jax.devices import first_process, mesh, peers, runtime
    from hax_jax.sampling import prompt_fitting, prompt_names, prompts
    from launch import models, sample_output

flags.adopt_module_key_flags(sampling_flags)  # in its --help
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
    'stem',
    None,
    "The text that begins each answer, in place of the prompts' own stems.",
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSONL file to append to; answers that it has are not made again.'
)
_TABLE = flags.DEFINE_string(
    'table',
    '',
    'Markdown file to write, with room for scores; another that is there is kept '
    'under a new name.',
)
_STEP = shared_flags.define_step()
_BASE = shared_flags.define_base()
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


def main() -> None:
    asked = None
    if not one_process.may_be_several():
        asked = _asked()  # before JAX is imported
        if not _LIST.value:
            models.check(_WORKDIR.value, _STEP.value)
    runtime.start()
    ending.print_only_warnings(peers.process())
    asked = asked or first_process.decided(_asked, sample_output.Asked)
    if _LIST.value:
        print(prompt_names.listing(asked.questions))
        if first_process.is_here():
            results.give({'names': [question.id for question in asked.questions]})
        return
    chosen = first_process.decided(
        lambda: models.choose(_WORKDIR.value, _STEP.value), list[models.Chosen]
    )
    rows = _to_file(chosen, asked) if _OUTPUT.value else _to_terminal(chosen, asked)
    if first_process.is_here():
        results.give({'answers': rows})
    if _TABLE.value and first_process.is_here():
        sample_output.write_table(_TABLE.value, chosen, asked, rows)


def _asked() -> sample_output.Asked:
    _check()
    questions = _questions()
    num_answers = len(questions) * _NUM_SAMPLES.value
    if num_answers > ranges.MOST:
        raise errors.InputError(
            f'--num_samples={_NUM_SAMPLES.value} for each of '
            f'{counted.of(len(questions), "letters")} makes {num_answers:,} answers; '
            f'ask for {ranges.MOST:,} at most, so lower it, or give the letters in '
            'parts.'
        )
    return sample_output.Asked(
        questions=questions,
        settings=sampling_flags.settings(),
        num_samples=_NUM_SAMPLES.value,
        batch_size=_BATCH_SIZE.value,
        logprobs=_LOGPROBS.value,
    )


def _to_file(
    chosen: list[models.Chosen], asked: sample_output.Asked
) -> list[dict[str, Any]]:
    """Fills --output with what it has not yet; all its rows, in order.

    Process 0 alone opens the file; the others return no rows.
    """
    on = models.devices(_TENSOR.value)
    output = None

    def already() -> list[set[tuple[str, int]]]:
        nonlocal output
        output = sample_output.open_output(_OUTPUT.value, chosen, asked)
        return [sample_output.have(output, which) for which in chosen]

    try:
        there = first_process.decided(already, list[set[tuple[str, int]]])
        for which, have in zip(chosen, there, strict=True):
            _say_which(which)
            if len(have) == asked.num_answers:
                continue
            model, fitted = _ready(which, asked, on)
            batches = model.generator.as_finished(
                fitted,
                asked.settings,
                num_samples=asked.num_samples,
                batch_size=asked.batch_size,
                logprobs=asked.logprobs,
                have=have,
            )
            if output is not None:
                sample_output.append(output, batches, asked, which)
            else:
                collections.deque(batches, maxlen=0)  # makes them with process 0
            del model, batches  # its memory is free before the next one's is taken
    except KeyboardInterrupt:
        entry.say(f'the same command goes on with {_OUTPUT.value}')
        raise
    finally:
        if output is not None:
            output.close()
    if output is None:
        return []
    return sample_output.put_in_order(output, chosen, asked)


def _to_terminal(
    chosen: list[models.Chosen], asked: sample_output.Asked
) -> list[dict[str, Any]]:
    """The rows, printed as they come unless they are for a table."""
    on = models.devices(_TENSOR.value)
    rows: list[dict[str, Any]] = []
    for which in chosen:
        _say_which(which)
        model, fitted = _ready(which, asked, on)
        for sample in model.generator.samples(
            fitted,
            asked.settings,
            num_samples=asked.num_samples,
            batch_size=asked.batch_size,
        ):
            rows.append(sample_output.as_row(sample, which, asked))
            if not _TABLE.value:
                run = f'{which.workdir}@{which.step}' if len(chosen) > 1 else ''
                print(sample_output.in_words(sample, asked, run=run), flush=True)
        del model  # its memory is free before the next one's is taken
    return rows


def _ready(
    which: models.Chosen, asked: sample_output.Asked, on: mesh.Mesh
) -> tuple[models.Model, prompt_fitting.Fitted]:
    """The model, and the letters as it can read them."""
    model = models.load(which, base=_BASE.value, on=on)
    fitted = prompt_fitting.fit(
        asked.questions,
        model.tokenizer,
        n_positions=model.n_positions,
        max_new_tokens=asked.settings.max_new_tokens,
    )
    for note in fitted.notes:
        entry.say(f'note: {note}')
    return model, fitted


def _say_which(which: models.Chosen) -> None:
    entry.say(f'{which.workdir} at step {which.step} ({which.why})')


def _check() -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    if not _WORKDIR.value and not _LIST.value:
        problems.append('--workdir is missing; give the folder of a run.')
    if _PROMPT.value and _PROMPTS.value:
        problems.append('--prompt and --prompts are both given; give one of them.')
    problems += shared_flags.no_sizes(_NUM_SAMPLES, _BATCH_SIZE, _TENSOR)
    problems += sampling_flags.problems()
    if sampling_flags.values()['temperature'] == 0 and _NUM_SAMPLES.value > 1:
        problems.append(
            f'temperature=0.0 gives the same answer num_samples={_NUM_SAMPLES.value} '
            'times; use a temperature over 0.0 or num_samples=1.'
        )
    if _LOGPROBS.value and not _OUTPUT.value:
        problems.append('--logprobs are written to --output alone; give a file there.')
    for name, value in (('output', _OUTPUT.value), ('table', _TABLE.value)):
        if value:
            problems += output_file.problems(name, pathlib.Path(value))
    problems += output_file.one_file(
        {'prompts': _PROMPTS.value, 'output': _OUTPUT.value, 'table': _TABLE.value}
    )
    errors.refuse(problems)


def _questions() -> list[prompts.Question]:
    """The letters, cleaned as the training data were."""
    if _PROMPT.value:
        found = prompts.from_texts(_PROMPT.value)
    elif _PROMPTS.value:
        found = prompts.read(_PROMPTS.value)
    elif not sys.stdin.isatty():
        entry.say('reading letters from standard input')
        found = prompts.read(prompts.STANDARD_INPUT)
    else:
        raise errors.InputError(
            'there is no letter to answer; give --prompt="...", --prompts=FILE, or '
            '--prompts=- for standard input.'
        )
    if _NAME.value:
        found = prompt_names.choose(found, _NAME.value)
    if _STEM.value is not None:
        found = prompt_names.with_stem(found, _STEM.value)
    for note in found.notes:
        entry.say(f'note: {note}')
    cleaned = [
        dataclasses.replace(
            question,
            text=characters.clean(question.text).strip(),
            stem=characters.clean(question.stem).strip(),
        )
        for question in found.questions
    ]
    empty = [question.place for question in cleaned if not question.text]
    if empty:
        raise errors.InputError(
            f'{", ".join(empty)}: nothing to read but invisible characters; write a '
            'letter.'
        )
    num_changed = sum(
        (before.text, before.stem) != (after.text, after.stem)
        for before, after in zip(found.questions, cleaned, strict=True)
    )
    if num_changed:
        entry.say(
            f'note: {num_changed} of {len(cleaned)} letters cleaned of odd spaces, '
            'entities or invisible characters, as the training data were'
        )
    return cleaned


if __name__ == '__main__':
    entry.run(
        main, smaller='lower --batch_size, or cut the model over devices with --tensor'
    )
