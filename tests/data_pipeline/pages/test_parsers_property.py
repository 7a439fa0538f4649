"""Any text at all through the parsers: no crash, and each line in one place."""

import collections
import itertools
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from data_pipeline.layouts import detection
from data_pipeline.pages import chat, encoding, merged, page, reddit
from hax_jax import errors

PARSERS = detection.PARSERS
RULE = '=' * 80
# What chats, Reddit files and merged files are built of, and what only looks like it.
LAYOUT = [
    'Guest Apr 4, 12:05 p.m.',
    'Guest11:05\u202fa.m.',
    'Guest',
    'Worried in Ghent Apr 4, 12:05 p.m.',
    'Today',
    '11:05',
    'QUESTION: Who has it?',
    'QUESTION:',
    'Question: who?',
    '**QUESTION:** bold',
    'ANSWER: Nobody.',
    'ANSWER:',
    'Answer: small',
    'ANSWER: Post has 0 replies and 7 LikesPress Enter to expand',
    'avatar',
    'Marian Vale',
    'Advice Columnist',
    'Tom Reed',
    'Audience Producer',
    'Gardener',
    'Marian ValeAdvice Columnist11:03 a.m.',
    'Tom ReedProducer Apr 4, 11:03 a.m.',
    'I met the Director today',
    'Post has undefined replies and 95 Likes',
    'Thanks.Post has 1 reply and 1 LikePost expanded',
    'Post has 0 replies and 1.2K Likes The ladder',
    'It says Post has 0 replies and 3 Likes on it.',
    'Post has 0 rep',
    '95Press Enter to expand',
    '147',
    'image',
    'Opinion | Nobody reads the manual',
    'example.com',
    '(click for more)',
    'Advertisement',
    'Share',
    'The borrowed ladder',
    RULE,
    '---',
    '# Reddit Post 1',
    '# Reddit Post 2 is the one',
    '# Score: 12 | Date: 2025-03-01',
    '# Score: 1.2.3k',
    '# Score: ,',
    '# Score: hidden',
    '# URL: https://www.reddit.com/r/work/comments/ab1/a_title/',
    '# A heading',
    '[removed]',
    '*I am a bot, and this action was performed automatically.*',
    'OVERSAMPLE_WEIGHT: 3 <END_OF_SET>',
    'OVERSAMPLE_WEIGHT: nan <END_OF_SET>',
    'OVERSAMPLE_WEIGHT: 2',
    '<END_OF_SET>',
    'Three. OVERSAMPLE_WEIGHT: 3 <END_OF_SET>QUESTION: x',
    '',
    '',
    '\xa0',
    'UPDATE: he paid',
    '> quoted',
    'Q: Why?',
    'A: So.',
    '## Question 2',
    '## Answer',
    'DRAFT_RESPONSE:',
    'SCORE: 7',
    'REVISED_RESPONSE: Better.',
    'DEAR ABBY: Why? -- SAD',
    'DEAR SAD: So.',
    'DEAR READERS: Hello.',
    '_____',
    'Torn about Dad: Do I ask him to the wedding?',
    'One thing: bring a gift.',
    'example.com: A link',
]
REPLY = 'avatar\nMarian Vale\nAdvice Columnist\nANSWER: Because.'
HEADER = f'{RULE}\n# Reddit Post 3\n# Score: 1\n{RULE}'
BLOCKS = [
    REPLY,
    REPLY.removeprefix('avatar\n'),
    'avatar\nTom Reed\nProducer\nANSWER: Fixed.',
    f'Guest11:05 a.m.\nQUESTION: Why?\n{REPLY}',
    'QUESTION: Why?\n\nANSWER: Because.',
    f'{HEADER}\nQUESTION: Why?\n\nHe ate.\n\nANSWER: Because.',
    HEADER,
    *(
        f'{above}\n{guest}: Is it rude to go?\n\nMarian Vale: No, go home to bed.\n'
        for guest in ('Springfield, Ill.', 'Re: Torn', 'Anonymous', 'The loan')
        for above in ('', '_____')
    ),
]
# No `&` and no control: cleaning then treats each character by itself.
PLAIN = st.text(
    st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='&'), max_size=12
)
LINES = st.one_of(*[st.sampled_from(LAYOUT)] * 5, *[st.sampled_from(BLOCKS)] * 3, PLAIN)
JOINTS = st.sampled_from(['\n'] * 8 + ['\r\n', '\n\n', ''])


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = draw(st.lists(LINES, max_size=40))
    return ''.join(line + draw(JOINTS) for line in lines)


def problems(text: str, found: page.Page) -> list[str]:
    """What of a text was lost, doubled, moved or kept unsaid."""
    out = []
    lines: dict[int, str] = collections.defaultdict(str)
    for piece in found.pieces:
        lines[piece.line] += piece.text
    if lines != {piece.line: piece.text for piece in page.raw_lines(text)}:
        out.append('the pieces are not the text')
    numbers = [piece.line for piece in found.pieces]
    if numbers != sorted(numbers):
        out.append('the pieces are out of order')
    unknown = [p.line for p in found.pieces if p.kind == page.UNKNOWN]
    said = [line for line, _, where in found.unknown if where == 'left out']
    if unknown != sorted(said):
        out.append(f'left out: {unknown}, said: {said}')
    return out


def lost_words(found: page.Page) -> dict[str, collections.Counter[str]]:
    """Words that only the pieces, or only the pairs, have as question or answer."""
    out = {}
    for kind in (page.QUESTION, page.ANSWER):
        pieces = page.clean_text(found.pieces, kind).split()
        # A question of several answers stands in the file once.
        of = {
            (p.line, p.question) if kind == page.QUESTION else i: p
            for i, p in enumerate(found.pairs)
        }
        pairs = itertools.chain(*(getattr(p, kind).split() for p in of.values()))
        in_pieces, in_pairs = collections.Counter(pieces), collections.Counter(pairs)
        out[kind] = (in_pieces - in_pairs) + (in_pairs - in_pieces)
    return out


@hypothesis.given(text=documents())
@hypothesis.settings(max_examples=400, derandomize=True, deadline=None, database=None)
def test_every_line_is_in_one_place_and_every_word_of_a_pair_in_a_piece(
    text: str,
) -> None:
    for layout, parse in PARSERS.items():
        found = parse(text, file='f.md')
        assert problems(text, found) == [], layout
        assert lost_words(found) == {'question': {}, 'answer': {}}, layout
        for pair in found.pairs:
            assert pair.question and pair.answer and pair.weight > 0, layout


@hypothesis.given(text=documents())
@hypothesis.settings(max_examples=200, derandomize=True, deadline=None, database=None)
def test_every_post_is_a_pair_or_is_named(text: str) -> None:
    found = chat.parse(text, file='f.md')
    assert found.counts['chat guest posts'] == len(found.pairs) + len(found.dropped)
    found = merged.parse(text, file='f.md')
    assert found.counts['merged questions'] == len(found.pairs) + len(found.dropped)
    found = reddit.parse(text, file='f.md')
    posts = found.counts['reddit posts'] + found.counts['merged questions']
    assert posts == len(found.pairs) + len(found.dropped)


@hypothesis.given(
    raw=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(lambda text: text.encode('utf-8', 'ignore')),
        st.lists(
            st.one_of(
                st.sampled_from([line.encode() for line in LAYOUT]),
                st.binary(max_size=6),
            ),
            max_size=20,
        ).map(b'\n'.join),
    )
)
@hypothesis.settings(max_examples=500, derandomize=True, deadline=None, database=None)
def test_no_bytes_crash_a_parser(raw: bytes) -> None:
    try:
        text = encoding.decode(raw, 'f.md', warnings=[])
    except errors.InputError:
        return
    detection.detect(text)
    for parse in PARSERS.values():
        assert problems(text, parse(text, file='f.md')) == []


WORDS = st.sampled_from(
    [
        *('kettle', 'ladder,', 'Bristol;', '12', '7:30', 'Post', '95', 'Likes'),
        *('“quoted”', 'naïve', '🐕', '–', 'f***', 'e.g.'),
    ]
)
# Paragraphs are what people write: also lines that begin as the layout's do.
PARAGRAPHS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=8).map(lambda words: ' '.join(words) + '.'),
    st.sampled_from(
        [
            'It says Post has 0 replies and 3 Likes on every post.',
            'We met on\nMonday at 11:05 a.m.\nand never again.',
            '# A heading\n- a list\n- its second line.',
            '---\nbelow a rule.',
            'I met the Director yesterday\nand said so.',
            'Marian Vale\nAdvice Columnist\nis what you wrote there.',
            '1. One\n2. Two.',
            '> you wrote that\n\nand I did not.',
        ]
    ),
)
TEXTS = st.lists(PARAGRAPHS, min_size=1, max_size=4).map('\n\n'.join)
TOPICS = st.sampled_from(
    ['The ladder', 'Re: ladder?', '2020', 'Guest rooms', 'Is 5 p.m. late', '"Quoted"']
)
HOURS = st.sampled_from(['12:05 p.m.', '1:05\u202fPM', '11:05 a.m. ET', '13:05'])
DATES = st.sampled_from(['', 'Apr 4, ', 'Sept. 14, 2024, ', 'December 31, '])
FOOTERS = st.sampled_from(
    [
        'Post has undefined replies and 95 Likes\n95Press Enter to expand\n',
        'Post has 0 replies and 1 LikePost expanded\n1\n',
        'Post has 1 reply and 1.2K LikesPress Enter to expand\n1.2K\n',
        'Post has 2 replies and 0 Likes21Post comments expanded\n',
        '\nPost has 2 replies and 0 Likes\n\n0Press Enter to expand\n\n',
    ]
)


@st.composite
def chat_files(draw: st.DrawFn) -> tuple[str, list[tuple[str, str, str]]]:
    """A chat as one would write it down, and the pairs that stand in it."""
    dated, glue = draw(DATES), draw(st.sampled_from(['', ' ']))
    text, pairs = '', []
    for _ in range(draw(st.integers(1, 5))):
        topic, question, answer = draw(TOPICS), draw(TEXTS), draw(TEXTS)
        text += f'{topic}\nGuest{glue if not dated else " "}{dated}{draw(HOURS)}\n'
        text += f'QUESTION: {question}\n'
        kind = draw(st.sampled_from(['answered', 'answered', 'empty', 'none', 'help']))
        gap = draw(st.sampled_from(['', '\n']))
        if kind == 'answered':
            text += f'avatar\nMarian Vale\nAdvice Columnist\n{gap}ANSWER: {answer}'
            pairs.append((topic, question, answer))
        elif kind == 'empty':
            text += 'avatar\nMarian Vale\nAdvice Columnist\nANSWER: '
        elif kind == 'help':
            text += 'avatar\nTom Reed\nAudience Producer\nANSWER: Fixed.'
        text += draw(st.sampled_from(['', '\n'])) if kind != 'none' else ''
        text += draw(FOOTERS)
        if draw(st.booleans()):
            text += f'Marian ValeAdvice Columnist{dated}11:06 a.m.\n{answer}\n'
            text += '77Press Enter to expand\n'
    # The host is known by an answer of hers.
    text += 'Last\nGuest11:59 p.m.\nQUESTION: Bye?\n'
    text += 'avatar\nMarian Vale\nAdvice Columnist\nANSWER: Bye.'
    return text, [*pairs, ('Last', 'Bye?', 'Bye.')]


@hypothesis.given(made=chat_files())
@hypothesis.settings(max_examples=200, derandomize=True, deadline=None, database=None)
def test_a_chat_gives_the_pairs_that_were_written_into_it(
    made: tuple[str, list[tuple[str, str, str]]],
) -> None:
    text, pairs = made
    found = chat.parse(text, file='f.md')
    assert [(p.topic, p.question, p.answer) for p in found.pairs] == pairs


@st.composite
def reddit_files(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A Reddit file as one would write it down, and the pairs that stand in it."""
    text, pairs = '', []
    rule = draw(st.sampled_from([RULE, '=' * 40, '']))
    for i in range(draw(st.integers(1, 5))):
        title = draw(st.lists(WORDS, min_size=1, max_size=6).map(' '.join))
        body, answer = draw(st.one_of(st.just(''), TEXTS)), draw(TEXTS)
        score = draw(st.sampled_from(['12', '-3', '1.2k']))
        header = [
            f'# Score: {score} | Date: 2025-03-01',
            f'# URL: https://www.reddit.com/r/work/comments/ab{i}/a_title/',
        ]
        header = draw(st.permutations(header))
        head = [rule, f'# Reddit Post {i + 1}', *header, rule]
        text += '\n'.join(line for line in head if line)
        text += draw(st.sampled_from(['\n\n', '\n'])) + f'QUESTION: {title}\n\n'
        text += f'{body}\n\nANSWER: {answer}\n\n\n'
        pairs.append((f'{title}\n\n{body}'.strip(), answer))
    return text, pairs


@hypothesis.given(made=reddit_files())
@hypothesis.settings(max_examples=200, derandomize=True, deadline=None, database=None)
def test_a_reddit_file_gives_the_pairs_that_were_written_into_it(
    made: tuple[str, list[tuple[str, str]]],
) -> None:
    text, pairs = made
    found = reddit.parse(text, file='f.md')
    assert [(p.question, p.answer) for p in found.pairs] == pairs
    assert found.unknown == []


SHARED = pathlib.Path(__file__).parents[4] / 'shared' / 'data'


@pytest.mark.parametrize('folder', ['chats', 'reddit'])
def test_no_word_of_a_real_file_is_lost(folder: str) -> None:
    files = sorted((SHARED / folder).glob('*.md'))
    if not files:
        pytest.skip('the real files are not beside this checkout')
    for file in files:
        text = encoding.decode(file.read_bytes(), file.name, warnings=[])
        found = PARSERS[folder.rstrip('s')](text, file=file.name)
        assert problems(text, found) == []
        assert lost_words(found) == {'question': {}, 'answer': {}}
