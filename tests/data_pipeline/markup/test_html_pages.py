"""Pages of HTML: questions without labels, navigation and footers, pages refused."""

import json
import pathlib

import pytest

from data_pipeline.layouts import html_text
from data_pipeline.reading import reader
from hax_jax import errors

PAIRS = [
    ('Is it rude to leave at nine?', 'No. Thank the host & go.'),
    ('Who pays for the boiler?', 'Whoever owns the house.\n\nAsk twice.'),
    ('May I open his letters?', 'Never, whatever they say.'),
]
NAV = '<nav><a href="/">Home</a> <a href="/b">Prices?</a></nav>'
FOOTER = '<footer><p>© 2024 The Paper. All rights reserved.</p></footer>'


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> str:
    """A text as HTML has it, a paragraph each."""
    text = text.replace('&', '&amp;')
    return ''.join(f'<p>{each}</p>' for each in text.split('\n\n'))


def page_of(body: str, head: str = '', footer: str = FOOTER) -> str:
    return (
        f'<!DOCTYPE html>\n<html><head><title>FAQ</title>{head}</head>\n<body>{NAV}\n'
        f'<h1>All about houses</h1>{body}{footer}</body></html>\n'
    )


def read(text: str) -> list[tuple[str, str]]:
    pathlib.Path('a.html').write_text(text)
    return [(pair.question, pair.answer) for pair in reader.read(['a.html'])[0]]


FORMS = {
    'dl': ('<dl>{}</dl>', '<dt>{}</dt><dd>{}</dd>\n'),
    'open dl': ('<dl>{}</dl>', '<dt>{}\n<dd>{}\n'),
    'dt alone': ('{}', '<dt>{}</dt><dd>{}</dd>\n'),
    'dt in boxes': ('<div>{}</div>', '<div><dt>{}</dt>\n<dd>{}</dd></div>\n'),
    'details': ('{}', '<details><summary>{}</summary>{}</details>\n'),
    'h3': ('<section>{}</section>', '<h3 id="q">{}</h3>\n{}'),
    'h2 in body': ('{}', '<h2>{} <a href="#q">¶</a></h2>{}<hr>'),
    'h4 in boxes': ('{}', '<div><h4>{}</h4><div>{}</div></div>'),
    'h3 in heads': ('{}', '<div><div><h3>{}</h3></div><div>{}</div></div>'),
    'class': (
        '<div class="faq">{}</div>',
        '<div class="card"><div class="faq-q"><span>{}</span><i>+</i></div>'
        '<div class="faq-a">{}</div></div>',
    ),
    'buttons': (
        '{}',
        '<div class="item"><p><button class="btn shut">{}</button></p>'
        '<div class="panel"><div>{}</div></div></div>\n',
    ),
    'links within': (
        '<ul>{}</ul>',
        '<li><a class="toggle" href="#c">{}</a><div id="c">{}</div></li>',
    ),
    'bold': ('<div class="text">{}</div>', '<p><strong>{}</strong></p>\n{}\n'),
    'bold in the text': ('<article>{}</article>', '<p><b>{}</b><br>{}</p>'),
    'bold in a list': ('<ol>{}</ol>', '<li><p><strong>{}</strong></p>{}</li>'),
    'bold words': ('<p>We ask.</p>{}', '<p><b>{}</b> {}</p><p><b>Or:</b> stay.</p>'),
    'table': (
        '<table><tr><th>Question</th><th>Answer</th></tr>{}</table>',
        '<tr><td>{}</td><td>{}</td></tr>',
    ),
    'microdata': (
        '<div itemscope itemtype="https://schema.org/FAQPage">{}</div>',
        '<div itemscope itemtype="https://schema.org/Question"><h3 itemprop="name">{}'
        '</h3><div itemprop="acceptedAnswer"><div itemprop="text">{}</div></div></div>',
    ),
}


@pytest.mark.parametrize('form', FORMS)
def test_questions_without_labels_are_read(form: str) -> None:
    around, row = FORMS[form]
    body = around.format(''.join(row.format(q, written(a)) for q, a in PAIRS))
    end = '\n\nOr: stay.' if form == 'bold words' else ''
    assert read(page_of(body)) == [(q, f'{a}{end}') for q, a in PAIRS]


@pytest.mark.parametrize('form', FORMS)
def test_a_piece_of_a_page_is_read_as_a_page_is(form: str) -> None:
    around, row = FORMS[form]
    body = around.format(''.join(row.format(q, written(a)) for q, a in PAIRS))
    end = '\n\nOr: stay.' if form == 'bold words' else ''
    made = [(q, html_text.plain(a)[0]) for q, a in read(body)]
    assert made == [(q, f'{a}{end}') for q, a in PAIRS]


@pytest.mark.parametrize(
    'head', ['<!-- a -->\n', '# FAQ\n\n', '---\na: b\n---\nWe ask.\n']
)
def test_terms_below_a_title_in_markdown_are_read(head: str) -> None:
    terms = ''.join(f'<dt>{q}</dt>\n<dd>{written(a)}</dd>\n' for q, a in PAIRS)
    assert read(f'{head}<dl>\n{terms}</dl>\n') == PAIRS
    assert read(f'{head}{terms}') == PAIRS


def test_linked_data_is_read_before_what_the_page_shows() -> None:
    asked = [
        {
            '@type': 'Question',
            'name': q,
            'acceptedAnswer': {'@type': 'Answer', 'text': written(a)},
        }
        for q, a in PAIRS
    ]
    data = {
        '@graph': [{'@type': 'WebPage'}, {'@type': ['FAQPage'], 'mainEntity': asked}]
    }
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>'
    body = '<h3>One?</h3><p>a</p><h3>Is it two?</h3><p>b</p><h3>Is it so?</h3><p>c</p>'
    assert read(page_of(body, head=script)) == PAIRS


@pytest.mark.parametrize(
    'shown', ['<h3>{}</h3><p>{}</p>', '<details><summary>{}</summary>{}</details>']
)
def test_questions_that_linked_data_lacks_are_read_where_it_has_some_of_the_page(
    shown: str,
) -> None:
    pairs = [(f'Who sings {i}?', f'Tom does, {i} times.') for i in range(4)]
    asked = [
        {'@type': 'Question', 'name': q, 'acceptedAnswer': {'text': a}}
        for q, a in pairs[1:3]
    ]
    data = json.dumps({'@type': 'FAQPage', 'mainEntity': asked})
    script = f'<script type="application/ld+json">{data}</script>'
    body = ''.join(shown.format(q, a) for q, a in pairs)
    found = read(page_of(body, head=script))
    assert sorted(found) == pairs
    assert found[:2] == pairs[1:3]


def test_what_is_no_question_is_reported_and_counted() -> None:
    rows = [
        *PAIRS,
        *((f'Is {i} one?', 'Yes, it is.') for i in range(4)),
        ('Notes', 'x'),
    ]
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in rows)
    pathlib.Path('a.html').write_text(page_of(body))
    pairs, report = reader.read(['a.html'])
    assert len(pairs) == 7
    assert ['Notes' in line for line in report.unknown_lines] == [True]
    assert report.counts['files of HTML, whose lines are those of its text'] == 1
    assert report.counts['words: in navigation and footers of HTML'] == 9


def test_two_of_eight_headings_of_a_page_need_not_ask() -> None:
    rows = [*PAIRS, *((f'{q[:-1]} now?', a) for q, a in PAIRS)]
    made = [*rows[:4], ('Contact us', 'By mail.'), *rows[4:], ('Privacy', 'We log.')]
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in made)
    pathlib.Path('a.html').write_text(page_of(body))
    pairs, report = reader.read(['a.html'])
    assert [(pair.question, pair.answer) for pair in pairs] == rows
    assert report.counts['faq headings that ask nothing, left out'] == 2


HIDDEN = [
    'Write to ann<span style="display:none">no</span>@a.example now.',
    'Write to ann<b style="color:red; visibility: hidden">no</b>@a.example now.',
    'Write to ann<i hidden>no</i>@a.example now.',
    'Write to ann@a.example now.</p><div class="done" hidden>Thank you!</div><p>',
]


@pytest.mark.parametrize('said', HIDDEN)
@pytest.mark.parametrize('form', ['<h3>{}</h3><p>{}</p>', '<p>Q: {}</p><p>A: {}</p>'])
def test_what_a_page_never_shows_is_no_text(form: str, said: str) -> None:
    body = ''.join(form.format(q, said) for q, _ in PAIRS)
    body += form.format('Is that all?', 'It is.')
    asked = [*(q for q, _ in PAIRS), 'Is that all?']
    shown = ['Write to ann@a.example now.'] * 3 + ['It is.']
    assert read(page_of(body)) == [*zip(asked, shown, strict=True)]


def test_what_a_page_never_shows_may_stand_in_a_hidden_answer() -> None:
    rows = [f'<h3>{q}</h3><div hidden><p>{a} {HIDDEN[2]}</p></div>' for q, a in PAIRS]
    assert 'no@' not in ''.join(a for _, a in read(page_of(''.join(rows))))


@pytest.mark.parametrize(
    ('hidden', 'above', 'shown'),
    [
        ('<div class="a" style="display:none">{}</div>', '', '{}'),
        ('<div hidden>{}</div>', '<p>In short, no.</p>', 'In short, no.\n\n{}'),
        ('<p><span hidden>{}</span></p>', '', '{}'),
        ('<span hidden>{}</span></p>', '<p>No… ', 'No… {}'),
        ('<span hidden>{}</span> <u>Less</u></p>', '<p>No. ', 'No. {} Less'),
    ],
)
def test_an_answer_that_a_click_shows_is_read(
    hidden: str, above: str, shown: str
) -> None:
    rows = [*zip(dict(PAIRS), ['Never.', 'Perhaps.', 'At nine.'], strict=True)]
    body = ''.join(f'<h3>{q}</h3>{above}{hidden.format(a)}' for q, a in rows)
    assert read(page_of(body)) == [(q, shown.format(a)) for q, a in rows]


LABELLED = ''.join(f'<p>Q: {q}</p>{written("A: " + a)}' for q, a in PAIRS)


@pytest.mark.parametrize(
    'footer',
    [
        FOOTER,
        '<aside><h2>Related articles</h2><ul><li>Ten rules of tea</li></ul></aside>',
        '<div id="footer"><p>Copyright 2024</p><p>Subscribe now</p></div>',
        '<div class="site-footer dark"><p>Contact us</p></div>',
        '<div role="contentinfo"><p>Contact us</p></div>',
        '<p>© 2024 The Paper</p><p>Imprint</p>',
        '<div class="more"><h3>Related</h3><ul><li>Ten rules of tea</li></ul></div>',
        '<h2>3 Comments</h2><p>Ann: I disagree.</p>',
    ],
)
def test_a_footer_is_no_part_of_the_last_answer(footer: str) -> None:
    assert read(page_of(LABELLED, footer=footer)) == PAIRS


@pytest.mark.parametrize(
    'beside',
    [
        '<figure class="x"><img src="a.jpg"><figcaption>By Ann</figcaption></figure>',
        '<div class="ad-3"><span>Advertisement</span></div>',
    ],
)
def test_what_a_page_puts_between_the_paragraphs_is_no_text(beside: str) -> None:
    assert read(page_of(LABELLED.replace('<p>A:', f'{beside}<p>A:') + beside)) == PAIRS
    quoted = '<figure><blockquote>So said Tom.</blockquote></figure>'
    assert read(page_of(LABELLED + quoted))[-1][1].endswith('So said Tom.')


SHARE = '<p class="s"><a href="#">Share</a> | <a href="#">Twitter</a></p>'


def test_links_that_share_an_answer_are_no_part_of_it() -> None:
    shared = page_of(LABELLED.replace('</div>', f'{SHARE}</div>') + SHARE)
    assert read(shared) == PAIRS
    # Links to sites alone may be what an answer says.
    own = page_of(
        f'{LABELLED}<p>{SHARE[: SHARE.index("<a")]}<a href="/t">Twitter</a></p>'
    )
    assert read(own)[-1][1] == f'{PAIRS[-1][1]}\n\nTwitter'


@pytest.mark.parametrize('alt', ['alt="avatar"', 'alt=avatar'])
def test_the_picture_above_a_reply_of_a_saved_chat_opens_the_answer(alt: str) -> None:
    post = (
        '<div><h3>Topic {}</h3><div>Guest 11:05 a.m.</div><div>QUESTION: Who {}?</div>'
        f'<div><img src="a.png" {alt}><p>Marian Vale</p><p>Advice Columnist</p>'
        '<p>Tom {}.</p></div><div>Post has 0 replies and 3 Likes</div></div>'
    )
    chat = ''.join(post.format(i, i, i) for i in range(3))
    assert read(page_of(chat)) == [(f'Who {i}?', f'Tom {i}.') for i in range(3)]


def _chat(*said: tuple[str, str], bold: str = '<p><b>{}:</b> {}</p>') -> str:
    return page_of(''.join(bold.format(*each) for each in said))


@pytest.mark.parametrize(
    'bold',
    ['<p><b>{}:</b> {}</p>', '<div><strong>{}</strong>: {}</div>', '<br><b>{}: </b>{}'],
)
def test_a_chat_with_its_speakers_in_bold_is_read(bold: str) -> None:
    said = []
    for i, place in enumerate(['Boston, Mass.', 'Re: tea', 'Anonymous', 'Boston']):
        place = place.replace('Re: ', 'About ')
        said += [
            (place, f'Who sings, {i}?'),
            ('Marian Vale', f'Tom, {i}. <b>Not</b> I.'),
        ]
    hello = ('Marian Vale', 'Hello.')
    expected = [(f'Who sings, {i}?', f'Tom, {i}. Not I.') for i in range(4)]
    assert read(_chat(*said, bold=bold)) == expected
    assert read(_chat(hello, *said, bold=bold)) == expected


@pytest.mark.parametrize('guest', ['Tom Fox', 'Step {}'])
def test_other_words_in_bold_are_no_speakers(guest: str) -> None:
    said = [('Ann Lee', 'Why?'), ('Tom Fox', 'So.')] * 5
    if guest != 'Tom Fox':
        said = [(guest.format(i), 'Run.') for i in range(9)]
    with pytest.raises(errors.InputError, match='without pairs'):
        read(_chat(*said))


def test_pairs_within_a_side_bar_are_read() -> None:
    assert read(page_of(f'<aside>{LABELLED}</aside>')) == PAIRS
    assert read(page_of(f'<div class="has sidebar">{LABELLED}</div>')) == PAIRS


@pytest.mark.parametrize(
    'body',
    [
        '<h2>Our story</h2><p>We met.</p><h2>Our prices</h2><p>Low.</p><h2>Why?</h2>',
        '<dl><dt>Ledger</dt><dd>A book.</dd><dt>Accrual</dt><dd>A sum.</dd></dl>',
        '<table><tr><th>Item</th><th>Answer</th></tr><tr><td>Coat</td><td>9</td></tr>'
        '</table>',
        '<details><summary>More about us</summary>We met.</details>' * 3,
        # The index of a column, and a column: the answer is elsewhere.
        ''.join(f'<h3><a href="/q/{q[:2]}">{q}</a></h3>{written(a)}' for q, a in PAIRS),
        ''.join(f'<h3>{q}</h3><p>{a} Read more »</p>' for q, a in PAIRS),
        ''.join(f'<h3>{q}</h3><p>Dear Ann: I am sad.</p><p>{a}</p>' for q, a in PAIRS),
        ''.join(f'<h3>{q}</h3>' for q, _ in PAIRS),
        ''.join(f'<div class="q">{q}</div>' for q, _ in PAIRS),
        ''.join(
            f'<div class="c"><a href="/q">{q}</a></div><p>{a}</p>' for q, a in PAIRS
        ),
        ''.join(f'<p class="q">{q}</p><p class="q">{a}</p>' for q, a in PAIRS),
        ''.join(f'<p><b>{q}</b></p>' for q, _ in PAIRS) + '<p>No.</p>',
        ''.join(f'<p><b>{q}</b></p><p>{a}</p><p><b>It dies.</b></p>' for q, a in PAIRS),
        ''.join(f'<p>We ask: <b>{q}</b> {a}</p>' for q, a in PAIRS),
        ''.join(f'<p><b>Host: {q}</b></p><p>{a}</p>' for q, a in PAIRS),
        ''.join(f'<p><b>{q}</b></p><p><b>{a}</b></p>' for q, a in PAIRS),
    ],
)
def test_other_pages_are_refused(body: str) -> None:
    with pytest.raises(errors.InputError, match='html begins'):
        read(page_of(body))


LETTERS = [
    ('My sister sings.\n\nAnn', 'Let her.'),
    ('My cat does not.\n\nTom', 'Ask it.'),
]


@pytest.mark.parametrize(
    'form',
    [
        '<div class="question">{}</div><div class="answer">{}</div>',
        '<div class="card"><div class="faq__question">{}</div>'
        '<div class="faq__answer">{}</div></div>',
        '<blockquote class="letter">{}</blockquote><div class="box reply">{}</div>',
        '<section class="x cardQuestion">{}</section><div class="cardAnswer">{}</div>',
        '<div class="q-text">{}</div><p>Share</p><div class="a-text">{}</div>',
        '<div class="q"><b>Q</b>{}</div><div class="a"><b>A</b>{}</div>',
    ],
)
def test_letters_in_elements_of_named_classes_need_not_ask(form: str) -> None:
    body = ''.join(form.format(written(q), written(a)) for q, a in LETTERS)
    assert read(page_of(body)) == LETTERS


def test_paragraphs_of_a_named_class_are_one_answer() -> None:
    form = '<p class="q">{0}</p><{2} class="a">{1}</{2}><{2} class="a">Or not.</{2}>'
    rows = [('I sing.', 'Sing on.'), ('I hum.', 'Hum.')]
    for tag, more in (('p', '\n\nOr not.'), ('div', '')):
        body = ''.join(form.format(q, a, tag) for q, a in rows)
        pathlib.Path('a.html').write_text(page_of(f'{body}<p class="q">I snore.</p>'))
        pairs, report = reader.read(['a.html'])
        assert [(p.question, p.answer) for p in pairs] == [
            (q, a + more) for q, a in rows
        ]
        assert report.counts['faq questions unanswered'] == 1


def test_a_page_of_tags_that_nobody_closed_is_read() -> None:
    body = '<div><b>' * 3_000 + LABELLED
    assert [q for q, _ in read(page_of(body))] == [q for q, _ in PAIRS]


def test_a_pages_own_question_and_its_copyright_are_no_texts() -> None:
    body = ''.join(f'<h3>{q}</h3><p>Answer: {a}</p>' for q, a in PAIRS[::2])
    rows = [(f'{q[:-1]} now?', a) for q, a in PAIRS[::2]]
    body += ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in rows)
    body += '<p>© 2024 The Paper</p>'
    asked = '<h3>Was this helpful?</h3><p>Yes No</p>'
    assert read(page_of(body, footer='')) == [*PAIRS[::2], *rows]
    assert read(page_of(body + asked, footer='')) == [*PAIRS[::2], *rows]


@pytest.mark.parametrize(
    'row',
    [
        '<tr><td>Q{0}</td><td>{1}</td></tr><tr><td>A{0}</td><td>{2}</td></tr>',
        '<tr>\n<th><b>Q</b></th><th>{1}</th></tr><tr><td>A</td><td>{2}</td></tr>',
        '<tr><td>Question {0}</td><td class="q">{1}</td></tr>'
        '<tr><td>Answer {0}</td><td class="a">{2}</td></tr>',
    ],
)
def test_labels_that_are_cells_are_no_part_of_the_texts(row: str) -> None:
    rows = [row.format(i, q, written(a)) for i, (q, a) in enumerate(PAIRS, 1)]
    below = '<h2>More of us</h2><p>Call at nine.</p>'
    assert read(page_of(f'<table>{"".join(rows)}</table>{below}')) == PAIRS


def test_labels_of_characters_written_as_numbers_are_read() -> None:
    rows = [('为什么？', '因为 & 所以。'), ('何时？', '今天。')]
    body = ''.join(f'<p>Q：{q}</p><p>A：{a}</p>' for q, a in rows)
    numbered = body.encode('ascii', 'xmlcharrefreplace').decode()
    assert read(page_of(numbered.replace(' & ', ' &#38; '))) == rows
    assert read(page_of(f'<p>Q: Why?</p><p>A: So.</p>{numbered}'))[1:] == rows


@pytest.mark.parametrize(
    'title',
    [
        '<h2>Money</h2>',
        '<h1><a name="m"></a>2 <tt>&nbsp;</tt></h1>',
        '<h2>Money <b>matters</b></h2><div><h4>In March</h4></div>',
    ],
)
def test_the_title_of_a_section_is_no_part_of_the_answer_above(title: str) -> None:
    pairs = [f'<p>Q: {q}</p>{written("A: " + a)}' for q, a in PAIRS]
    assert read(page_of(f'{pairs[0]}{title}{pairs[1]}<hr>{pairs[2]}')) == PAIRS
    own = '<h3>Note</h3><p>So.</p>'
    made = read(page_of(f'{pairs[0]}{own}{title}{pairs[1]}{pairs[2]}'))
    assert made[0] == (PAIRS[0][0], f'{PAIRS[0][1]}\n\nNote\n\nSo.')


def test_titles_of_pages_without_labels_have_no_signs() -> None:
    rows = [(q, f'Q. Smith agrees. {a}') for q, a in PAIRS]
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in rows)
    assert read(page_of(body)) == rows


def test_tags_of_words_within_code_are_markup_where_a_page_escapes_its_text() -> None:
    answers = [
        'See <code><a href="/m#u">User</a></code>, not <code>&lt;b&gt;</code>.',
        '<pre>play <em class="r"><code>file</code></em>\n&lt;a href="x"></pre>',
        'Type <code>ls <b>-l</b></code>.',
    ]
    body = ''.join(
        f'<h3>{q}</h3><p>{a}</p>' for (q, _), a in zip(PAIRS, answers, strict=True)
    )
    made = [answer for _, answer in read(page_of(body))]
    assert made == ['See User, not <b>.', 'play file\n<a href="x">', 'Type ls -l.']
    of_row = '<p>See <code><b>x</b></code>, it is bold.</p>'  # its entities are decoded
    assert html_text.plain(of_row)[0] == 'See <b>x</b>, it is bold.'


def test_links_within_a_heading_and_to_its_place_are_no_way_to_an_answer() -> None:
    headings = [
        'Is it rude to leave <a href="/clock">the house at nine</a>, or before?'
        '<span><a href="#rude">#</a> <a href="#toc-rude">TOC</a></span>',
        'Who pays for the boiler?<a href="#toc-pay">TOC</a>',
        '<a href="#toc">May I open his letters?</a>',
    ]
    asked = [
        'Is it rude to leave the house at nine, or before?',
        PAIRS[1][0],
        PAIRS[2][0],
    ]
    answers = [answer for _, answer in PAIRS]
    texts = zip(headings, answers, strict=True)
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in texts)
    made = read(page_of(f'<h2><a href="/">Contents</a></h2>{body}'))
    assert made == [*zip(asked, answers, strict=True)]
    index = body.replace('href="#toc">', 'href="/letters">')
    with pytest.raises(errors.InputError, match='no known layout'):
        read(page_of(index))


def test_numbers_of_sections_are_no_part_of_questions_where_most_have_one() -> None:
    body = [f'<h3>2.{i} {q}</h3>{written(a)}' for i, (q, a) in enumerate(PAIRS, 1)]
    assert read(page_of(''.join(body))) == PAIRS
    rows = [('3.12 or 3.11?', 'Both.'), *PAIRS]
    assert read(page_of(''.join(f'<h3>{q}</h3>{written(a)}' for q, a in rows))) == rows


def test_labels_of_another_language_end_at_no_heading_of_a_section() -> None:
    rows = [
        ('Почему так поздно?', 'A: 2.1 V: 2.2'),
        ('Кто платит?', 'Тот, кто живёт.'),
        ('Кто поёт?', 'Иван.'),
    ]
    form = '<p><b>Вопрос:</b></p><p>{}</p><p><b>Ответ:</b></p><p>{}</p>'
    pairs = [form.format(*row) for row in rows]
    body = f'<h3>Дом</h3>{pairs[0]}<h3>Деньги</h3>{pairs[1]}<h3>Песни</h3>{pairs[2]}'
    footer = '<div class="navfooter"><a href="b.html">Next</a></div>'
    made = [question for question, _ in read(page_of(body, footer=footer))]
    assert made == [question for question, _ in rows]


def test_a_page_whose_headings_ask_too_rarely_says_how_many_do() -> None:
    headings = [question for question, _ in PAIRS] + ['Contact', 'Prices']
    body = ''.join(f'<h2>{each}</h2><p>Tom, of {each[:-1]}.</p>' for each in headings)
    said = 'Of 5 headings of one level 3 ask; 4 must'
    with pytest.raises(errors.InputError, match=said):
        read(page_of(body))


def test_bold_questions_behind_anchors_and_terms_below_open_paragraphs() -> None:
    bold = [
        f'<p><a id="q{i}"><b>{q}</b></a><br>{a}</p>' for i, (q, a) in enumerate(PAIRS)
    ]
    command = '<p>Use this command:</p><p><b>leave --now</b></p><p>Then wait.</p>'
    made = read(
        page_of(''.join([bold[0], command, *bold[1:]]).replace(' & ', ' &amp; '))
    )
    first = f'{PAIRS[0][1]}\n\nUse this command:\n\nleave --now\n\nThen wait.'
    assert made == [(PAIRS[0][0], first), *PAIRS[1:]]
    terms = ''.join(f'<dt>{q}\n<dd><p>{a}\n' for q, a in PAIRS)
    terms = terms.replace(' & ', ' &amp; ').replace('\n\n', '<p>')
    assert read(page_of(f'<dl>{terms}</dl>')) == PAIRS


def test_a_row_of_links_to_pages_beside_is_no_part_of_the_last_answer() -> None:
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in PAIRS)
    ways = '<ul><li><a href="/a">Contents</a><li><a href="/b">Next Chapter</a></ul>'
    assert read(page_of(body + ways)) == PAIRS
    own = '<ul><li><a href="/a">The next of kin</a></ul>'
    assert read(page_of(body + own))[-1][1] == f'{PAIRS[-1][1]}\n\n- The next of kin'


def test_headings_end_answers_that_are_items_of_lists() -> None:
    items = [f'<li>{q}<br><br>{a.split(chr(10))[0]}</li>' for q, a in PAIRS]
    items = [each.replace(' & ', ' &amp; ') for each in items]
    rest = '<h1>More of us</h1><ul><li>The paper of May</li></ul>'
    body = f'<ol>{items[0]}</ol><h1>Money</h1><ol>{items[1]}{items[2]}</ol>{rest}'
    assert read(page_of(body)) == [(q, a.split('\n')[0]) for q, a in PAIRS]


def test_the_date_of_a_page_is_no_part_of_its_last_answer() -> None:
    body = ''.join(f'<p><b>{q}</b></p>{written(a)}' for q, a in PAIRS)
    dated = f'{body}<p style="x"class="d">Last modified 14 December 2022</p>'
    assert read(page_of(dated)) == PAIRS


def test_labels_within_one_answer_are_no_layout_of_a_page_of_headings() -> None:
    rows = [(f'Who stays, {i}?', f'Tom, of {i}.') for i in range(6)]
    example = f'{written(rows[0][1])}<pre>Q: Why?\nA: So.\n\nQ: When?\nA: Now.</pre>'
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in rows[1:])
    made = read(page_of(f'<h3>{rows[0][0]}</h3>{example}{body}'))
    assert [question for question, _ in made] == [question for question, _ in rows]
    assert made[1:] == rows[1:]


def test_attributes_without_a_value_and_elements_of_a_site_are_no_text() -> None:
    page = page_of(
        '<my-list data-v-7ba5bd90>'
        + ''.join(
            f'<h3 data-v-7ba5bd90>{q}</h3><p _ngcontent-c1 fresh>'
            f'<my-word>{written(a)[3:-4]}</my-word></p>'
            for q, a in PAIRS[::2]
        )
        + '<h3>And if a <b and c> d?</h3><p x-cloak>Ask.</p></my-list>'
    )
    assert read(page) == [PAIRS[0], PAIRS[2], ('And if a <b and c> d?', 'Ask.')]


@pytest.mark.parametrize('name', ['Answer', 'Show answer', 'Click here for the answer'])
@pytest.mark.parametrize('asked', ['<h3>{}</h3>', '<p><strong>{}</strong></p>'])
@pytest.mark.parametrize(
    'answered',
    [
        '<details><summary>{}</summary>{}</details>',
        '<a href="#">{}</a><div>{}</div>',
        '<button>{}</button><div>{}</div>',
        '<h4>{}</h4>{}',
        '<p><strong>{}</strong></p>{}',
    ],
)
def test_what_shows_or_names_the_answer_is_no_part_of_it(
    asked: str, answered: str, name: str
) -> None:
    body = (f'{asked.format(q)}{answered.format(name, written(a))}' for q, a in PAIRS)
    assert read(page_of('\n'.join(body))) == PAIRS


@pytest.mark.parametrize(
    'tail',
    [
        '<span>Was this helpful?</span><button>Yes</button><button>No</button>',
        '<span>Was this answer helpful?</span> <a href="#">Yes</a> <a href="#">No</a>',
        '<p>{} out of 5 found this helpful</p>',
        '<button>Copy</button><button>Share</button>',
        '<p><button>Send me this</button></p>',
        '<select><option>English</option><option>Deutsch</option></select>',
    ],
)
@pytest.mark.parametrize(
    'form', ['<h3>{}</h3>{}{}', '<details><summary>{}</summary>{}{}</details>']
)
def test_what_a_page_asks_to_press_or_choose_is_no_text(form: str, tail: str) -> None:
    body = (
        form.format(q, written(a), tail.format(i)) for i, (q, a) in enumerate(PAIRS)
    )
    assert read(page_of('\n'.join(body))) == PAIRS


def test_links_to_share_below_the_last_answer_are_left_out() -> None:
    body = ''.join(f'<h3>{q}</h3>{written(a)}' for q, a in PAIRS)
    share = '<div class="post-share">Share on Facebook Tweet</div>'
    kept = '<p class="social">Be polite.</p>'
    *above, (question, answer) = PAIRS
    expected = [*above, (question, f'{answer}\n\nBe polite.')]
    assert read(page_of(f'<section>{body}{kept}{share}</section>')) == expected


def test_buttons_of_a_sentence_and_titles_of_parts_stay() -> None:
    body = ''.join(
        f'<h3>{q}</h3>{written(a)}<p>Press <button>Yes</button> and wait.</p>'
        '<button>Part ' + 'I' * i + '</button>'
        for i, (q, a) in enumerate(PAIRS, 1)
    )
    answers = [answer for _, answer in read(page_of(body))]
    tails = [f'Press Yes and wait.\n\nPart {"I" * i}' for i in (1, 2, 3)]
    assert all(a.endswith(tail) for a, tail in zip(answers, tails, strict=True))


@pytest.mark.parametrize(
    ('asked', 'answered'),
    [
        ('<h3>▼ {q} ➕</h3>', '<p>{a}</p>'),
        ('<h3><span>0{n}</span>{q}</h3>', '<p>{a}</p>'),
        ('<button class="x"><i>{n}</i> {q}</button>', '<div>{a}</div>'),
        ('<h3><span>Q</span>{q}</h3>', '<div><span>A</span>{a}</div>'),
        ('<dt><b>Q</b>{q}</dt>', '<dd><b>A</b>{a}</dd>'),
    ],
)
def test_icons_in_front_of_texts_are_none_of_them(asked: str, answered: str) -> None:
    body = (
        asked.format(q=q, n=n) + answered.format(a=written(a)[3:-4])
        for n, (q, a) in enumerate([*PAIRS[::2], ('Why not?', 'So.')], 1)
    )
    assert read(page_of('\n'.join(body))) == [*PAIRS[::2], ('Why not?', 'So.')]
