"""Answers of launch.sample as rows of a JSONL file, as a table, and for the terminal.

The JSONL file is filled as answers come and continued by the same command; at the end
its rows stand in the order asked.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Iterable
from typing import Any

from hax_jax import counted, errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.program import entry, later, output_file, progress
from hax_jax.sampling import answer_file, answer_table, prompts

with later.imports():
    from hax_jax.sampling import generation
    from launch import models

# Fields of a row that may differ between two commands that fill one file.
_MAY_DIFFER = {'step_reason', 'num_samples', 'batch_size'}


@dataclasses.dataclass(frozen=True)
class Asked:
    """The questions and settings that a command puts to each of its checkpoints."""

    questions: list[prompts.Question]
    settings: schema.SamplingConfig
    num_samples: int  # answers to each question
    batch_size: int
    logprobs: bool  # whether rows have each token's id and log probability

    @property
    def num_answers(self) -> int:
        return len(self.questions) * self.num_samples


def open_output(
    path: str, chosen: list[models.Chosen], asked: Asked
) -> answer_file.AnswerFile:
    """The file at `path`, if what it has already is of this command.

    Raises:
      InputError: it has other answers, or answers of other settings.
    """
    output = answer_file.AnswerFile(pathlib.Path(path))
    expected = _expected(chosen, asked)
    try:
        output.check(expected)
    except errors.InputError:
        output.close()
        raise
    if output.mend():
        entry.say(f'note: {path}: removed the last line, torn by a kill')
    if output.rows:
        entry.say(f'{len(output.rows)} of {len(expected)} samples are in {path}')
    return output


def have(output: answer_file.AnswerFile, which: models.Chosen) -> set[tuple[str, int]]:
    """(question id, sample) of the answers that a checkpoint has in the output."""
    return {
        (row['id'], row['sample'])
        for row in output.rows
        if (row['workdir'], row['step']) == (which.workdir, which.step)
    }


def append(
    output: answer_file.AnswerFile,
    batches: Iterable[list[generation.Sample]],
    asked: Asked,
    which: models.Chosen,
) -> None:
    """Writes each batch of the answers that the file lacks, as it comes."""
    total = asked.num_answers
    begun = time.monotonic()
    num_done, num_tokens = len(have(output, which)), 0
    with progress.Progress(
        'sample', total, 'sample', start=num_done, every_seconds=5.0
    ) as shown:
        for samples in batches:
            output.append([as_row(sample, which, asked) for sample in samples])
            num_done += len(samples)
            num_tokens += sum(sample.num_tokens for sample in samples)
            rate = num_tokens / (time.monotonic() - begun)
            shown.add(len(samples), f'{rate:,.0f} tokens/s')
        shown.show()


def put_in_order(
    output: answer_file.AnswerFile, chosen: list[models.Chosen], asked: Asked
) -> list[dict[str, Any]]:
    """Puts the rows of a full, closed file in the order asked, and returns them."""
    rows = answer_file.put_in_order(output.path, _expected(chosen, asked))
    reasons = [row['finish_reason'] for row in rows]
    counts = ', '.join(f'{reasons.count(n)} {n}' for n in sorted(set(reasons)))
    new = len(rows) - len(output.rows)
    entry.say(
        f'{output.path} has {counted.of(len(rows), "samples")}, {new} of them new '
        f'(ended by: {counts})'
    )
    return rows


def write_table(
    path: str, chosen: list[models.Chosen], asked: Asked, rows: list[dict[str, Any]]
) -> None:
    """Writes the rows as Markdown, with room for scores."""
    page = answer_table.page(
        asked.questions,
        [(which.workdir, which.step) for which in chosen],
        rows,
        {
            name: value
            for name, value in _settings_of_all(chosen[0], asked).items()
            if name not in {'workdir', 'step', *_MAY_DIFFER}
        }
        | {'seed': asked.settings.seed},
    )
    aside = output_file.set_aside(pathlib.Path(path), page)
    if aside:
        entry.say(f'note: the earlier {path} differs and is kept as {aside}')
    files.write_text(path, page)
    entry.say(f'wrote {counted.of(len(rows), "samples")} to {path}')


def as_row(
    sample: generation.Sample, which: models.Chosen, asked: Asked
) -> dict[str, Any]:
    """An answer as a row, with its checkpoint and settings."""
    values = dataclasses.asdict(sample) | _settings_of_all(which, asked)
    if not asked.logprobs:
        del values['logprobs'], values['token_ids']
    return values


def in_words(sample: generation.Sample, asked: Asked, *, run: str) -> str:
    """An answer for the terminal; `run` names its run, '' where there is only one."""
    place = {question.id: question.place for question in asked.questions}[sample.id]
    number = f' sample {sample.sample}' if asked.num_samples > 1 else ''
    return (
        f'---{" " * bool(run)}{run} {place} (id {sample.id}){number}: '
        f'{sample.num_tokens} tokens, {sample.finish_reason}\n{sample.text}\n'
    )


def _settings_of_all(which: models.Chosen, asked: Asked) -> dict[str, Any]:
    """The facts of the command, which stand in each row."""
    said = dataclasses.asdict(asked.settings)
    del said['seed']  # a row has its own
    said['stop'] = list(asked.settings.stop)
    return {
        'step': which.step,
        'step_reason': which.why,
        'workdir': which.workdir,
        'template': text.TEMPLATE_VERSION,
        **said,
        'num_samples': asked.num_samples,
        'batch_size': asked.batch_size,
        'logprobs_of': 'model' if asked.logprobs else '',
    }


def _expected(
    chosen: list[models.Chosen], asked: Asked
) -> dict[answer_file.Key, dict[str, Any]]:
    """The answers to make, in order, with the fields known before they are made."""
    expected = {}
    for which in chosen:
        known = {
            name: value
            for name, value in _settings_of_all(which, asked).items()
            if name not in _MAY_DIFFER
        }
        for question in asked.questions:
            seed = asked.settings.seed if question.seed is None else question.seed
            own = {'prompt': question.text, 'stem': question.stem, 'seed': seed}
            for sample in range(asked.num_samples):
                key = (which.workdir, which.step, question.id, sample)
                expected[key] = known | own
    return expected
