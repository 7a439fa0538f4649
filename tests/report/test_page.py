"""The page of a run: what it says first, what it draws, and that no text gets out."""

import errno
import json
import os
import pathlib
import re
from typing import Any

import pytest

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.curves import after_training, curve_checks, run_record
from hax_jax.report import page

EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)> &amp;'


def record(**changes: Any) -> run_record.RunRecord:
    """A run of 20 steps that ended well, with an answer at two of its steps."""

    def evaluation(step: int, loss: float) -> dict[str, Any]:
        scores = {'nll': loss, 'perplexity': 9.0, 'bits_per_byte': 1.0, 'accuracy': 0.5}
        by = {'all': {**scores, 'tokens': 90}, 'answer': {**scores, 'tokens': 40}}
        by['eos'] = {'answers': 7}
        return {'step': step, 'eval_loss': loss, 'by': {'all': by, EVIL: by}}

    train = {'learning_rate': 1e-4, 'grad_norm': 1.0, 'tokens_per_second': 50.0}
    summary = {
        'step': 20,
        'num_steps': 20,
        'reason': 'finished',
        'stopped_by': 0,
        'trained_steps': 20,
        'best_step': 20,
        'best_validation_loss': 2.5,
        'unigram_entropy': 6.0,
        'history': {'loss_before': 3.5, 'best_loss': 2.5, 'best_step': 20},
        'patience': 0,
        'seconds': {'step': 10.0},
    }
    made = {
        'name': 'advice',
        'place': 'runs/advice',
        'run_id': 'abc',
        'config': convert.from_dict(
            {
                'data': {'path': 'data/advice'},
                'model': {'pretrained': 'gpt2', 'vocab_size': 50257},
                'train': {'num_steps': 20},
            }
        ),
        'rows': {
            'evaluation': [evaluation(0, 3.5), evaluation(20, 2.5)],
            'train': [
                {**train, 'step': 10, 'loss': 3.0, 'seconds': {'step': 5.0}},
                {**train, 'step': 20, 'loss': 2.0, 'seconds': {'step': 5.0}},
            ],
            'summary': [summary],
        },
        'answers': [
            {
                'step': step,
                'id': 'a',
                'sample': 0,
                'prompt': EVIL,
                'text': f'{EVIL}{step}',
            }
            for step in (0, 20)
        ],
        'bad_steps': [],
        'environments': [(20, {'platform': 'cpu', 'device_kind': EVIL})],
        'num_unread': 0,
    }
    return run_record.RunRecord(**made | changes)


def drawn(text: str) -> list[dict[str, Any]]:
    """The figures that a page holds."""
    found = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_texts_of_a_run_are_text_in_html_and_in_script() -> None:
    text = page.render([record()])
    assert '<img' not in text
    assert text.count('<script') == 3  # Plotly's, the figures, and the call
    assert '&lt;/script&gt;&lt;script&gt;alert(1)' in text
    assert any(EVIL in trace['name'] for trace in drawn(text)[0]['data'])


def test_a_name_breaks_behind_its_signs_and_is_escaped() -> None:
    rows = record().rows
    last = rows['evaluation'][-1]
    by = {'all': last['by']['all'], 'a_b:<i>&': last['by']['all']}
    evaluations = [rows['evaluation'][0], {**last, 'by': by}]
    text = page.render([record(rows={**rows, 'evaluation': evaluations})])
    assert '<td>a_<wbr>b:<wbr>&lt;i&gt;&amp;</td>' in text


def test_answers_of_several_runs_stand_by_question() -> None:
    two = [record(), record(name='lora')]
    (one,) = page._answers(two)
    assert one['question'] == EVIL
    assert one['by_run'] == {
        name: {0: f'{EVIL}0', 20: f'{EVIL}20'} for name in ('advice', 'lora')
    }
    many = [{**record().answers[0], 'step': step} for step in range(100)]
    (one,) = page._answers([record(answers=many)])
    steps = list(one['by_run']['advice'])
    assert (len(steps), steps[0], steps[-1]) == (12, 0, 99)


def test_runs_on_the_same_rows_share_the_line_of_token_frequencies() -> None:
    loss = drawn(page.render([record(), record(name='lora')]))[0]
    names = [trace['name'] for trace in loss['data']]
    assert sum('token frequencies alone' in name for name in names) == 1


def test_a_page_fetches_nothing() -> None:
    text = page.render([record()])
    assert "default-src 'none'" in text
    assert not re.search(r'<(link|script|img|iframe)[^>]*(src|href)=', text)


def test_the_curves_are_the_figures_of_the_run() -> None:
    loss, rate, norm, speed, time = drawn(page.render([record()]))
    by_name = {trace['name']: trace for trace in loss['data']}
    assert (by_name['training']['x'], by_name['training']['y']) == ([10, 20], [3, 2])
    assert by_name['validation']['y'] == [3.5, 2.5]
    assert by_name['token frequencies alone']['y'] == [6.0, 6.0]
    assert rate['data'][0]['y'] == [1e-4, 1e-4]
    assert norm['data'][0]['y'] == [1.0, 1.0]
    assert speed['data'][0]['y'] == [50.0, 50.0]
    assert [trace['name'] for trace in time['data']] == ['step']


def test_runs_are_laid_over_each_other_under_their_names() -> None:
    text = page.render([record(), record(name='lora')])
    names = [trace['name'] for trace in drawn(text)[0]['data']]
    assert {'advice: training', 'lora: training', 'lora: validation'} <= {*names}


def test_a_reader_of_loss_meets_training_alone_and_old_runs_are_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_record.run_folder, 'read_run', lambda _: {'id': 'a'})
    monkeypatch.setattr(run_record.run_folder, 'read_config', lambda _: schema.Config())
    old = [
        {'step': 0, 'kind': 'evaluation', 'loss': 3.5, 'by': {}},
        {'step': 10, 'kind': 'train', 'loss': 3.0},
    ]
    new = [
        {'step': 20, 'kind': 'evaluation', 'eval_loss': 2.5, 'by': {}},
        {'step': 20, 'kind': 'train', 'loss': 2.0},
    ]
    lines = [json.dumps(row) for row in old + new]  # an old run that went on
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
    found = run_record.read(str(tmp_path))
    assert found.series('evaluation', 'eval_loss') == ([0, 20], [3.5, 2.5])
    assert found.series('train', 'loss') == ([10, 20], [3.0, 2.0])


def with_summary(**changes: Any) -> run_record.RunRecord:
    rows = record().rows
    return record(rows={**rows, 'summary': [{**rows['summary'][0], **changes}]})


def with_last_loss(loss: float) -> run_record.RunRecord:
    rows = record().rows
    first, last = rows['evaluation']
    return record(rows={**rows, 'evaluation': [first, {**last, 'eval_loss': loss}]})


@pytest.mark.parametrize(
    ('made', 'grade', 'first'),
    [
        (record(), 'good', 'done: 20 steps'),
        (with_last_loss(3.6), 'bad', 'done: 20 steps'),
        (with_summary(step=10), 'warn', 'not ended: the last figures are of step 20'),
        (
            record(bad_steps=[{'step': 3, 'loss': 9.0}]),
            'warn',
            '1 bad steps, listed below',
        ),
    ],
)
def test_the_verdict_comes_first_and_is_the_worst_that_is_known(
    made: run_record.RunRecord, grade: str, first: str
) -> None:
    found, lines = page.verdict(made, curve_checks.check(after_training.curve_of(made)))
    assert (found, lines[0][: len(first)]) == (grade, first)


def test_bad_steps_are_listed_and_marked() -> None:
    bad = {'step': 3, 'kind': 'loss far over', 'action': 'noted', 'grad_norm': 'inf'}
    rows = [{**bad, 'loss': loss, 'pairs': [{'id': EVIL}]} for loss in (9.0, 'nan')]
    text = page.render([record(bad_steps=rows)])
    (marks,) = [t for t in drawn(text)[0]['data'] if t['name'] == 'bad steps']
    assert (marks['x'], marks['y'], marks['text']) == ([3], [9.0], ['loss far over'])
    assert 'Bad steps of advice' in text


def test_only_fields_that_are_not_their_default_are_shown() -> None:
    assert convert.changed(schema.Config()) == {}
    assert list(convert.changed(record().config)) == [
        'data.path',
        'model.pretrained',
        'model.vocab_size',
        'train.num_steps',
    ]


def test_a_run_without_figures_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_record.run_folder, 'read_run', lambda _: {'id': 'a'})
    monkeypatch.setattr(run_record.run_folder, 'read_config', lambda _: schema.Config())
    with pytest.raises(errors.InputError, match='has no figures yet'):
        run_record.read(str(tmp_path))
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "kind": "train"}\nnoise\n')
    found = run_record.read(str(tmp_path))
    assert (found.last_step(), found.num_unread) == (1, 1)
    assert page.render([found])


def test_the_doctor_s_findings_come_first_with_their_numbers() -> None:
    losses = [{'step': i, 'kind': 'train', 'loss': 3.0 + i} for i in range(12)]
    made = record(rows={**record().rows, 'train': losses})
    text = page.render([made])
    assert text.index('training diverged') < text.index('Curves by step')
    assert 'divide --config.optimizer.learning_rate by 10' in text
    assert any(
        trace['type'] == 'bar' and 14.0 in trace['x']
        for figure in drawn(text)
        for trace in figure['data']
        if 'type' in trace and trace.get('orientation') == 'h'
    )


def test_a_page_for_a_folder_that_takes_none_is_an_error_with_the_flag_for_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    def forbidden(path: pathlib.Path, _: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(page.files, 'write_text', forbidden)
    monkeypatch.setattr(run_record, 'read', lambda *_, **__: record())
    with pytest.raises(errors.InputError, match=r'Read-only.*--output=FILE'):
        page.write([str(tmp_path)])
