"""Answers as a Markdown page: checkpoints side by side, with empty cells for scores."""

import re
from collections.abc import Sequence
from typing import Any

from hax_jax.sampling import prompts


def page(
    questions: Sequence[prompts.Question],
    checkpoints: Sequence[tuple[str, int]],
    rows: Sequence[dict[str, Any]],
    settings: dict[str, Any],
) -> str:
    """A table of scores to fill in, then each question with its answers.

    A checkpoint is (workdir, step); `rows` are the rows of the JSONL file. Line breaks
    in a cell are <br>.
    """
    answers = {(r['workdir'], r['step'], r['id'], r['sample']): r for r in rows}
    num_samples = 1 + max((row['sample'] for row in rows), default=0)
    names = [f'{workdir}@{step}' for workdir, step in checkpoints]
    said = ', '.join(f'{name} {value}' for name, value in settings.items())
    lines = ['# Answers', '', cell(said), '', '## Scores', '']
    lines += _head(['prompt', 'sample', *names, 'notes'])
    for question in questions:
        for sample in range(num_samples):
            blank = [''] * (len(names) + 1)
            lines.append(_line([_name(question), str(sample), *blank]))
    for question in questions:
        lines += ['', f'## {_name(question)}', '', _quoted(question.text)]
        if question.stem:
            lines += ['', 'Stem, with which each answer begins:', '']
            lines.append(_quoted(question.stem))
        if question.look_for:
            lines += ['', 'What to look for:', '', _quoted(question.look_for)]
        lines += ['', *_head(['sample', *names])]
        for sample in range(num_samples):
            own = [
                answers[workdir, step, question.id, sample]
                for workdir, step in checkpoints
            ]
            lines.append(_line([str(sample), *(row['text'] for row in own)]))
            ends = [f'{r["finish_reason"]}, {r["num_tokens"]} tokens' for r in own]
            lines.append(_line(['ended by', *ends]))
            lines.append(_line(['score', *[''] * len(own)]))
    return '\n'.join(lines) + '\n'


def cell(text: str) -> str:
    """Text escaped for a cell of a Markdown table."""
    text = text.replace('&', '&amp;').replace('<', '&lt;')
    text = re.sub(r'([\\|*_`])', r'\\\1', text)
    return '<br>'.join(text.strip().splitlines())


def _name(question: prompts.Question) -> str:
    return ' '.join((question.title or question.id).split())


def _quoted(text: str) -> str:
    return '\n'.join(f'> {line}'.rstrip() for line in text.split('\n'))


def _head(cells: list[str]) -> list[str]:
    return [_line(cells), '|' + ' --- |' * len(cells)]


def _line(cells: list[str]) -> str:
    return '| ' + ' | '.join(cell(text) for text in cells) + ' |'
