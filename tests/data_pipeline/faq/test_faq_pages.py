"""Markdown whose headings or bold lines are questions, and texts where they are not."""

import textwrap

import pytest

from data_pipeline.faq import faq_pages, questions
from data_pipeline.layouts import detection
from data_pipeline.pages import page

PAIRS = [
    ('Is it rude to leave at nine?', 'No. Thank the host.\n\nThen go.'),
    ('Who pays for the boiler?', '- You do.\n- Or he does.\n\n#### In short\n\nBoth.'),
    ('May I open his letters?', '```\n## Why not?\n```\nNever.'),
]

ROWS = [
    ('Is it rude to leave at nine?', 'No. Thank the host.'),
    ('Who pays for the boiler?', 'You do, or he does.'),
    ('May I open his letters?', 'Never.\n\nAsk him.'),
    ('Is that all?', 'Yes, it is.'),
]


def parsed(text: str) -> page.Page:
    assert detection.detect(text) == questions.SOURCE
    return detection.parse(text, layout='faq', file='a/f.md')


def texts(found: page.Page) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in found.pairs]


def assert_whole(found: page.Page, text: str) -> None:
    lines: dict[int, str] = {}
    for piece in found.pieces:
        lines[piece.line] = lines.get(piece.line, '') + piece.text
    assert lines == {piece.line: piece.text for piece in page.raw_lines(text)}


@pytest.mark.parametrize(
    'form',
    [
        '## {}\n\n{}\n\n',
        '### {} ###\n{}\n\n---\n\n',
        '## **{}**\n\n{}\n\n',
        '### 7. {}\n\n{}\n\n',
        '{}\n---\n{}\n\n',
        '{}\n~~~~~~~~~~\n{}\n\n',
        '{}\n^^^^^^^^^^\n\n{}\n\n',
        '{}\n""""""""""\n\n{}\n\n',
        '### 7.{}\n\n{}\n\n',
        '### (7) {}\n\n{}\n\n',
        '### 1.7. {}\n\n{}\n\n',
        '### Q. {}\n\n{}\n\n',
        '### 7. **{}**\n\n{}\n\n',
        '7. ### {}\n\n{}\n\n',
        '== {}\n\n{}\n\n',
        '=== {} ===\n\n{}\n\n',
        '**3. {}**\n---------\n\n{}\n\n',
        '<details><summary>{}</summary>\n\n{}\n</details>\n\n',
        '<details>\n<summary><b>{}</b></summary>\n\n{}\n\n</details>\n\n',
        '<details open><summary>{}</summary>{}</details>\n',
    ],
)
def test_headings_that_are_questions_make_pairs(form: str) -> None:
    text = '# FAQ\n\nAsked often.\n\n' + ''.join(form.format(*pair) for pair in PAIRS)
    found = parsed(text)
    assert texts(found) == PAIRS
    assert [line for _, line, _ in found.unknown] == ['# FAQ', 'Asked often.']
    assert_whole(found, text)


@pytest.mark.parametrize(
    'form',
    [
        '**{}**\n\n{}\n\n',
        '**{}**\\\n{}\n\n',
        '**1\\. {}**\n\n{}\n\n',
        '***{}***\n{}\n\n---\n\n',
        '**{}** {}\n\n',
        '__3. {}__<br>{}\n\n',
        '1. **{}**\n\n   {}\n\n',
        '*{}*\n\n{}\n\n',
        '_2. {}_  \n{}\n\n',
        '- **{}** {}\n',
        '## Money\n\n**{}**\n\n{}\n\n',
    ],
)
def test_bold_lines_that_are_questions_make_pairs(form: str) -> None:
    rows = [
        ('Is it rude to leave at nine?', 'No. Thank the host.'),
        ('Who pays for the boiler?', '- You do.\n- Or he does.'),
        ('May I open his letters?', 'Never.'),
        ('Is that all?', '**Note:** it is.\n\nNever **lend** it.'),
    ]
    indented = [
        (q, a.replace('\n', '\n   ' if form[:2] == '1.' else '\n')) for q, a in rows
    ]
    text = ''.join(form.format(*row) for row in indented)
    text += '**About the author**\n\nAnn lives in Rome.\n'
    found = parsed(text)
    assert texts(found) == rows
    left = {line for _, line, _ in found.unknown} - {'## Money'}
    assert left == {'**About the author**', 'Ann lives in Rome.'}
    assert_whole(found, text)


def test_other_headings_are_left_out_and_end_answers() -> None:
    rows = [*PAIRS, ('Is that all?', 'Yes, it is.'), ('Notes', 'Made by Ann.')]
    text = ''.join(f'## {q}\n\n{a}\n\n' for q, a in rows) + '# Imprint\n\nAnn\n'
    found = parsed(text)
    assert texts(found) == rows[:-1]
    left = [line for _, line, _ in found.unknown]
    assert left == ['## Notes', 'Made by Ann.', '# Imprint', 'Ann']


@pytest.mark.parametrize('form', ['## {}\n\n{}\n\n', '* {}\n{}\n'])
def test_two_of_eight_headings_need_not_ask(form: str) -> None:
    rows = [*ROWS, *((f'{q[:-1]} now?', a) for q, a in ROWS[:2])]
    made = [*rows[:4], ('Contact us', 'By mail.'), *rows[4:], ('License', 'MIT')]
    found = parsed(''.join(form.format(*row) for row in made))
    assert texts(found) == rows
    assert found.counts['faq headings that ask nothing, left out'] == 2
    left = [line for _, line, _ in found.unknown]
    assert left[1::2] == ['By mail.', 'MIT']
    three = [*made[1:], ('Thanks', 'To Ann.')]
    assert detection.detect(''.join(form.format(*row) for row in three)) == ''
    few = made[1:5]  # one of four: they may be sections of an essay
    assert detection.detect(''.join(form.format(*row) for row in few)) == ''


def test_a_list_within_an_answer_may_ask() -> None:
    asks = 'Ask yourself:\n\n- Is it safe?\n- Is it cheap?\n\nThen go.'
    rows = [*ROWS, *((f'{q[:-1]} now?', asks) for q, _ in ROWS)]
    assert texts(parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))) == rows


@pytest.mark.parametrize('sign', ['', '?'])
def test_headings_right_above_details_are_topics(sign: str) -> None:
    form = '<details><summary>{}</summary>\n\n{}\n\n</details>\n\n'
    rows = [(f'{q[:-1]}{end}', a) for q, a in PAIRS for end in ('?', ' now?')]
    made = [form.format(*row) for row in rows]
    for i, topic in enumerate(('Your money', 'Your letters', 'And what else')):
        made[2 * i] = f'## {topic}{sign}\n\n{made[2 * i]}'
    text = ''.join(made)
    found = parsed(text)
    assert texts(found) == rows
    assert len(found.unknown) == 3
    assert_whole(found, text)


@pytest.mark.parametrize(
    'form', ['{}. {}\n   {}\n', '{}) {}\n\n{}\n\n', 'Q{}. {}\n{}\n\n']
)
def test_numbered_lines_that_are_questions_make_pairs(form: str) -> None:
    rows = [
        ('Who pays for the boiler?', 'You do.'),
        ('And the roof?', 'He does.'),
        ('Is that fair?', '- No.\n- Yes.'),
    ]
    text = '## Ours\n\n'
    for i, (asked, answer) in enumerate(rows, start=1):
        blanks = '\n   ' if '   ' in form else '\n'
        text += form.format(i, asked, answer.replace('\n', blanks))
    found = parsed(text + '## More\n\nSoon.\n')
    assert texts(found) == rows
    assert [line for _, line, _ in found.unknown] == ['## Ours', '## More', 'Soon.']


def test_bold_words_of_a_heading_stay_bold() -> None:
    rows = [
        ('Why does he **leave so early?**', 'He works.'),
        ('**Who** pays for it?', 'You.'),
        ('May **I** wait?', 'Do.'),
    ]
    text = ''.join(f'#### {asked}\n\n{answer}\n\n' for asked, answer in rows)
    assert texts(parsed(text)) == rows


@pytest.mark.parametrize('opens', ['', '- ', '12. '])
def test_bold_questions_of_several_lines_are_read_as_one(opens: str) -> None:
    asked = 'He says "wait\n  a year".  Is it\nrude to leave then?'
    rows = [(q, a.partition('\n')[0]) for q, a in PAIRS[:2]]
    rows += [(asked, 'No.\n\n**Note\nthis.**'), (PAIRS[2][0], 'Never.')]
    text = ''.join(f'{opens}**{q}**\n\n{a}\n\n' for q, a in rows)
    expected = [(' '.join(q.split()), a) for q, a in rows]
    found = parsed(text)
    assert [(' '.join(q.split()), a) for q, a in texts(found)] == expected
    whole = ''.join(piece.text for piece in found.pieces)
    assert ''.join(whole.split()) == ''.join(text.split())
    code = '```\n\n**Is\nit?**\n```\n\n'
    assert len(texts(parsed(f'{text}{code}'))) == len(rows)


@pytest.mark.parametrize(
    ('form', 'indent'),
    [
        ('??? faq "{}"\n{}\n\n', '    '),
        ('???+ question "{}" \n\n{}\n\n', '    '),
        ('!!! question "{}"\n{}\n', '  '),
        ('::: details {}\n{}\n:::\n\n', ''),
    ],
)
def test_folds_that_are_questions_make_pairs(form: str, indent: str) -> None:
    title = '# Questions\n\nWe *often* hear these.\n\n'
    answers = [textwrap.indent(answer, indent) for _, answer in PAIRS]
    folds = [form.format(*pair) for pair in zip(dict(PAIRS), answers, strict=True)]
    text = f'{title}{folds[0]}See below.\n\n## More\n\n{folds[1]}{folds[2]}'
    found = parsed(f'{text}---\nWrite to us.')
    assert texts(found) == PAIRS
    assert [line for _, line, _ in found.unknown][2:] == [
        *('See below.', '## More', '---', 'Write to us.')
    ]
    assert_whole(found, f'{text}---\nWrite to us.')


def test_a_numbered_sentence_above_a_long_rule_is_a_heading() -> None:
    asked = [f'{i}. {q}\n{"-" * 40}\n\nNever.\n\n' for i, (q, _) in enumerate(PAIRS)]
    told = f'3. You should forbid it.\n{"-" * 40}\n\n    We do.\n\n'
    more = f'4. Do you?\n{"-" * 40}\n\n1. Yes.\n\n2. Often.\n---\n'
    found = parsed(f'{"".join(asked)}{told}{more}')
    assert [a for _, a in texts(found)] == ['Never.'] * 3 + ['1. Yes.\n\n2. Often.']
    assert [line for _, line, _ in found.unknown] == [
        '3. You should forbid it.',
        '    We do.',
    ]


@pytest.mark.parametrize(
    ('form', 'indent', 'around'),
    [
        ('{}::\n{}\n\n', '', '[qanda]\n{}[NOTE]\nCall us.\n'),
        ('{}::\n{}\n', '  ', '== Ours\n\n[qanda]\n{}\n== More\n\nSoon.\n'),
        ('{}:: {}\n', '', '= FAQ\n\n{}\n* [ ] all done\n'),
        ('* {}\n{}\n', '', '#+TITLE: FAQ\n\n{}* Contact\nCall us.\n'),
        ('** {}\n\n{}\n\n', '   ', '* FAQ\n{}* Contact :us:\n** Mail\nm@a.example\n'),
        ('** TODO {} :ask:\n:PROPERTIES:\n:ID: 7\n:END:\n{}\n', '', '* FAQ\n{}'),
        ('> [!question] {}\n{}\n\n', '> ', '# FAQ\n\n{}Call us.\n'),
        ('> [!faq]- {}\n{}\n\n', '> ', 'We ask.\n\n{}---\n'),
        ('>[!FAQ]+ {}\n{}\n\n', '>', '{}## More\n\nSoon.\n'),
        ('* {}\n{}\n', '  - ', '# FAQ\n\n{}\n## More\n\nSoon.\n'),
        ('- {}\n\n{}\n\n', '    ', '{}Call us.\n'),
        ('+ {}\n{}\n', '   * ', 'We ask.\n\n{}+ That is all.\n'),
        ('7. {}\n{}\n', '   - ', '# FAQ\n\n{}\n# More\n'),
    ],
)
def test_lines_of_other_tools_that_are_questions_make_pairs(
    form: str, indent: str, around: str
) -> None:
    rows = [*ROWS[:2], ('May I open his letters?', 'Never.'), ROWS[3]]
    text = around.format(''.join(form.format(q, f'{indent}{a}') for q, a in rows))
    found = parsed(text)
    assert texts(found) == rows
    left = around.replace('{}', '').replace('\n\n', '\n').strip().split('\n')
    assert [line.strip() for _, line, _ in found.unknown] == [e for e in left if e]
    assert_whole(found, text)


def test_terms_have_paragraphs_and_blocks() -> None:
    answer = 'Run this:\n+\n[source,sh]\n----\nmake\n\nWho is it?::\n\nmake more\n----'
    text = '[qanda]\n' + ''.join(f'{q}::\n{a}\n' for q, a in ROWS[:3])
    found = parsed(f'{text}And how do I build it?::\n{answer}\nCall us::\nAt nine.\n')
    shown = 'Run this:\n\nmake\n\nWho is it?::\n\nmake more'
    assert texts(found)[3] == ('And how do I build it?', shown)
    assert len(texts(found)) == 4
    titled = answer.replace('+\n[source,sh]', '\nLike this')  # no heading
    found = parsed(f'{text}And how do I build it?::\n  Run:\n+\n--\n{titled}\n--\n')
    assert 'Like this\n' in texts(found)[3][1] and 'make more' in texts(found)[3][1]


def test_stars_in_code_and_drawers_are_no_headings() -> None:
    code = '#+BEGIN_SRC sh\n* why\n** Who?\n#+END_SRC'
    rows = [(q, f'{a}\n\n{code}') for q, a in ROWS]
    assert texts(parsed(''.join(f'** {q}\n{a}\n' for q, a in rows))) == rows


def test_an_answer_of_several_items_stays_a_list() -> None:
    rows = [*ROWS[:3], ('What then?', '- Ask him.\n- Go.')]
    forms = ['- Never.\n  - At nine.'] + [f'- {a}' for _, a in ROWS[1:2]] + ['- No.']
    made = [*forms, rows[3][1]]
    text = ''.join(
        f'* {q}\n{textwrap.indent(a, "  ")}\n'
        for (q, _), a in zip(rows, made, strict=True)
    )
    told = [a for _, a in texts(parsed(text))]
    assert told == ['Never.\n- At nine.', ROWS[1][1], 'No.', '- Ask him.\n- Go.']


@pytest.mark.parametrize(
    'text',
    [
        'Ask:\n\n' + ''.join(f'- {q}\n' for q, _ in PAIRS) + '\nThen go.\n',
        'Ask:\n\n' + ''.join(f'* {q}\n' for q, _ in PAIRS) + '\nThen go.\n',
        ''.join(f'* {q}\n  - Yes\n  - No\n' for q, _ in PAIRS),
        ''.join(f'> [!question] {q}\n\nNo.\n\n' for q, _ in PAIRS),
        ''.join(f'> [!question] {q}\n> > [!tip] See\n> > No.\n\n' for q, _ in PAIRS),
        ''.join(f'> [!note] {q}\n> No.\n\n' for q, _ in PAIRS),
        ''.join(f'{q[:-1]}::\n{a}\n' for q, a in PAIRS),
        '* Ours\nNo.\n* Yours\nYes.\n* Who?\nTom.\n',
    ],
)
def test_lists_and_callouts_without_answers_are_not_of_this_layout(text: str) -> None:
    assert detection.detect(text) == ''


def test_folds_that_ask_nothing_are_no_questions() -> None:
    rows = [
        (f'## {i}. {asked}', '??? question "Show answer"')
        for i, asked in enumerate('ab')
    ]
    text = ''.join(f'{q}\n\n{fold}\n    No.\n\n' for q, fold in rows * 3)
    assert not detection.detect(text)
    code = ''.join(f'??? faq "{q}"\n    {a[:2]}\n' for q, a in PAIRS)
    assert not detection.detect(f'```\n{code}```\n')


def test_bold_texts_with_code_between_them_are_one_question() -> None:
    rows = [(asked, 'So.') for asked, _ in PAIRS]
    text = ''.join(f'**{asked}**\n\n{answer}\n\n' for asked, answer in rows)
    rest = (
        '**Does** `boil --off` **work?**\n\nNo.\n\n**It says** ``E4``\n\nIgnore it.\n'
    )
    found = parsed(text + rest)
    assert texts(found) == [*rows, ('**Does** `boil --off` **work?**', 'No.')]
    assert [line for _, line, _ in found.unknown] == [
        '**It says** ``E4``',
        'Ignore it.',
    ]


@pytest.mark.parametrize(
    'below',
    [
        '**[⬆ Back to Top](#contents)**',
        '[Back to the contents](#toc)\n\n---',
        '<a href="#top">Back to top</a>',
        '<a name="next"></a>',
        '<br>',
    ],
)
def test_links_up_and_places_of_links_end_no_answer(below: str) -> None:
    rows = [*PAIRS[:2], ('May I see more?', '[The next question](#next)')]
    text = ''.join(f'## {asked}\n\n{a}\n\n   {below}\n\n' for asked, a in rows)
    found = parsed(text)
    assert texts(found) == rows
    assert_whole(found, text)


def test_details_within_an_answer_are_a_part_of_it() -> None:
    more = '<details><summary>Why is that so?</summary>\n\nIt is.\n\n</details>'
    rows = [(q, f'{a}\n\n{more}') for q, a in PAIRS]
    assert texts(parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))) == rows


def test_a_question_without_an_answer_is_dropped() -> None:
    rows = [*PAIRS, ('Is that all?', '')]
    found = parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))
    assert texts(found) == PAIRS
    assert [name for _, name, _ in found.dropped] == ['Is that all?']


@pytest.mark.parametrize(
    'text',
    [
        ''.join(f'## {q}\n\n{a}\n\n' for q, a in PAIRS[:2]),
        ''.join(f'## {q[:-1]}\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\n{a}\n\n## Notes\n\nNone.\n\n' for q, a in PAIRS),
        ''.join(f'## [{q}](https://a.example)\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\nDear Ann: I am sad.\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\nI left. Was that rude?\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\nNo. Thank … [Read more](b.md)\n\n' for q, _ in PAIRS),
        ''.join(f'## {q}\n\nA. {a}\nB. No.\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\n- [ ] yes\n- [ ] no\n\n' for q, _ in PAIRS),
        ''.join(f'## {q}\n\nI left.\n\nWhy so?\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\n' for q, _ in PAIRS),
        ''.join(f'**Host: {q}**\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'**{q}**\n\nAnn: {a}\n\n' for q, a in PAIRS),
        ''.join(f'**[{q}](https://a.example)**\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'**{q}**\n' for q, _ in PAIRS) + 'No.\n\nYou do.\n\nNever.\n',
        ''.join(f'**{q}** {a}\n\n**Tip:** Go.\n\n**Or:** Stay.\n\n' for q, a in PAIRS),
        ''.join(f'**{q}**\n\n{a}\n\n**It dies.**\n\nGo.\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\n{a}\n\n**Is it so?**\n\nYes.\n\n' for q, a in PAIRS),
        ''.join(f'**{q}**\n\n( ) Yes\n( ) No\n\n' for q, _ in PAIRS),
        ''.join(f'**{q}** (5 points)\n\nA) yes B) no\n\n' for q, _ in PAIRS),
        ''.join(f'## {q}\n\nA: {a}\nB: No.\n\n' for q, a in PAIRS),
        ''.join(f'We ask: **{q}** {a}\n\n' for q, a in PAIRS),
        ''.join(f'*{q}* {a}\n\n' for q, a in PAIRS),
        ''.join(f'*{q}*\n\n{a}\n\n*It dies.*\n\nGo.\n\n' for q, a in PAIRS),
        ''.join(f'{q}\n---\n{a}\n\nNotes\n---\nNone.\n\n' for q, a in PAIRS),
        ''.join(f'{i}. {q}\n   - yes\n   - no\n' for i, (q, _) in enumerate(PAIRS)),
        ''.join(f'{i}. {q}\n' for i, (q, _) in enumerate(PAIRS)) + '\nNo.\n',
        ''.join(f'We ask:\n{q}\n---\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\nI ask.\n\n**Answer:** {a}\n\n' for q, a in PAIRS),
        ''.join(f'** TODO {q}\n   DEADLINE: <2024-05-0{len(a)}>\n' for q, a in PAIRS),
        ''.join(f'## {q}\n\nI ask.\n\n### Answer\n\n{a}\n\n' for q, a in PAIRS),
        ''.join(f'> [!faq] {q}\n> Ah.\n>\n> **Answer:** No.\n\n' for q, _ in PAIRS),
        ''.join(
            f'> [!faq] {q}\n> Hm: {len(q)}.\n\n> [!tip]- Answer\n> {a}\n\n'
            for q, a in ROWS
        ),
        ''.join(f'## {q}\n\nOurs:\n\n- Who?\n- Why?\n\n' for q, _ in PAIRS),
        ''.join(f'{i}. {q}\n   Tom, 5 min\n' for i, (q, _) in enumerate(PAIRS)),
        ''.join(f'{i}. {q}\n   (Ann, 10 m)\n' for i, (q, _) in enumerate(PAIRS)),
        ''.join(f'**{q}** Yes / No / Perhaps\n\n' for q, _ in PAIRS),
    ],
)
def test_other_texts_are_not_of_this_layout(text: str) -> None:
    assert detection.detect(text) == ''


@pytest.mark.parametrize(
    ('form', 'below', 'left'),
    [
        ('### {}\n\n**Answer:** {}\n\n', '', []),
        ('**{}**\n\nA: {}\n\n', '', []),
        ('## {}\n\n### Answer\n\n{}\n\n', '', []),
        ('**{}**\n\nAns. {}\n\n', '', []),
        ('**Q7: {}**\n\n{}\n\n', '', []),
        ('- **{}** – {}\n', '', []),
        ('## {}\n\n{}\n\n**Source:** A book.\n\n', '', []),
        ('## {}\n\n{}\n\n---\n\n', 'Thanks for all.\n', ['Thanks for all.']),
        (
            '## {}\n\n{}\n\n',
            '## Was this page helpful?\n\nYes / No\n',
            ['## Was this page helpful?', 'Yes / No'],
        ),
        (
            '**{}**\n\n{}\n\n',
            '**Still have questions?** Call us.\n',
            ['**Still have questions?** Call us.'],
        ),
    ],
)
def test_what_stands_beside_the_texts_is_left_out(
    form: str, below: str, left: list[str]
) -> None:
    text = ''.join(form.format(*row) for row in ROWS) + below
    found = parsed(text)
    assert texts(found) == ROWS
    assert [line for _, line, _ in found.unknown] == left
    assert_whole(found, text)


def test_the_mark_of_a_quote_goes_where_it_opens_an_answer() -> None:
    text = ''.join(f'## {q}\n\n> {a}\n\n' for q, a in ROWS).replace('\nAsk', '\n> Ask')
    assert texts(parsed(text)) == ROWS


def test_headings_among_bold_questions_are_questions_too() -> None:
    forms = ['**{}**\n\n{}\n\n', '### {}\n\n{}\n\n'] * 4
    rows = [*ROWS, *((f'{q[:-1]} now?', a) for q, a in ROWS)]
    text = ''.join(form.format(*row) for form, row in zip(forms, rows, strict=True))
    assert texts(parsed(text)) == rows


@pytest.mark.parametrize(
    'rows',
    [
        [
            ('这样做很失礼吗？', '不，谢谢。'),
            ('谁付钱？', '你付。'),
            ('可以吗？', '可以。'),
        ],
        [
            ('هل أحضر كلبي؟', 'نعم.'),
            ('من يدفع الآن؟', 'أنت.'),
            ('هل هذا كل شيء؟', 'نعم.'),
        ],
        [('Είναι αγένεια;', 'Όχι.'), ('Ποιος πληρώνει;', 'Εσύ.'), ('Να φέρω;', 'Ναι.')],
    ],
)
def test_question_marks_of_other_scripts_are_known(rows: list[tuple[str, str]]) -> None:
    assert texts(parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))) == rows


def test_questions_in_code_are_no_sign_of_an_index() -> None:
    code = '```\n# How?\n**Is this bold?**\n```'
    rows = [(q, f'{a}\n\n{code}') for q, a in ROWS]
    assert texts(parsed(''.join(f'**{q}**\n\n{a}\n\n' for q, a in rows))) == rows


@pytest.mark.parametrize(
    ('text', 'is_one'),
    [
        ('Was this helpful?', False),
        ('Did you find this page useful?', False),
        ('Is this answer helpful to you?', False),
        ('Do you have any more questions?', False),
        ('Still need help?', False),
        ('Can’t find what you are looking for?', False),
        ('Not finding what you need?', False),
        ('Is the sky clear?', True),
        ('Was it helpful to call her?', True),
        ('Do you have questions about my mother?', True),
        ('Can’t find a partner for the dance?', True),
        ('Need help with my neighbour?', True),
    ],
)
def test_a_pages_questions_to_its_reader_are_known(text: str, is_one: bool) -> None:
    assert questions.is_question(text) == is_one


@pytest.mark.parametrize(
    'said', ['_Write your thoughts here._', '1 2 3 4 5', '(Please write below.)']
)
def test_one_text_below_all_questions_is_a_form_to_fill_in(said: str) -> None:
    text = '# Day 1\n\n' + ''.join(f'**{asked}**\n\n{said}\n\n' for asked, _ in PAIRS)
    assert detection.detect(text) != questions.SOURCE


@pytest.mark.parametrize('form', ['**{}**\n\n{}\n\n', 'Q: {}\n\nA: {}\n\n'])
@pytest.mark.parametrize('ends', ['', '***\n\n'])
def test_a_pages_own_text_below_a_rule_is_no_answer(form: str, ends: str) -> None:
    text = '# House\n\n' + ''.join(form.format(*row) + ends for row in ROWS)
    closing = '---\n\nIf this is too hard, call us.\n\n**Good luck!**\n'
    layout = detection.detect(text + closing)
    found = detection.parse(text + closing, layout=layout, file='f.md')
    assert texts(found) == ROWS
    assert any('call us' in str(each) for each in found.unknown)
    assert_whole(found, text + closing)


def test_answers_with_rules_in_them_keep_their_text() -> None:
    rows = [(asked, f'{said}\n\n---\n\nAnd so on.') for asked, said in ROWS]
    text = '# House\n\n' + ''.join(f'## {q}\n\n{a}\n\n' for q, a in rows)
    assert texts(parsed(text)) == rows


def test_a_sentence_above_a_rule_as_long_ends_an_answer() -> None:
    rows = [(f'Who sings {word}?', f'Tom does {word}.') for word in 'abcde']
    made = [f'{q}\n{"-" * len(q)}\n\n{a}\n\n' for q, a in rows]
    made.insert(2, 'This is no song.\n----------------\n\nIt is.\n\n')
    found = parsed('House\n=====\n\n' + ''.join(made))
    assert texts(found) == rows
    assert found.counts[questions.ASK_NOTHING] == 1
    # A rule of another length, or right below a text of several lines, is no heading's.
    for rule in ('It is so.\n----------------', 'She sang,\nand he did.\n-----------'):
        made[2] = f'{rule}\n\nAnd on.\n\n'
        kept = parsed('House\n=====\n\n' + ''.join(made))
        assert kept.pairs[1].answer.endswith('And on.')


@pytest.mark.parametrize(
    'target',
    ['.. _a song: https://example.org/a', '.. _`a: b`: c', '.. _song:', '[[song]]'],
)
def test_targets_of_links_are_no_text(target: str) -> None:
    text = 'House\n=====\n\n' + ''.join(
        f'{q}\n{"-" * len(q)}\n\n{a}\n\n{target}\n\n' for q, a in ROWS
    )
    found = parsed(text)
    assert texts(found) == ROWS
    assert_whole(found, text)


@pytest.mark.parametrize('name', ['', '.A song\n'])
@pytest.mark.parametrize('sign', ['----', '....'])
def test_blocks_of_asciidoc_are_code_and_its_comments_are_none(
    name: str, sign: str
) -> None:
    code = '// sung by him\nsing(song)\n== no heading ==\nWhy?'
    block = f'{name}[source,sh]\n{sign}\n{code}\n{sign}'
    rows = [(q, f'{a}\n\n{name}{code}\n\nAnd on.') for q, a in ROWS]
    text = '= House\n:toc:\n\n' + ''.join(
        f'== {q}\n\n{a}\n\n{block}\n\n// A note.\nimage::tom.png[align="left"]\n'
        'And on.\n\n'
        for q, a in ROWS
    )
    found = parsed(text)
    assert texts(found) == rows
    assert_whole(found, text)


@pytest.mark.parametrize(
    'asked', ["'It isn''t my boiler, is it?'", 'Who pays', '"Why?"']
)
def test_a_question_in_the_front_matter_is_answered_below_it(asked: str) -> None:
    said = 'You do.\n\n- Or he does.\n\n## In short\n\nBoth.'
    text = f'---\nid: 7\nquestion: {asked}\nsort_order: 1\n---\n\n{said}\n'
    found = parsed(text)
    assert texts(found) == [(asked.strip('\'"').replace("''", "'"), said)]
    assert_whole(found, text)
    for other in (
        text.replace('question:', 'summary:'),
        text.replace('id: 7', 'options: [he, you]'),
        text.replace(asked, '>\n  Who pays?'),
        text.replace(said, ''),
        text.replace('---', 'id: 8', 1),
    ):
        assert detection.detect(other) == ''


@pytest.mark.parametrize(
    ('opens', 'closes'),
    [('<Note>', '</Note>'), ('<Tab id="a">', '</Tab>'), (':::tip', ':::')],
)
def test_the_edges_of_a_sites_own_parts_are_no_text(opens: str, closes: str) -> None:
    text = ''.join(f'## {q}\n\n{opens}\n{a}\n{closes}\n\n' for q, a in ROWS)
    found = parsed(text)
    assert texts(found) == ROWS
    assert_whole(found, text)


def test_tags_that_nothing_closes_and_those_of_code_are_text() -> None:
    form = (
        '<Enter>\n\n```\n<Note>\n{}\n</Note>\n```\n\n<Tab title="One">\nOr so.\n</Tab>'
    )
    rows = [(q, form.format(a)) for q, a in ROWS]
    text = ''.join(f'## {q}\n\n{a}\n\n' for q, a in rows)
    assert texts(parsed(text)) == rows


@pytest.mark.parametrize('form', ['{n}. {}\n{}\n\n', 'Q: {}\nA: {}\n\n'])
def test_the_end_of_an_assistants_reply_is_no_answer(form: str) -> None:
    rows = [(q, a.partition('\n')[0]) for q, a in ROWS]
    pairs = ''.join(form.format(*row, n=n) for n, row in enumerate(rows, start=1))
    closing = 'I hope this helps!\n\nLet me know what to add.\n'
    for opens, ends in [
        ('Certainly! Here are the questions.', closing),
        ('Here’s a list:', closing),
        ('House rules', ''),
    ]:
        text = f'{opens}\n\n{pairs}{ends}'
        found = detection.parse(text, layout=detection.detect(text), file='f.md')
        assert texts(found) == rows
        assert_whole(found, text)
    text = f'House rules\n\n{pairs}And so on.\n'
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    assert texts(found)[-1][1].endswith('And so on.')


def test_a_heading_above_pictures_and_tags_ends_the_last_answer() -> None:
    text = ''.join(f'## {n}. {q}\n\n{a}\n<br>\n\n' for n, (q, a) in enumerate(ROWS, 1))
    text += '#### See all [here](https://example.org)\n\n<br>\n\n<a href="/b">\n'
    text += '<img src="/c.png" width="9">\n</a>\n</p>\n'
    found = parsed(text)
    assert texts(found) == ROWS
    assert_whole(found, text)


@pytest.mark.parametrize(
    'form',
    [
        '<Accordion title="{}">\n\n{}\n\n</Accordion>\n\n',
        "  <AccordionItem title='1. {}' open>\n  {}\n  </AccordionItem>\n",
        '<Details summary="{}">\n<Note>\n{}\n</Note>\n</Details>\nMore below.\n',
    ],
)
def test_parts_of_a_site_that_fold_are_questions(form: str) -> None:
    rows = [(q, a.replace('\n\n', ' ')) for q, a in ROWS]
    text = '---\ntitle: House\n---\n\n<AccordionGroup>\n\n' + ''.join(
        form.format(*row) for row in rows
    )
    text += '</AccordionGroup>\n\nWrite to us.\n'
    found = parsed(text)
    assert texts(found) == rows
    assert_whole(found, text)
    assert detection.detect(text.replace('?', '.')) == ''


@pytest.mark.parametrize(
    ('line', 'is_text'),
    [
        ('© 2024 Tom and Ann. All rights reserved.', False),
        ('Copyright 2023 Tom', False),
        ('Copyright belongs to her.', True),
        ('*Last updated: 3 May 2024*', False),
        ('Last updated by your aunt, as you may guess.', True),
        ('[Privacy](/p) | [Terms](/t)', False),
        ('[Her letter](/p) and [his](/t)', True),
        ('[[Category:Visits]]', False),
        ('{: .note}', False),
        ('export default Visits;', False),
        ('Page 2 of 3', False),
        ('Page 2 of 3 has it.', True),
    ],
)
def test_what_a_site_puts_below_a_text_is_no_part_of_it(
    line: str, is_text: bool
) -> None:
    asked = ['Who stays?', 'Who leaves at nine?', 'Who sings?']
    whole = '\n\n'.join(f'## {each}\n\nTom does.' for each in asked)
    found = parsed(f'{whole}\n\n{line}\n')
    answer = 'Tom does.' + f'\n\n{line}' * is_text
    assert texts(found)[-1] == ('Who sings?', answer)
    assert_whole(found, f'{whole}\n\n{line}\n')


def test_what_restructuredtext_does_not_show_is_no_text() -> None:
    asked = ['Who stays?', 'Who leaves at nine?', 'Who sings?']
    aside = '.. index:: visits\n\n.. a note to ourselves'
    whole = '\n\n'.join(
        f'.. _{i}:\n\n{each}\n{"-" * len(each)}\n\nTom, at {i}.\n\n{aside}'
        for i, each in enumerate(asked)
    )
    assert texts(parsed(whole)) == [
        (each, f'Tom, at {i}.') for i, each in enumerate(asked)
    ]


@pytest.mark.parametrize(
    ('headings', 'said'),
    [
        (['Who stays?', 'Who sings?'], 'Of 2 headings of one level 2 ask; 3 must'),
        (
            ['Who stays?', 'Who sings?', 'Who leaves?', 'Contact', 'License'],
            'Of 5 headings of one level 3 ask; 4 must',
        ),
        (['Contact', 'License'], ''),
    ],
)
def test_a_page_that_is_none_says_how_many_headings_ask(
    headings: list[str], said: str
) -> None:
    text = '\n\n'.join(f'## {each}\n\nTom, of {each[:-1]}.' for each in headings)
    assert detection.detect(text) == ''
    assert faq_pages.why_none(text).strip().startswith(said)
    assert bool(faq_pages.why_none(text)) == bool(said)


@pytest.mark.parametrize('form', ['({}): {}', '{}b. {}', '2.{} {}', '2.1.{} {}'])
def test_numbers_of_headings_are_no_part_of_questions(form: str) -> None:
    text = ''.join(
        f'## {form.format(i, question)}\n\n{answer}\n\n'
        for i, (question, answer) in enumerate(ROWS, 1)
    )
    assert texts(parsed(text)) == ROWS


def test_one_number_that_opens_a_heading_may_be_a_version() -> None:
    rows = [('3.12 or 3.11, which one?', 'Both.'), *ROWS]
    text = ''.join(f'## {question}\n\n{answer}\n\n' for question, answer in rows)
    assert texts(parsed(text)) == rows


@pytest.mark.parametrize('form', ['== {} ==\n{}\n', '=={}==\n\n{}\n', '= {} =\n{}\n'])
def test_headings_between_signs_are_a_wikis(form: str) -> None:
    rows = [*ROWS[:3], (ROWS[3][0], 'Two ways:\n# Ask him.\n# Ask her.')]
    text = ''.join(form.format(*row) for row in rows)
    assert texts(parsed(f'{text}\n= More =\n\n')) == rows
    rows = [(question, f'Tom.\n\n==marked==\n\n{answer}') for question, answer in ROWS]
    assert texts(parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))) == rows


def test_a_question_of_a_lower_level_is_reported() -> None:
    lower = '### Who sings?\n\nTom.'
    rows = [(ROWS[0][0], f'{ROWS[0][1]}\n\n{lower}'), *ROWS[1:]]
    found = parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))
    assert texts(found) == rows
    assert found.unknown == [
        (5, '### Who sings?', 'a question of a lower level, kept in the answer')
    ]


@pytest.mark.parametrize(
    ('listed', 'headed'),
    [
        ('    2.{}. {}', '2.{}. {}'),
        ('  ? 2.{}. {}', '2.{}. {}'),
        ('     2.{} {}', '  2.{}.  {}'),
        ('2.{} {}', '-----\n\nSubject: 2.{}. {}'),
    ],
)
def test_numbered_headings_of_plain_text_stand_in_its_contents(
    listed: str, headed: str
) -> None:
    long = 'I cannot come to the house at nine,\n   what then?'
    rows = [*ROWS, (long, 'Say so.\n\n# stop\n1. Call.\n2. Write.')]
    contents = '\n'.join(listed.format(i, q) for i, (q, _) in enumerate(rows, 1))
    sections = '\n\n'.join(
        f'{headed.format(i, q)}\n\n{a}' for i, (q, a) in enumerate(rows, 1)
    )
    title = '3. What else there is'
    own = f'{title}\n\nChapter 2. Visits\n\n'
    text = f'FAQ\n\n  2. Visits\n{contents}\n{own}{sections}\n\n{title}\n\nNothing.\n'
    asked = 'I cannot come to the house at nine, what then?'
    assert texts(parsed(text)) == [*ROWS, (asked, rows[-1][1])]
    assert detection.detect(sections) == ''


def test_more_than_a_hundred_headings_are_numbered() -> None:
    rows = [
        (f'Who sings at {i} in the night?', f'Tom does, {i}.') for i in range(1, 121)
    ]
    contents = '\n'.join(f'{i}. {asked}' for i, (asked, _) in enumerate(rows, 1))
    below = '\n\n'.join(f'{i}. {q}\n\n{a}' for i, (q, a) in enumerate(rows, 1))
    assert texts(parsed(f'FAQ\n\n{contents}\n\n{below}\n')) == rows


def test_paragraphs_that_open_with_a_question_hold_its_answer() -> None:
    rows = [(question, answer.replace('\n\n', '\n')) for question, answer in ROWS]
    rows.append(('Who sings?', 'Tom does.\nHe is\n1. loud\n2. late'))
    text = '\n\n'.join(f'{question}\n{answer}' for question, answer in rows)
    assert texts(parsed(f'Questions of visitors\n\n{text}\n')) == rows
    few = '\n\n'.join(text.split('\n\n')[:4])
    story = text.replace('Who sings?', 'Tom sings.').replace('Is that all?', 'It is.')
    quiz = '\n\n'.join(f'{question}\nthe host\nthe guest\nTom' for question, _ in rows)
    for other in (few, story, quiz):
        assert detection.detect(other) == ''


@pytest.mark.parametrize(
    'form', ['"question": "{}",\n"answer": "{}"', 'Q?{}\nA?{}', '<ask>{}\n<say>{}']
)
def test_paragraphs_with_labels_of_another_form_are_not_read(form: str) -> None:
    pairs = [
        (f'I sing at {hour} in our flat. May I?', f'Ask those who hear you at {hour}.')
        for hour in range(9)
    ]
    text = '\n\n'.join(form.format(*pair) for pair in pairs)
    assert detection.detect(text) == ''


def test_japanese_asks_without_a_question_mark_too() -> None:
    rows = [
        ('九時に帰るのは失礼ですか。', 'いいえ。'),
        ('誰が払いますか', 'あなたです。'),
        ('手紙を開けてもいいですか？', '決して。'),
    ]
    assert texts(parsed(''.join(f'## {q}\n\n{a}\n\n' for q, a in rows))) == rows
    statements = ''.join(f'## {a}\n\n{q}\n\n' for q, a in rows)
    assert detection.detect(statements) == ''


def test_a_numbered_heading_below_a_question_is_a_part_of_its_answer() -> None:
    own = 'One of two:\n\n2.4.1. Tom\n\nHe sings.'
    rows = [*ROWS[:3], (ROWS[3][0], own)]
    heads = [f'2.{i}. {question}' for i, (question, _) in enumerate(rows, 1)]
    contents = '\n'.join(f'  {each}' for each in [*heads, '2.4.1. Tom'])
    pairs = zip(heads, rows, strict=True)
    text = '\n\n'.join(f'{head}\n\n{answer}' for head, (_, answer) in pairs)
    assert texts(parsed(f'{contents}\n\n{text}\n')) == rows


def test_bold_lines_with_numbers_of_sections_are_headings() -> None:
    rows = [*ROWS, ('Who sings?', 'Tom.'), ('Who pays?', 'Ann.'), ('Who left?', 'He.')]
    heads = [question for question, _ in rows] + ['A word on visits', 'More on visits']
    answers = [answer for _, answer in rows] + ['Stay.', 'Go.']
    for form, is_one in (('  * **2.{} {}**\n\n', True), ('**{1}**\n\n', False)):
        pairs = zip(heads, answers, strict=True)
        text = ''.join(
            f'{form.format(i, head)}  {answer.replace(chr(10), chr(10) + "  ")}\n\n'
            for i, (head, answer) in enumerate(pairs, 1)
        )
        assert (detection.detect(text) == questions.SOURCE) == is_one
    numbered = ''.join(f'**2.{i}. {q}**\n\n{a}\n\n' for i, (q, a) in enumerate(rows, 1))
    assert texts(parsed(f'{numbered}**2.8. More on visits**\n\nGo.\n')) == rows


def test_titles_of_sections_between_numbered_headings_end_answers() -> None:
    heads = [f'2.{i}. {question}' for i, (question, _) in enumerate(ROWS, 1)]
    title = 'SECTION 3 - VISITS'
    contents = '\n'.join(f'    {each}' for each in heads)
    pairs = zip(heads, ROWS, strict=True)
    text = '\n\n'.join(f'{head}\n\n{answer}' for head, (_, answer) in pairs)
    last = '3.1. Who sings?\n\nTom.'
    whole = f'{contents}\n{title}\n    3.1. Who sings?\n\n{text}\n\n{title}\n\n{last}\n'
    assert texts(parsed(whole)) == [*ROWS, ('Who sings?', 'Tom.')]


@pytest.mark.parametrize('form', ['{}\n:   {}', '**{}**\n\n: {}', '### {}\n:\t{}'])
def test_the_sign_of_a_definition_is_no_part_of_the_answer(form: str) -> None:
    pairs = [(f'Why is {i} so?', f'Because {i} is.') for i in 'abcdef']
    text = '\n\n'.join(form.format(*pair) for pair in pairs) + '\n:   Note: it is.\n'
    made = faq_pages.parse(text, file='a.md').pairs
    pairs[-1] = pairs[-1][0], f'{pairs[-1][1]}\nNote: it is.'
    assert [(pair.question, pair.answer) for pair in made] == pairs
