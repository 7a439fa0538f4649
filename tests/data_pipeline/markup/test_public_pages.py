"""Forms of questions that public pages of HTML have, beside those that stay as read."""

import pathlib

import pytest

from data_pipeline.reading import reader
from hax_jax import errors

PAIRS = [
    ('Is it rude to leave at nine?', 'No. Thank the host.'),
    ('Who pays for the boiler?', 'Whoever owns the house.'),
    ('May I open his letters?', 'Never, whatever they say.'),
    ('Is that all of it?', 'Yes, it is.'),
]


def read(folder: pathlib.Path, body: str) -> list[tuple[str, str]]:
    path = folder / 'faq.html'
    path.write_text(f'<html><body><h1>All about houses</h1>{body}</body></html>')
    return [(pair.question, pair.answer) for pair in reader.read([str(path)])[0]]


@pytest.mark.parametrize(
    'form',
    [
        '<h3>[A.{number}] {question}</h3><p>{answer}</p>',
        '<h3>[{number}] {question}</h3><p>{answer}</p>',
        '<h2>{question}</h2><p>{answer}</p><p><small>Back to '
        '<a href="faq.html#top">FAQ Index</a>.</small></p>',
        '<div class="section"><div class="title"><h3><a name="q{number}"></a>'
        '<a href="faq.html#q{number}">{question}</a></h3></div><p>{answer}</p></div>',
    ],
)
def test_numbers_and_links_of_a_page_are_no_part_of_a_pair(
    tmp_path: pathlib.Path, form: str
) -> None:
    body = '\n'.join(
        form.format(number=i, question=question, answer=answer)
        for i, (question, answer) in enumerate(PAIRS, start=1)
    )
    assert read(tmp_path, body) == PAIRS


def test_a_heading_that_links_to_a_place_elsewhere_has_its_answer_there(
    tmp_path: pathlib.Path,
) -> None:
    body = ''.join(
        f'<h3><a href="more.html#other{i}">{question}</a></h3><p>{answer}</p>'
        for i, (question, answer) in enumerate(PAIRS)
    )
    with pytest.raises(errors.InputError):
        read(tmp_path, body)


def test_a_last_line_that_most_answers_share_stays_if_it_is_no_link(
    tmp_path: pathlib.Path,
) -> None:
    body = ''.join(f'<h3>{q}</h3><p>{a}</p><p>Be kind.</p>' for q, a in PAIRS)
    assert read(tmp_path, body) == [(q, f'{a}\n\nBe kind.') for q, a in PAIRS]


def test_the_cell_of_a_number_is_no_part_of_a_question(tmp_path: pathlib.Path) -> None:
    rows = ''.join(
        f'<tr class="question"><td><p><b>{i}.</b></p></td><td><p>{q}</p></td></tr>'
        f'<tr class="answer"><td></td><td><p>{a}</p></td></tr>'
        for i, (q, a) in enumerate(PAIRS, start=1)
    )
    assert read(tmp_path, f'<table>{rows}</table>') == PAIRS


def test_a_title_that_asks_by_its_label_ends_where_its_answer_has_none(
    tmp_path: pathlib.Path,
) -> None:
    """Without it a question and its answer went on as the next question's text."""
    labels = ['A: ', '', '', 'A: ']
    body = ''.join(
        f'<h3>Q: {question}</h3><p>{label}{answer}</p>'
        for label, (question, answer) in zip(labels, PAIRS, strict=True)
    )
    assert read(tmp_path, body) == PAIRS


def test_labels_on_a_page_without_a_title_are_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'faq.html'
    body = ''.join(f'<p>Q: {q}</p><p>A: {a}</p>' for q, a in PAIRS)
    path.write_text(f'<html><body>{body}</body></html>')
    pairs, _ = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in pairs] == PAIRS


def test_details_below_a_labelled_title_stay_the_question(
    tmp_path: pathlib.Path,
) -> None:
    body = ''.join(
        f'<h3>Q: {q}</h3><p>We met twice.</p><p>A: {a}</p>' for q, a in PAIRS
    )
    assert read(tmp_path, body) == [(f'{q}\n\nWe met twice.', a) for q, a in PAIRS]


def test_bold_texts_with_numbers_are_headings(tmp_path: pathlib.Path) -> None:
    """Some of them state a problem, and are left out."""
    others = [('It is too cold here.', 'Shut it.')]
    pairs = [*PAIRS, ('Why so late?', 'He slept.'), ('And now, what?', 'We wait.')]
    body = ''.join(
        f'<p><b>({i}) {question}</b></p><blockquote><p>{answer}</p></blockquote>'
        for i, (question, answer) in enumerate([*others, *pairs, *others], start=1)
    )
    assert read(tmp_path, body) == pairs


def test_lines_of_a_heading_are_one_and_tips_of_code_are_not_read(
    tmp_path: pathlib.Path,
) -> None:
    tip = '<div class="ttc"><div class="ttname">sing</div>Definition: a.h:7</div>'
    wrapped = [
        (question.replace(' it', '\n\n  it'), answer) for question, answer in PAIRS
    ]
    body = ''.join(f'<h2>{q}</h2><p>{a}</p>{tip}' for q, a in wrapped)
    end = '<p>This page last modified on 2021-07-27 23:51:29 UTC</p>'
    assert read(tmp_path, body + end) == PAIRS
