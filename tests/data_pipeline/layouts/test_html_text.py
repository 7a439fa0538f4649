"""HTML made plain text, and what only looks like HTML left as it is."""

import pytest

from data_pipeline import settings
from data_pipeline.layouts import html_text
from data_pipeline.pages import characters
from data_pipeline.pair_stages import cleaning
from hax_jax.data import records

BASE64 = 'iVBORw0KGgo' + 'Ab3/' * 90


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            '<p>Call <b>her</b>.</p><p>Soon, and <i>often</i>.</p>',
            'Call her.\n\nSoon, and often.',
        ),
        ('One.<br>Two.<br/>\n<br />\nThree.', 'One.\nTwo.\n\nThree.'),
        ('First.</p>\nSecond.</p>', 'First.\n\nSecond.'),
        ('<P>One.\n<P>Two,\nstill two.', 'One.\n\nTwo, still two.'),
        ('<div>One.</div><div>Two.</div>Three.', 'One.\nTwo.\nThree.'),
        (
            '<ul>\n <li>One</li>\n <li><p>Two</p></li>\n</ul>End.',
            '- One\n- Two\n\nEnd.',
        ),
        ('<ol><li>One<li>Two</ol>', '1. One\n2. Two'),
        ('<ul><li>One<ul><li>So</li></ul></li><li>Two</li></ul>', '- One\n- So\n- Two'),
        ('<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>', 'a b\nc'),
        ('<h2>Leave</h2><blockquote>Now</blockquote>', 'Leave\n\nNow'),
        ('<pre>if a:\n    b</pre>', 'if a:\n    b'),
        (
            'Ask <a href="https://a.org/?b=1&c">her</a>.\n\nThen wait.',
            'Ask her.\n\nThen wait.',
        ),
        ('Keep\nmy <em>own</em> lines', 'Keep\nmy own lines'),
        ('<script>alert("<b>1</b>")</script>Why? <img src=x onerror=alert(2)>', 'Why?'),
        ('<div><button class="t">Show/Hide Answer</button><div>So.</div></div>', 'So.'),
        ('<p>Why?</p><button>Show answer</button><p>So.</p>', 'Why?\n\nSo.'),
        ('Press <button>Show</button> and <button>Pay</button>', 'Press Show and Pay'),
        ('<div><button>Show us mercy</button></div>', 'Show us mercy'),
        ('<p><button>Copy</button> copies it.</p>', 'Copy copies it.'),
        ('`<button>Show</button>` is <b>one</b>', '`<button>Show</button>` is one'),
        ('<style>p { color: red }</style>Why<!-- not <p> this -->?', 'Why?'),
        ('Why? <script>var a = 1;', 'Why?'),
        (f'Why?<br><img src="data:image/png;base64,{BASE64}">', 'Why?'),
        (f'Why? <img src="data:image/png;base64,{BASE64}', 'Why?'),
        (f'Why? ![x](data:image/png;base64,{BASE64})', 'Why?'),
        (f'Why? {BASE64}', 'Why?'),
        (
            '<p>I <3 him, a < b, List<int>, Array<a> and <name>.</p>',
            'I <3 him, a < b, List<int>, Array<a> and <name>.',
        ),
        ('<p>Type <code><div></code> or `<br>`.</p>', 'Type <div> or `<br>`.'),
        ('<p>Tom &amp; Co</p>', 'Tom &amp; Co'),
        ('<p>Ann.<o:p></o:p></p><o:p>So.</o:p>', 'Ann.\n\nSo.'),
        ('Call <em>her now', 'Call her now'),
        ('One.<br><b>Two, <i>Set<b> and Set<a>', 'One.\nTwo, Set<b> and Set<a>'),
        ('<p data-v-7ba5bd90>Call <b lazy>her</b>.</p>', 'Call her.'),
        ('<p itemscope itemtype="https://a.org/A" itemprop="b">Call.</p>', 'Call.'),
        ('<a href="b.pdf" download>It</a><hr noshade>', 'It'),
        ('<div v-else wire:ignore>So</div><span @click.stop>, she</span>', 'So\n, she'),
        ('<li _ngcontent-c1>Call', '- Call'),
        ('<p [class]="a" (click)="b()" *ngIf="c">Call.</p>', 'Call.'),
        (
            '<p amp>If a <b and c> d, <b>List<p x></b> and #include <stdio.h>.</p>',
            'If a <b and c> d, List<p x> and #include <stdio.h>.',
        ),
        ('<menu><li>One</menu><dialog open>Two</dialog>', '- One\n\nTwo'),
        (
            '<nobr>So</nobr> <meter value="1">1 of 2</meter> <output>3</output>',
            'So 1 of 2 3',
        ),
        (
            '<g-emoji alias="x">🙂</g-emoji> <clipboard-copy value="a">Copy'
            '</clipboard-copy><amp-img src="a.png"></amp-img>',
            '🙂 Copy',
        ),
    ],
)
def test_html_becomes_the_text_that_a_reader_sees(text: str, expected: str) -> None:
    left, _ = html_text.without_base64(text)
    assert html_text.plain(left)[0].rstrip() == expected


@pytest.mark.parametrize(
    'text',
    [
        'I <3 him',
        'a < b and c > d, if a <b and c> d',
        'List<p x> y; if (a <b && c> d) e; unique_ptr<a *b>; <address of hers>',
        '<p x>, <menu>, <tool-call>ask</tool-call> and `<p data-v-1>x</p>`',
        'List<int> x; Map<String, List<a>> y; Set<b> z',
        'Dear <name>, <sigh>, <sarcasm>nice</sarcasm> </s>',
        'use `<br>` and ``` <p>x</p> ```',
        '```html\n<p class="a">x</p>\n```',
        'Write:\n\n    <div class="a">x</div>\n    <p>y</p>\n\nand save.',
        '#include <map>\n#include <time.h>',
        'git clone <source> <title>',
        'a <div> alone, from <ann@example.org> or <https://a.org>',
        'NO' * 200,
        'x < y; y << 2; </>; <>; <-- left; <!-- open',
    ],
)
def test_a_text_that_merely_holds_a_sign_stays_byte_for_byte(text: str) -> None:
    assert html_text.without_base64(text) == (text, 0)
    assert html_text.plain(text) == (text, 0)


@pytest.mark.parametrize(
    ('raw', 'expected'),
    [
        ('<p>Use &lt;b&gt; for &lt;i&gt;it&lt;/i&gt;.</p>', 'Use <b> for <i>it</i>.'),
        ('<p>Use &#60;b&#x3E;, &amp;lt;b> &amp; so.</p>', 'Use <b>, &lt;b> & so.'),
        ('<p><code>&lt;p a="b"&gt;&lt;/p&gt;</code></p>', '<p a="b"></p>'),
        # Escaped throughout, it is a page's HTML.
        ('&lt;p&gt;Call.&lt;/p&gt;&lt;p&gt;Now.&lt;/p&gt;', 'Call.\n\nNow.'),
        ('Use &lt;b&gt; & so.', 'Use <b> & so.'),
        ('&lt;p&gt;Ann &amp;amp; I&lt;/p&gt;', 'Ann & I'),
        ('&lt;p&gt;Use &amp;lt;b&amp;gt;.&lt;/p&gt;', 'Use <b>.'),
        ('Write &amp;amp; for a &lt; b.', 'Write &amp; for a < b.'),
    ],
)
def test_tags_that_a_fields_html_shows_are_text(raw: str, expected: str) -> None:
    text = characters.clean(html_text.with_escapes(raw))
    assert html_text.plain_field(text)[0] == expected


def test_entities_are_decoded_once_and_the_change_is_counted() -> None:
    raw = '<p>Tom &amp;amp; Co &lt;3 &quot;us&quot;</p><p>Bye&nbsp;now.</p>'
    pair = records.QaPair(
        'p', 'p', 'csv', 'a.csv', 1, '', '', 'Why?', characters.clean(raw)
    )
    outcome = cleaning.stage(settings.CleanSettings()).apply(pair)
    assert outcome.pair.answer == 'Tom &amp; Co <3 "us"\n\nBye now.'
    assert [(change.name, change.times) for change in outcome.changes] == [
        ('HTML made plain text', 4)
    ]
    off = cleaning.stage(settings.CleanSettings(html=False)).apply(pair)
    assert off.pair == pair


@pytest.mark.parametrize(
    'unit',
    [
        *('<!--', '<a b="', '<p ', '</p>', '<div>', '<pre>', '<code>', '```<p>', '`'),
        *(
            '<a b="" c=\'<a b="',
            'data:image/png;base64,',
            '<p a ',
            '<p a-b :c',
            '<a-',
            '![a](data:',
            '<script>',
            '<!',
        ),
    ],
)
def test_time_grows_no_faster_than_the_text(unit: str) -> None:
    """200,000 characters: a rule of quadratic time would take minutes here."""
    text = unit * (200_000 // len(unit))
    html_text.plain(html_text.without_base64(text)[0])


def test_the_text_of_a_cdata_section_is_the_text_of_the_page() -> None:
    assert html_text.plain('<p><![CDATA[Go & see <b>her</b>]]></p>') == (
        'Go & see her',
        6,
    )
    for kept in ('In XML, `<![CDATA[x]]>` is text.', 'a <![CDATA[ x', 'a[b[0]]> c'):
        assert html_text.plain(kept) == (kept, 0)


def test_a_raised_number_is_no_part_of_the_one_before_it() -> None:
    text = (
        '<p>10<sup>6</sup> m<sup>-2</sup>, he says,<sup><a href="#1">12</a></sup>'
        ' the 1<sup>st</sup> of H<sub>2</sub>O<sup>[4]</sup></p>'
    )
    assert html_text.plain(text)[0] == '10⁶ m⁻², he says,¹² the 1st of H2O[4]'
