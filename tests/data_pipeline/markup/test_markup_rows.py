"""YAML and XML to pairs, and the markups that are refused by name."""

import pathlib

import pytest

from data_pipeline.reading import reader
from hax_jax import errors

PAIRS = [('Why: so?', 'She said “no”.'), ("It's late. Who sings?", 'Tom & I < 3 do.')]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, name: str = 'a.txt') -> list[tuple[str, str]]:
    pathlib.Path(name).write_text(text)
    return [(pair.question, pair.answer) for pair in reader.read([name])[0]]


@pytest.mark.parametrize('name', ['a.yaml', 'a.YML', 'a.txt'])
@pytest.mark.parametrize(
    'form',
    [
        '- question: "{}"\n  answer: "{}"\n',
        '- question: >\n    {}\n  answer: |-\n    {}\n',
        '---\nquestion: "{}"\nanswer: >-\n  {}\n',
        '# ours\n- q: "{}"\n  tags: [a, b]\n  a: "{}"\n',
    ],
)
def test_yaml_is_read_without_its_signs(form: str, name: str) -> None:
    assert read(''.join(form.format(*pair) for pair in PAIRS), name) == PAIRS


def test_yaml_within_an_object_is_read_and_its_words_stay_words() -> None:
    text = 'version: 2\nfaq:\n  - question: Is it late?\n    answer: yes\n'
    assert read(text, 'a.yaml') == [('Is it late?', 'yes')]


@pytest.mark.parametrize('below', ['', '\n{% include faq.html %}\n'])
@pytest.mark.parametrize(
    'form',
    ['  - q: "{}"\n    a: "{}"\n', '- question: >\n    {}\n  answer: |\n    {}\n'],
)
def test_pairs_of_a_front_matter_end_with_it(form: str, below: str) -> None:
    rows = ''.join(form.format(*pair) for pair in PAIRS)
    text = f'---\nlayout: faq\nfaq:\n{rows}---\n{below}'
    assert read(text, 'a.md') == PAIRS
    (left_out,) = reader.read(['a.md'])[1].unknown_lines
    assert 'layout' in left_out
    assert below.strip() in left_out


def test_pairs_below_a_front_matter_with_pairs_are_read_in_place_of_them() -> None:
    front = '---\nlayout: faq\nfaq:\n  - question: Why?\n    answer: So.\n---\n\n'
    assert ('Who?', 'Tom.') in read(f'{front}Q: Who?\n\nA: Tom.\n', 'a.md')


def test_labels_of_a_front_matter_that_is_no_yaml_end_with_it() -> None:
    rows = '  - q: Why?\n    a: See: *this*.\n  - q: Who?\n    a: Tom.\n'
    text = f'---\nfaq:\n{rows}---\n\n{{% include faq.html %}}\n'
    assert read(text, 'a.md') == [('Why?', 'See: *this*.'), ('Who?', 'Tom.')]


def test_labels_that_look_like_yaml_stay_labels() -> None:
    assert read('- Q: Why?\n- A: So.\n- Q: Who?\n- A: Tom.\n', 'a.md') == [
        ('Why?', 'So.'),
        ('Who?', 'Tom.'),
    ]
    twice = 'Q: Why?\nA: So.\nQ: Who?\nA: Tom.\n'
    assert read(twice, 'a.yaml') == [('Why?', 'So.'), ('Who?', 'Tom.')]
    front = '---\ntitle: FAQ\n---\n\n*Q:* Why?\n\n*A:* So.\n'
    assert read(front, 'a.md') == [('Why?', 'So.')]
    broken = '- question: Why: so?\n  answer: No: not so.\n'
    assert read(broken) == [('Why: so?', 'No: not so.')]


@pytest.mark.parametrize(
    'text',
    [
        '- question: >\n   Why?\n  answer: |\n   So.\n - question: Who: Tom?\n',
        '- question: &a "Why?"\n  answer: *a\n',
    ],
)
def test_yaml_that_is_damaged_or_has_references_is_refused(text: str) -> None:
    with pytest.raises(errors.InputError, match='looks like YAML'):
        read(text, 'a.yaml')


@pytest.mark.parametrize('head', ['', '<?xml version="1.0" encoding="UTF-8"?>\n'])
@pytest.mark.parametrize(
    'form',
    [
        '<faq>{}</faq>',
        '<rss xmlns="http://a.example/b"><part><title>t</title>{}</part></rss>',
    ],
)
@pytest.mark.parametrize(
    'row',
    [
        '<item id="1"><question>{}</question>\n<answer>{}</answer></item>\n',
        '<qa>\n<q>{}</q>\n<a>{}</a>\n</qa>\n',
        '<entry question="{}" answer="{}"/>\n',
        '<i><prompt>{}</prompt><response><![CDATA[<p>{}</p>]]></response></i>\n',
    ],
)
def test_xml_is_read(head: str, form: str, row: str) -> None:
    pairs = [('Why?', 'She said so.'), ('Who sings?', 'Tom and I do.')]
    text = head + form.format(''.join(row.format(*pair) for pair in pairs))
    made = [(q, a.removeprefix('<p>').removesuffix('</p>')) for q, a in read(text)]
    assert made == pairs


def test_xmls_entities_and_markup_within_are_read() -> None:
    text = (
        '<?xml version="1.0"?><faq><i><question>Is a &lt; b &amp; c?</question>'
        '<answer><p>Yes, <b>it</b> is.</p></answer></i></faq>'
    )
    [(question, answer)] = read(text, 'a.xml')
    assert question == 'Is a < b & c?' and answer == '<p>Yes, <b>it</b> is.</p>'


@pytest.mark.parametrize(
    'body',
    [
        '<faq><i><name>Tom</name></i></faq>',
        '<faq><i><question>Why?</question><answer>A & B</answer></i></faq>',
        '<faq><i><question>Why?</question><answer><t>So.</t><u>No.</u></answer></i></faq>',
    ],
)
def test_xml_without_rows_is_refused(body: str) -> None:
    with pytest.raises(errors.InputError, match='is XML of which no pair is read'):
        read(f'<?xml version="1.0"?>{body}', 'a.xml')


@pytest.mark.parametrize(
    ('text', 'kind'),
    [
        ('{\\rtf1\\ansi\nQ: Why?\\par\nA: So.\\par\n}', 'rich text'),
        ('1\n00:00:01,000 --> 00:00:02,000\nQ: Why?\n\nA: So.\n', 'subtitles'),
        ('WEBVTT\n\n00:01.000 --> 00:02.000\nQ: Why?\n\nA: So.\n', 'subtitles'),
        (
            'From: a@example.com\nSubject: so\nContent-Transfer-Encoding: '
            'quoted-printable\n\nQ: Why=3F\n\nA: So=\n on.\n',
            'a saved mail or page',
        ),
    ],
)
def test_texts_in_code_are_refused_by_name(text: str, kind: str) -> None:
    with pytest.raises(errors.InputError, match=kind):
        read(text)


TOML = """# ours
[[faq]]
question = "Who sings at night?"
answer = '''
Tom does,
and loudly.'''

[[faq]]
question = "Why?"
answer = "He can."
"""


@pytest.mark.parametrize('path', ['a.toml', 'a.txt'])
def test_tables_of_toml_are_rows(path: str) -> None:
    answers = [answer for _, answer in read(TOML, path)]
    assert answers == ['Tom does,\nand loudly.', 'He can.']


def test_damaged_toml_is_told() -> None:
    with pytest.raises(errors.InputError, match='looks like TOML and can not be read'):
        read(TOML + 'answer =\n', 'a.toml')


def test_an_answer_within_its_question_is_read() -> None:
    row = '<q>\n{}\n<a><para>{}</para>\n<para>So <r:arg>it</r:arg> is.</para></a></q>\n'
    rows = [(asked.replace('<', 'and'), 'She said no.') for asked, _ in PAIRS]
    text = ''.join(row.format(*each) for each in rows)
    made = read(f'<faq xmlns:r="http://r.org">{text}</faq>', 'a.xml')
    assert made == [(asked, f'{answer}\nSo it is.') for asked, answer in rows]


def test_conversations_of_chatterbot_are_rows() -> None:
    """Each is a text and its answer; what stands behind may be a further answer."""
    text = (
        'categories:\n- greetings\nconversations:\n- - Hello\n  - Hi there.\n'
        '- - Who sings?\n  - Tom does.\n  - It is Tom.\n'
    )
    assert read(text, 'a.yml') == [('Hello', 'Hi there.'), ('Who sings?', 'Tom does.')]


def test_xml_that_is_damaged_is_refused_by_its_place() -> None:
    """Its tags were read as labels of a text, and those that close it as words."""
    item = '<question><q>\nWho sings?\n</q><a>\nTom does.\n</a></question>\n'
    text = f'<faq>\n<section name="a">\n{item}{item}</faq>\n'
    with pytest.raises(errors.InputError, match='mismatched tag: line 13'):
        read(text, 'a.xml')
    assert read(f'<faq>\n{item}</faq>\n', 'a.xml') == [('Who sings?', 'Tom does.')]
    with pytest.raises(errors.InputError):
        read(text, 'a.txt')


def test_a_text_that_opens_with_many_comments_is_read_at_once() -> None:
    """Its blank lines could be parted in 2^n ways, each of which was tried."""
    above = '# a comment\n\n\n' * 200
    for text in (f'{above}name=value\n', '\n \n' * 200 + 'Nothing asks here.\n'):
        with pytest.raises(errors.InputError):
            read(text, 'a.txt')
    pair = '- question: Why?\n  answer: So.\n'
    assert read(above + pair, 'b.txt') == [('Why?', 'So.')]
