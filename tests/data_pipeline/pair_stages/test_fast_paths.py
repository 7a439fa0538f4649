"""Each short cut gives what its slow definition gives, of any text."""

import dataclasses
import difflib
import itertools
import pathlib
import random
import re

import pytest
from ftfy import badness
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.all_pairs import copies
from data_pipeline.compared import packed_rows
from data_pipeline.pages import characters, encoding
from data_pipeline.pair_stages import (
    cleaning,
    folding,
    language,
    markdown_text,
    personal_data,
    quality,
    quotes,
    stage_ledger,
    word_runs,
)
from data_pipeline.rows import csv_records
from hax_jax.data import records

# Plain words with all that the short cuts look for, and any character.
PARTS = (
    'a B é ß İ ſ K _ 7 , . - ’ “ ” … \n \t & &amp; \xa0 \u200b \x1c \x85 @ / :// www. '
    'WWW. a.com/b u/ann @ann a@b.org ** _x_ > # [a](b) 😀'
)
TEXTS = st.lists(
    st.one_of(st.sampled_from([*PARTS.split(' '), ' ', '  ']), st.characters())
).map(''.join)


@given(TEXTS)
def test_a_text_is_folded_as_by_one_pattern(text: str) -> None:
    slow = re.sub(r'[\W_]+', ' ', text.casefold()).strip() or text.strip()
    assert folding.folded(text) == slow


@given(TEXTS)
def test_the_words_of_plain_text_are_found_as_by_one_pattern(text: str) -> None:
    slow = '\n'.join(copies._WORD.findall(text)).casefold().split()
    assert copies._words(text) == tuple(slow)


@given(TEXTS)
def test_no_link_name_or_mark_is_passed_over(text: str) -> None:
    assert personal_data.may_link(text) or not personal_data._URL.search(text)
    found = personal_data._USER.subn(personal_data.USER, text)
    assert personal_data._without_users(text) == found
    marked = markdown_text._MARKS.search(text)
    assert markdown_text.plain(text)[0] == (
        markdown_text.unmarked(text) if marked else text
    )


@pytest.mark.parametrize('part', ['[at', '[ @', '(dot', '{ at', '<@', ' [', '('])
@given(TEXTS)
def test_no_spelled_address_is_passed_over(part: str, text: str) -> None:
    for each in (text.lower(), part, text.lower() + part):
        squeezed = each.replace('( ', '(').replace('[ ', '[').replace('{ ', '{')
        signs = ('dot', '@ ', *personal_data._MAYBE_SPELLED)
        assert personal_data._may_be_spelled(each) == any(
            sign in squeezed or sign in each for sign in signs
        )


ENDS = (
    '',
    '. 14 liKe\u017f',
    '! 3 UpVotes',
    '" 2\u212a like',
    '…\t9 likes',
    '. 5 likes.',
    '. 👍 1,125',
    '! 1.2k ❤\ufe0f',
    '. 👍🏽 5 · 3 💬',
    '. 2\u212a 👍🏻',
)


@given(TEXTS, st.sampled_from(ENDS), st.text(' \n\t\x1c\x85', max_size=3))
def test_no_count_of_likes_is_passed_over(text: str, end: str, blanks: str) -> None:
    whole = text + end + blanks
    found, slow = cleaning._counted(whole), cleaning._COUNTED.search(whole)
    assert (found and found.span()) == (slow and slow.span())


@given(st.text(), st.sampled_from([1.0, 0.0, -0.0, 2.5, 1e16, 1e-7]))
def test_a_pairs_line_is_its_canonical_json(text: str, weight: float) -> None:
    pair = records.QaPair(text, 'g', 's', 'f', 1, '', '', text, text, weight=weight)
    chat = dataclasses.replace(
        pair, more=(text, text), answer_weights=(0.0, weight), flags=(text,)
    )
    for each in (pair, chat):
        slow = records.canonical_json(records.as_row(each))
        assert packed_rows.line(each) == slow.encode() + b'\n'


@given(TEXTS)
def test_a_text_that_cleaning_would_change_is_never_taken_for_clean(text: str) -> None:
    assert characters._is_changed(text) == bool(characters._CHANGED.search(text))


def test_lines_of_csv_are_cut_as_by_one_pattern(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.csv'
    for parts in itertools.product(('a', '\r', '\n'), repeat=5):
        text = ''.join(parts)
        path.write_bytes(text.encode())
        slow = re.split('(?<=\n)|(?<=\r)(?!\n)', text)
        found = [line.text for line in csv_records._lines(str(path))]
        assert found == [line for line in slow if line]


@given(TEXTS)
def test_the_blanks_of_a_text_are_cleaned_line_by_line(text: str) -> None:
    lines = (line.rstrip(' ') for line in characters._changed(text).split('\n'))
    slow = re.sub(r'\n{3,}', '\n\n', '\n'.join(lines)).strip('\n').strip(' ')
    assert characters.clean(text) == slow


def test_typed_quotes_and_dashes_are_no_mojibake_in_any_order() -> None:
    signs = ['‘', '’', '“', '”', '–', '—', '…', '•', 'a', 'Z', '1', ' ', '\t', '.']
    for size in (1, 2, 3, 4):
        for some in itertools.product(signs, repeat=size):
            text = ''.join(some)
            assert not encoding._MAYBE_MOJIBAKE.search(text)
            assert not badness.is_bad(text)


@given(st.text('abc', max_size=30), st.text('abc', max_size=30))
def test_what_two_texts_begin_with_is_found_by_halves(one: str, other: str) -> None:
    equal = [a == b for a, b in zip(one, other, strict=False)]
    slow = len([*itertools.takewhile(bool, equal)])
    assert stage_ledger.same_start(one, other) == slow


@pytest.mark.parametrize('seed', range(20))
def test_repetition_is_that_of_the_words_themselves(seed: int) -> None:
    rng = random.Random(seed)
    words = rng.choices('abcdefghijklmnopqrst'[: rng.randint(1, 20)], k=400)
    for start, size in itertools.product((0, 30), (49, 50, 55, 90, 300)):
        phrase = words[start : start + rng.randint(5, size)]
        said = [*itertools.islice(itertools.cycle(phrase), size)]
        ngrams = [*zip(*(said[i:] for i in range(5)), strict=False)]
        share = 1 - len(set(ngrams)) / len(ngrams) if size >= 50 else 0.0
        assert quality.repetition(', '.join(said)) == pytest.approx(share)


@pytest.mark.parametrize('seed', range(20))
def test_a_quote_is_found_as_by_comparing_all_words(seed: int) -> None:
    rng = random.Random(seed)
    asked, said = (rng.choices('abcdefgh', k=60) for _ in range(2))
    for size in (7, 8, 12, 20):
        at = rng.randrange(40)
        answer = said[:at] + asked[at : at + size] + said[at:]
        matcher = difflib.SequenceMatcher(None, answer, asked, autojunk=False)
        most = matcher.find_longest_match()
        slow = ' '.join(answer[most.a : most.a + most.size])
        for least in (8, 12):
            found = quotes.longest(' '.join(asked), ' '.join(answer), least=least)
            assert found == (slow if most.size >= least else '')


def test_runs_of_words_are_those_of_eight_words_in_a_row() -> None:
    words = [f'w{i}' for i in range(30)]
    whole = word_runs.of(' '.join(words))
    assert len(whole) == 23 and len(set(whole.tolist())) == 23
    for i in range(23):
        (run,) = word_runs.of(' '.join(words[i : i + 8]))
        assert run == whole[i]
    assert len(word_runs.of(' '.join(words[:7]))) == 0
    assert [word_runs.num_words(' '.join(words[:n])) for n in (7, 8, 30)] == [7, 8, 30]
    assert 0 < word_runs.is_sampled(whole).sum() < 23


def test_languages_of_many_texts_are_those_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = (
        'I do not know what to say to my sister about the party that she gave for us. ',
        'Hola, mi novio y yo llevamos tres años juntos y no sé qué hacer con ella. ',
        'Ich weiß nicht, was ich meiner Schwester über das Fest sagen soll. ',
        'Je ne sais pas quoi dire à ma sœur à propos de la fête qu’elle a donnée ici. ',
        '我不知道该对我姐姐说什么 关于 她 给 我们 办 的 聚会 和 她 的 朋友 们 昨天 ',
        '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 ',
        'LOL OMG WTF BRB THX ' * 5,
        'Ja nee ok si no da oui yes ' * 4,
    )
    rng = random.Random(0)
    texts = [each * times for each in samples for times in (1, 2, 20)]
    for _ in range(60):
        texts.append(''.join(rng.choices(samples, k=rng.randint(1, 8))))
        words = ' '.join(samples).split()
        texts.append(' '.join(rng.choices(words, k=rng.randint(1, 60))))
    monkeypatch.setattr(language, '_TOGETHER', 50)
    for accepted, confidence in (
        (('en',), 0.95),
        (('es', 'de'), 0.5),
        (('en',), 0.999),
    ):
        each = {
            text: code
            for text in texts
            if (code := language.is_foreign(text, accepted, confidence=confidence))
        }
        assert language.foreign(texts, accepted, confidence=confidence) == each
        assert each
    assert language.foreign(texts, (), confidence=0.95) == {}
