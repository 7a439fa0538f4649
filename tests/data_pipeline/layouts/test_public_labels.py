"""Labels as public files have them: in titles with a dot, of two forms, with quotes."""

import pathlib

import pytest

from data_pipeline.layouts import detection
from data_pipeline.reading import reader

PAIRS = [('When is it?', 'In June.'), ('Who comes?', 'All of us.'), ('Why so?', 'Ask.')]


def texts(text: str, layout: str = 'qa') -> list[tuple[str, str]]:
    assert detection.detect(text) == layout
    found = detection.parse(text, layout=layout, file='a/f.md')
    return [(pair.question, pair.answer) for pair in found.pairs]


@pytest.mark.parametrize('form', ['## **Q. {}**\n\nA. {}\n\n', '### Q. {}\nA. {}\n\n'])
def test_a_title_may_have_a_label_with_a_dot(form: str) -> None:
    text = ''.join(form.format(*pair) for pair in PAIRS)
    assert texts(text) == PAIRS
    other = '## **Milestones**\n\n- May: it starts\n\n'
    assert texts(form.format('At ten?', 'No.') + other + text) == [
        ('At ten?', 'No.'),
        *PAIRS,
    ]


def test_titles_of_two_forms_are_labels_alike() -> None:
    """The rarer form was text: of twenty pairs two were read."""
    form = '## **Q{sign} {}**\n\nA{sign} {}\n\n'
    signs = ['.', ':', '.']
    parts = [form.format(*p, sign=s) for p, s in zip(PAIRS, signs, strict=True)]
    assert texts(''.join(parts)) == PAIRS


def test_a_letter_and_a_dot_below_a_plain_label_stay_text() -> None:
    text = 'Q: Who comes?\nA: Two do:\n\nA. Tom\nB. Ann\n\nQ: Why?\nA: So.\n'
    assert texts(text)[0] == ('Who comes?', 'Two do:\n\nA. Tom\nB. Ann')


def test_quotes_around_all_texts_are_cut() -> None:
    pairs = [('How wide is a 15" plate?', 'It is 15" wide.'), *PAIRS]
    text = ''.join(f'Q: "{q}"\nA: "{a}"\n\n' for q, a in pairs)
    assert texts(text) == pairs


@pytest.mark.parametrize('last', ['So.', '"No," he said. "Go."'])
def test_quotes_that_are_not_around_all_texts_stay(last: str) -> None:
    pairs = [(q, f'"{a}"') for q, a in PAIRS] + [('And now?', last)]
    assert texts(''.join(f'Q: {q}\nA: {a}\n\n' for q, a in pairs)) == pairs


def test_a_title_between_rules_of_two_signs_is_no_part_of_the_answer_above() -> None:
    rule = '-=-=-=-=-=-'
    title = f'{rule}\nMore of it:\n{rule}\n\n'
    parts = [f'Q: {q}\nA: {a}\n\n' for q, a in PAIRS]
    assert texts(title.join(parts)) == PAIRS
    kept = f'Type this:\n{rule}\nand press a key'
    assert texts(''.join([f'Q: What now?\nA: {kept}\n\n', *parts]))[0][1] == kept


@pytest.mark.parametrize(
    ('asks', 'answers'),
    [('用户', '助手'), ('Usuario', 'Asistente'), ('Пользователь', 'Ассистент')],
)
def test_roles_of_other_languages_are_labels(asks: str, answers: str) -> None:
    text = ''.join(f'{asks}: {q}\n{answers}: {a}\n\n' for q, a in PAIRS)
    assert texts(text) == PAIRS


def test_numbers_that_reStructuredText_fills_in_are_bullets(
    tmp_path: pathlib.Path,
) -> None:
    text = ''.join(f'#. {q}\n\n   {a}\n\n' for q, a in PAIRS)
    path = tmp_path / 'faq.rst'
    path.write_text(f'Answers\n=======\n\n{text}')
    pairs, _ = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in pairs] == PAIRS


def test_titles_right_below_their_anchors_are_underlined(
    tmp_path: pathlib.Path,
) -> None:
    text = ''.join(f'[[at-{q[:2]}]]\n{q}\n{"~" * len(q)}\n\n{a}\n\n' for q, a in PAIRS)
    path = tmp_path / 'faq.txt'
    path.write_text(f'Questions\n---------\n\n{text}')
    pairs, _ = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in pairs] == PAIRS


def test_one_pair_of_letters_of_another_language_is_none() -> None:
    """'D:' and 'R:' name columns too; in Italian they ask, again and again."""
    columns = 'D: Driver\nR: Recommended for this one (0, 1)?\nM: Made by them\n'
    assert not detection.detect(columns)
    assert texts(''.join(f'D: {q}\nR: {a}\n\n' for q, a in PAIRS)) == PAIRS


@pytest.mark.parametrize('sign', ['#', '*'])
def test_questions_below_a_title_that_asks_nothing_are_questions(sign: str) -> None:
    """They were left out with the title: a section of a FAQ, one level down."""
    more = [('Is it far?', 'Two miles.'), ('May I walk?', 'Yes.')]
    own = [
        (q, a) for q, a in [*PAIRS, ('What then?', 'We eat.'), ('And how?', 'Well.')]
    ]
    first = ''.join(f'{sign * 2} {q}\n\n{a}\n\n' for q, a in own)
    below = ''.join(f'{sign * 3} {q}\n\n{a}\n\n' for q, a in more)
    title, note = f'{sign * 2} The way\n\n', f'{sign * 3} Maps\n\nAt the inn.\n\n'
    assert texts(first + title + below + note, 'faq') == [*own, *more]
    # Below a question they stay a part of its answer.
    (asked, answered), found = own[-1], texts(first + below, 'faq')
    assert [pair[0] for pair in found] == [pair[0] for pair in own]
    assert found[-1][1].startswith(f'{answered}\n\n{sign * 3} Is it far?')
    assert asked == found[-1][0]


def test_a_link_to_a_sites_own_page_ends_the_last_answer() -> None:
    text = ''.join(f'Q: {q}\nA: {a}\n\n' for q, a in PAIRS)
    site = 'Last modified: 2010/01/06\nReturn to the Party Planner Home Page\n'
    assert texts(text + site) == PAIRS
    kept = 'Go.\nReturn to the top of the hill.'
    assert texts(f'{text}Q: And now?\nA: {kept}\n')[-1] == ('And now?', kept)


def test_contents_may_stand_far_to_the_right() -> None:
    heads = [f'1.{i} {q}' for i, (q, _) in enumerate(PAIRS, start=1)]
    contents = ''.join(f'{" " * 16}{head}\n' for head in heads)
    parts = [f'  {h}\n\n  {a}\n\n' for h, (_, a) in zip(heads, PAIRS, strict=True)]
    text = f'Contents\n\n        1 Visits\n{contents}\n1 Visits\n\n{"".join(parts)}'
    assert texts(text, 'faq') == PAIRS


NAMED = 'Q: Why {0}?\n\n{1}\n\nSo {0} it is.\n\n'


@pytest.mark.parametrize(
    'name',
    [
        'A: Ann Lee',
        'A: **Ann Lee**',
        'A:\nAnn Lee, advice columnist',
        'A:\nAnn Lee, Ph.D.',
        'A: Dr. Ann van Lee',
        'Ann Lee\nA:',
        '**Ann Lee**:\nA:',
    ],
)
def test_a_name_above_each_answer_is_no_part_of_the_pairs(name: str) -> None:
    text = ''.join(NAMED.format(word, name) for word in ('rain', 'hail', 'snow'))
    assert texts(text) == [
        (f'Why {w}?', f'So {w} it is.') for w in ('rain', 'hail', 'snow')
    ]
    found = detection.parse(text, layout='qa', file='a.md')
    assert found.counts['qa names above answers, left out'] == 3


@pytest.mark.parametrize(
    'opening', ['Yes.', 'Not at all', 'Dear Reader Mine', 'In The End.', 'No Idea']
)
def test_an_opening_that_is_no_name_above_each_answer_stays(opening: str) -> None:
    words = ('rain', 'hail', 'snow', 'fog', 'sun')
    text = ''.join(
        NAMED.format(word, f'A: {opening if opening != "No Idea" or not i else word}')
        for i, word in enumerate(words)
    )
    assert texts(text)[0][1] == f'{opening}\n\nSo rain it is.'


def test_answers_that_are_names_alone_stay() -> None:
    text = ''.join(f'Q: Who sings {i}?\nA: Ann Lee\n\n' for i in range(4))
    assert [answer for _, answer in texts(text)] == ['Ann Lee'] * 4


def test_rules_of_percent_signs_stand_between_pairs() -> None:
    text = '%%%%\n' + ''.join(f'Q: Why {i}?\n\nA: So {i}.\n%%%%\n' for i in range(3))
    assert [answer for _, answer in texts(text)] == ['So 0.', 'So 1.', 'So 2.']


@pytest.mark.parametrize('sign', ['%', '%%', '%%%%'])
def test_an_answer_ends_with_its_record(sign: str) -> None:
    """As fortune keeps texts: an answer went on to the next one, thousands of words."""
    pair = '{0}\n%\nQ: Why {1}?\nA: So {1}.\n%\nTom sang.\n\n\t-- Ann\n%\nHe sang.\n%\n'
    text = ''.join(pair.format('Yes, he did.', word) for word in ('rain', 'snow'))
    text = text.replace('%', sign)
    assert texts(text) == [('Why rain?', 'So rain.'), ('Why snow?', 'So snow.')]


def test_a_letter_ends_with_its_record() -> None:
    letter = (
        'Dear Emily:\n\tHow do I sing?\n\t\t-- Shy\n\nDear Shy:\n\tAloud.\n%\nOh.\n%\n'
    )
    assert [answer for _, answer in texts(letter * 3, 'letters')] == ['Aloud.'] * 3


def test_one_line_of_a_percent_sign_is_text() -> None:
    text = 'Q: How is 5 in a hundred written?\nA: A 5, then the sign\n%\nand no more.\n'
    assert '%' in texts(text)[0][1]


def test_a_label_of_another_record_answers_nothing() -> None:
    pair = 'Q: Why {0}?\nA: So {0}.\n%\n'
    alone = 'Q: Who is it?\n%\nTom sang.\n%\nHe said:\nA: Not I.\n%\n'
    text = pair.format('rain') + alone + pair.format('snow')
    assert texts(text) == [('Why rain?', 'So rain.'), ('Why snow?', 'So snow.')]
    parted = ''.join(f'%%%%\nQ: Why {i}?\n%%%%\nA: So {i}.\n' for i in range(3))
    assert texts(parted) == [(f'Why {i}?', f'So {i}.') for i in range(3)]


def test_one_problem_and_its_solution_are_sections_of_a_document() -> None:
    form = '*   **Problem**: Users {0}.\n\n*   **Solution**: We {0}.\n\n'
    assert not detection.detect('# Design\n\nIt is small.\n\n' + form.format('wait'))
    assert len(texts(form.format('wait') + form.format('ask'))) == 2


@pytest.mark.parametrize('quote', ["'", '"', '`'])
def test_objects_of_a_program_are_no_labels(quote: str) -> None:
    form = "  {\n    question: 'Why {0}?',\n    answer: 'So {0}.',\n    id: 7,\n  },\n"
    rows = ''.join(form.replace('{0}', word) for word in ('rain', 'hail', 'snow'))
    text = f'export const faq: Item[] = [\n{rows}];\n'.replace("'", quote)
    assert not detection.detect(text)


def test_numbers_that_stand_twice_in_an_answer_are_no_headings() -> None:
    """Of a FAQ of 51 questions all were refused: hosts stood in it before and after."""
    heads = [f'1.{i} {q}' for i, (q, _) in enumerate(PAIRS, start=1)]
    bodies = [f'{h}\n\n  {a}\n\n' for h, (_, a) in zip(heads, PAIRS, strict=True)]
    bodies[0] += '  127.0.0.1 localhost\n\n' * 2
    contents = '\n'.join(['Contents', '', '1 Visits', *heads, '', '1 Visits', '', ''])
    found = texts(contents + ''.join(bodies), 'faq')
    assert [question for question, _ in found] == [q for q, _ in PAIRS]
