import dataclasses
import html.parser
import itertools
import pathlib
import random
import re
import statistics
import sys

import jinja2
import numpy as np
import pytest

from data_pipeline.compared import compared_row, described_pairs
from data_pipeline.writing import (
    dropped_file,
    flow_chart,
    oddness,
    report_facts,
    report_page,
    report_text,
    stream_counts,
)
from hax_jax.data import packing, records, text

HOSTILE = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '{{7*7}}{% raw %}',
    'a\u202eb\x00c\x1b[31md\u2066e\ufffff',
    '</title></style></svg><iframe src="https://example.com/">&lt;b&gt;',
    '<!--',
    ']]>',
]
TAGS = (
    'html head meta title style body h1 h2 h3 p b div span svg g rect path line text '
    'table tr th td details summary dl dt dd article'
)
ATTRIBUTES = (
    'lang charset name content http-equiv class dir viewbox role aria-label '
    'aria-hidden preserveaspectratio x y x1 x2 y1 y2 width height d text-anchor'
)
VOID = {'meta'}


class Page(html.parser.HTMLParser):
    """The elements, attributes and texts of a page, and whether it is well nested."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.texts: list[str] = []
        self.others: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.problems += [f'{tag} is not closed' for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or '')
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f'</{tag}> at {self.getpos()}')

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def make_pair(number: int, **changes: object) -> records.QaPair:
    pair = records.QaPair(
        id=f'p{number}',
        group=f'g{number}',
        source='chat',
        file='chats/a.md',
        line=number,
        topic='',
        time='',
        question=f'What of number {number}, the one before?',
        answer=f'Nothing about number {number} is of any use to you.',
    )
    return dataclasses.replace(pair, **changes)


def manifest_of(splits: dict[str, list[records.QaPair]]) -> dict[str, object]:
    return {
        'sha256': '0' * 64,
        'template_version': 'x',
        'splits': {
            name: {
                'pairs': len(pairs),
                'groups': len({pair.group for pair in pairs}),
                'by_source': {
                    source: sum(pair.source == source for pair in pairs)
                    for source in sorted({pair.source for pair in pairs})
                },
            }
            for name, pairs in splits.items()
        },
    }


def collect(
    splits: dict[str, list[records.QaPair]],
    *,
    tokenizer: text.Tokenizer | None = None,
    wanted: tuple[str, ...] = (),
) -> dict[str, object]:
    collector = report_facts.Collector(tokenizer=tokenizer, wanted=wanted)
    for name, pairs in splits.items():
        add = collector.of(name)
        for some in described_pairs.of(pairs):
            add(some)
    return collector.facts()


def render(
    splits: dict[str, list[records.QaPair]],
    *,
    ledger: dict[str, object] | None = None,
    tally: dropped_file.Tally | None = None,
) -> str:
    tally = tally or dropped_file.Tally(0, {}, [])
    wanted = tuple(each.kept_id for each in tally.clusters)
    return report_page.render(
        manifest_of(splits), ledger or {}, collect(splits, wanted=wanted), tally
    )


def reason(name: str, pairs: int, example: dict[str, str]) -> dict[str, object]:
    return {name: {'pairs': pairs, 'times': pairs, 'examples': [example]}}


@pytest.mark.parametrize('evil', HOSTILE)
def test_no_text_of_the_corpus_becomes_an_element_or_an_attribute(evil: str) -> None:
    pairs = [
        make_pair(
            number,
            id=f'{number}{evil}',
            group=evil,
            source=f'{evil}{number}',
            file=evil,
            topic=evil,
            time=evil,
            question=f'{evil}\n{evil}',
            answer=evil,
            flags=(evil,),
        )
        for number in range(7)
    ]
    example = {'id': evil, 'detail': evil, 'question': evil, 'answer': evil}
    change = {'id': evil, 'field': evil, 'before': evil, 'after': evil}
    ledger = {
        'pairs': {'read': 9},
        'read': {
            'by_source': {evil: 9},
            'by_file': {evil: 9},
            'counts': {evil: 1},
            'warnings': [evil],
        },
        'stages': [
            {
                'stage': f'{evil} duplicates',
                'in': 9,
                'out': 7,
                'changed_pairs': 1,
                'dropped': reason(evil, 2, example),
                'changed': reason(evil, 1, change),
                'noted': reason(evil, 1, {'id': evil, 'text': evil}),
            }
        ],
        'gathered': {evil: {evil: evil, 'list': [evil], 'rows': [{evil: evil}]}},
        'notes': [evil],
        'settings': {'quality': {'tokenizer': evil, 'languages': [evil]}},
    }
    cluster = dropped_file.Cluster(pairs[0].id, 2, [evil, evil])
    tally = dropped_file.Tally(2, {evil: 2}, [cluster])
    splits = {'train': pairs[:5], 'validation': pairs[5:], 'test': []}
    page = Page(render(splits, ledger=ledger, tally=tally))
    assert page.tags <= set(TAGS.split())
    assert page.attributes.keys() <= set(ATTRIBUTES.split())
    assert page.problems == []
    assert page.others == []
    assert page.attributes['dir'] == {'auto'}
    for values in page.attributes.values():
        assert not any('alert' in value or '://' in value for value in values)
    told = ''.join(page.texts)
    assert told.count(report_text.visible(evil)) > 40  # it is shown, as text
    assert not set(told) & set('\x00\x1b\u202e\u2066\uffff')


def test_hidden_characters_are_spelled_out_and_others_stay() -> None:
    assert report_text.visible('a\u202eb\x00\n\tc') == 'a⟨U+202E⟩b⟨U+0000⟩\n\tc'
    assert report_text.visible('\ud800\uffff\x85') == '⟨U+D800⟩⟨U+FFFF⟩⟨U+0085⟩'
    for kept in ('plain', 'é e\u0301 👩\u200d👧', 'שלום', 'ไทย', '\ufeff'):
        assert report_text.visible(kept) == kept


def test_a_long_text_is_cut_with_a_mark() -> None:
    splits = {'train': [make_pair(0, answer='x' * 1500)], 'validation': [], 'test': []}
    page = render(splits)
    assert 'x' * 1200 + ' … (300 more characters)' in page
    assert 'x' * 1201 not in page
    assert report_text.cut('x' * 1200) == 'x' * 1200


def test_the_page_loads_nothing_and_says_so_to_the_browser() -> None:
    page = render({'train': [make_pair(0)], 'validation': [], 'test': []})
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in page
    assert not re.search(r'url\(|@import|https?:|<script|<link', page)
    assert 'prefers-color-scheme: dark' in page
    assert 'width=device-width' in page


def test_the_template_marks_nothing_as_safe() -> None:
    folder = pathlib.Path(report_page.__file__).parent
    template = (folder / 'report.html.jinja').read_text()
    assert '|safe' not in template.replace(' ', '')
    assert 'autoescape' not in template


def test_an_empty_dataset_and_an_empty_ledger_make_a_page() -> None:
    page = Page(render({'train': [], 'validation': [], 'test': []}))
    assert page.problems == []
    assert 'No pair was dropped in favour of another.' in ''.join(page.texts)


def test_lengths_have_their_exact_quantiles_and_every_text_is_in_one_bin() -> None:
    rng = random.Random(3)
    sizes = [rng.randrange(1, 700) for _ in range(999)] + [0]
    pairs = [make_pair(i, question='w ' * size) for i, size in enumerate(sizes)]
    rows = collect({'train': pairs, 'validation': [], 'test': []})['lengths']
    assert [(row['split'], row['field']) for row in rows] == [
        ('train', 'question'),
        ('train', 'answer'),
    ]
    ordered = sorted(sizes)
    # The k-th lowest of 1,000 is the quantile k / 1,000.
    expected = [ordered[max(int(1000 * q), 1) - 1] for q in report_facts.QUANTILES]
    assert rows[0]['quantiles'] == expected
    assert rows[0]['mean'] == pytest.approx(statistics.fmean(sizes))
    bins = rows[0]['histogram']
    for each in bins:
        count = sum(each['low'] <= size <= each['high'] for size in sizes)
        assert each['count'] == count
    assert sum(each['count'] for each in bins) == 1000
    for one, other in itertools.pairwise(bins):
        assert other['low'] == one['high'] + 1
    assert rows[1]['quantiles'] == [10] * 7  # nine words, and a number
    assert [each['count'] for each in rows[1]['histogram']] == [1000]


@pytest.mark.parametrize('row', [64, 160])
def test_the_fill_is_what_packing_makes_of_the_same_pairs(
    row: int, sentencepiece_folder: pathlib.Path
) -> None:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    rng = random.Random(1)
    pairs = [
        make_pair(
            i,
            question='Is it rude? ' * rng.randrange(1, 12),
            answer='Go home. ' * rng.randrange(1, 14),
        )
        for i in range(80)
    ]
    made = packing.tokenize(pairs, tokenizer, seq_len=row, long_answers='drop')
    packed = packing.pack(made.pairs, seq_len=row, question_weight=0.0)
    counts = packing.count_positions(packed)
    lengths = [
        tuple(len(ids) for ids in tokenizer.encode([pair.question, pair.answer]))
        for pair in pairs
    ]
    found = report_facts.fill_of(lengths, tokenizer, row)
    assert found == {
        'pairs': 80,
        'rows': counts['rows'],
        'filled': pytest.approx(1 - counts['padding'] / counts['positions']),
        'shortened': len(made.shortened_ids),
        'dropped': len(made.dropped_ids),
    }
    assert found['dropped' if row == 64 else 'shortened']


def test_tokens_are_counted_of_a_sample_that_the_page_names(
    sentencepiece_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_facts, 'TOKEN_SAMPLE', 20)
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    pairs = [make_pair(i) for i in range(50)]
    splits = {'train': pairs, 'validation': pairs[:3], 'test': []}
    facts = collect(splits, tokenizer=tokenizer)
    totals = {
        row['split']: row['total']
        for row in facts['lengths']
        if row['unit'] == 'tokens'
    }
    assert totals == {'train': 20, 'validation': 3}
    assert [(row['split'], row['row']) for row in facts['fill']] == [
        ('train', 512),
        ('train', 1024),
        ('validation', 512),
        ('validation', 1024),
    ]
    shuffled = {'train': pairs[::-1], 'validation': pairs[:3], 'test': []}
    assert collect(shuffled, tokenizer=tokenizer)['fill'] == facts['fill']
    page = report_page.render(
        manifest_of(splits), {}, facts, dropped_file.Tally(0, {}, [])
    )
    assert 'up to 20 pairs a split' in page
    assert 'none was given to this build' in render(splits)


def test_the_oddest_pair_is_found_and_its_score_follows_the_formula() -> None:
    rng = random.Random(5)
    pairs = [
        make_pair(
            i,
            question='word ' * rng.randrange(50, 150),
            answer='reply ' * rng.randrange(50, 150),
        )
        for i in range(400)
    ]
    pairs[123] = make_pair(123, question='?' * 900, answer='12 % 44 ' * 900)
    facts = collect({'train': pairs, 'validation': [], 'test': []})
    first = facts['oddest'][0]
    assert first['pair'].id == 'p123'
    (some,) = described_pairs.of(pairs)
    for column, z in zip(oddness.measures(some).tolist(), first['z'], strict=True):
        middle = statistics.median(column)
        unit = 1.4826 * statistics.median(abs(value - middle) for value in column)
        # Medians are found on a grid of 0.01.
        assert z == pytest.approx((column[123] - middle) / max(unit, 0.05), rel=0.1)
    assert first['score'] == pytest.approx(sum(map(abs, first['z'])))
    scores = [entry['score'] for entry in facts['oddest']]
    assert len(scores) == 5 and scores == sorted(scores, reverse=True)


def test_what_is_measured_of_a_pair() -> None:
    pair = make_pair(0, question='one one', answer='two 33 four')
    # 3 and 4 of 1 + words; of 19 characters, a space between the
    # texts among them, 2 are digits; of 5 words 4 are different.
    (some,) = described_pairs.of([pair])
    assert oddness.measures(some)[:, 0].tolist() == pytest.approx(
        (1.5849625, 2.0, 0.4150375, 2 / 19, 1 / 5)
    )


def test_samples_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = [make_pair(i, answer='word ' * (i % 97)) for i in range(500)]
    mixed = pairs[:]
    random.Random(2).shuffle(mixed)
    one = collect({'train': pairs, 'validation': [], 'test': []})
    other = collect({'train': mixed, 'validation': [], 'test': []})
    assert one == other
    assert len({row['pair'].id for row in one['random']}) == 5


def test_the_most_frequent_topics_and_title_words_are_counted() -> None:
    pairs = [
        make_pair(i, topic='Family' if i % 3 else 'Work', question='Rude cousin?\nSo.')
        for i in range(30)
    ]
    facts = collect({'train': pairs, 'validation': [], 'test': []})
    assert facts['topics']['rows'] == [('Family', 20), ('Work', 10)]
    assert facts['title_words']['rows'] == [('cousin', 30), ('rude', 30)]


def test_counts_are_exact_until_there_are_too_many_keys() -> None:
    counts = stream_counts.TopCounts(limit=4)
    for key in ('a', 'b', 'a', 'c', 'd', 'b', 'a'):
        counts.add([key])
    assert counts.exact
    assert counts.top(3) == [('a', 3), ('b', 2), ('c', 1)]
    counts.add(['e'])  # the fifth: only the two most frequent stay
    assert not counts.exact
    assert counts.top(9) == [('a', 3), ('b', 2)]


def test_the_lowest_keys_stay_whatever_comes_first() -> None:
    rows = [(float(i % 10), f'n{i}') for i in range(100)]
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        lowest: stream_counts.Lowest[str] = stream_counts.Lowest(15)
        for key, name in rows:
            assert lowest.wants(key, name) or len(lowest.values()) == 15
            is_open = lowest.open_to(np.array([key]))
            assert is_open == [0] or not lowest.wants(key, name)
            lowest.add(key, name, name)
        assert lowest.values() == [name for _, name in sorted(rows)[:15]]


def test_the_flow_chart_keeps_the_counts_to_scale() -> None:
    sources = {'chat': 60, 'reddit:a': 140, 'none': 0}
    dropped = {'quality: too short': 25, 'near duplicates: near': 25}
    chart = flow_chart.chart(
        sources, {'train': 140, 'validation': 10, 'test': 0}, dropped
    )
    found = {node.label: node for node in chart.nodes}
    assert list(found) == [
        'reddit:a',
        'chat',
        'read',
        'train',
        'validation',
        'near duplicates: near',
        'quality: too short',
    ]
    for node in chart.nodes:
        assert node.height == pytest.approx(node.count * 300 / 200)
        assert node.y >= 0 and node.y + node.height <= chart.height
    assert len(chart.ribbons) == 6


def test_many_sources_are_put_together() -> None:
    sources = {f'reddit:{i:02}': 100 - i for i in range(40)}
    chart = flow_chart.chart(sources, {'train': sum(sources.values())}, {})
    shown = [node for node in chart.nodes if node.kind == 'source']
    assert len(shown) == 10
    assert shown[-1].label == '31 others'
    assert sum(node.count for node in shown) == sum(sources.values())


def test_the_flow_chart_of_a_narrow_screen_has_its_labels_within_its_width() -> None:
    counts = {'chat': 60, 'reddit:a': 140}
    chart = flow_chart.chart(counts, {'train': 200}, {'quality': 0}, narrow=True)
    assert chart.width == 360
    xs = {node.kind: node.x for node in chart.nodes}
    assert xs == {'source': 0, 'read': 173, 'kept': 346}
    pairs = [make_pair(i, source='x' * 50) for i in range(9)]
    page = render({'train': pairs, 'validation': [], 'test': []})
    narrow = page.split('<svg class="flow narrow"')[1].split('</svg>')[0]
    labels = re.findall(r'<text x="([\d.]+)".* text-anchor="(\w+)">([^<]*)', narrow)
    assert [(x, anchor) for x, anchor, _ in labels] == [
        ('0', 'start'),
        ('180.0', 'middle'),
        ('360', 'end'),
    ]
    # 13 pixels a sign are about 7 wide: a label beside another fits half the width.
    assert all(len(label) <= 25 for _, _, label in labels)
    # Below 46rem the narrow chart stands in for the broad one, which is hidden.
    style = page.split('<style>')[1].split('</style>')[0]
    assert '@media (max-width: 46rem) { .flow.broad { display: none; }' in style


def test_sources_are_grouped_by_kind_with_their_sums_and_raw_keys_are_folded() -> None:
    pairs = [make_pair(i, source=f'reddit:forum{i % 33}') for i in range(99)]
    pairs += [make_pair(100 + i, source='chat') for i in range(4)]
    ledger = {
        'pairs': {'read': 120, 'dropped': 17, 'kept': 103},
        'read': {
            'by_source': {f'reddit:forum{i}': 3 for i in range(33)} | {'chat': 21},
            'counts': {'words: answer': 7, 'words: question': 9, 'chat posts': 21},
        },
        'gathered': {'near': {'compared': 450}},
    }
    page = render({'train': pairs, 'validation': [], 'test': []}, ledger=ledger)
    closed = re.sub(r'<details>.*?</details>', '', page, flags=re.DOTALL)
    table = closed.split('<h2>Sources</h2>')[1].split('</table>')[0]
    rows = [
        re.findall(r'>([^<>\n]+)<', row.replace('</span>', ''))
        for row in table.split('<tr')[2:]
    ]
    assert rows[0][:4] == ['reddit ', '(33 sources)', '99', '99']
    assert rows[1][:3] == ['chat', '21', '4']
    assert rows[2][:3] == ['all', '120', '103']
    assert 'forum7' in page and 'forum7' not in table
    assert 'near.compared' in page and 'near.compared' not in closed
    assert '<th dir="auto">words</th><th class="n">16</th>' in page


def test_dropped_pairs_are_written_as_they_come_and_the_clusters_found(
    tmp_path: pathlib.Path,
) -> None:
    rows = [
        {'id': f'd{i}', 'kept_id': f'k{i % 3 and 1}', 'reason': 'near duplicate'}
        for i in range(12)
    ]
    rows.append({'id': 'x', 'kept_id': '', 'reason': 'no answer'})
    tally = dropped_file.write(tmp_path / 'dropped.jsonl', iter(rows))
    assert tally.total == 13
    assert tally.by_reason == {'near duplicate': 12, 'no answer': 1}
    assert tally.clusters == [
        dropped_file.Cluster('k1', 8, ['d1', 'd2', 'd4', 'd5', 'd7', 'd8']),
        dropped_file.Cluster('k0', 4, ['d0', 'd3', 'd6', 'd9']),
    ]
    lines = (tmp_path / 'dropped.jsonl').read_text().splitlines()
    assert lines[0] == '{"id":"d0","kept_id":"k0","reason":"near duplicate"}'
    assert len(lines) == 13


def test_signs_are_counted_as_by_their_definition() -> None:
    rng = random.Random(0)
    for alphabet in ('aZ 1_.,\n', 'aZ ’“1_.—…', 'aé 1²_’.😀\xa0'):
        for _ in range(50):
            sample = ''.join(rng.choices(alphabet, k=40))
            slow = sum(len(each) for each in re.findall(r'(?:[^\w\s]|[\d_])+', sample))
            assert compared_row.num_neither(sample) == slow


def test_the_template_is_compiled_once_and_again_where_nothing_can_be_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    source = jinja2.Environment.compile

    def counted(*args: object, **given: object) -> object:
        compiled.append(1)
        return source(*args, **given)

    monkeypatch.setattr(jinja2.Environment, 'compile', counted)
    folder = tmp_path / '__pycache__'
    name = report_page._TEMPLATE
    (tmp_path / name).write_text((report_page._FOLDER / name).read_text())
    monkeypatch.setattr(report_page, '_FOLDER', tmp_path)
    monkeypatch.setattr(sys, 'dont_write_bytecode', False)

    def page() -> str:
        return render({'train': [], 'validation': [], 'test': []})

    first = page()  # into no folder
    folder.mkdir()
    assert [page(), page(), page()] == [first] * 3
    assert len(compiled) == 2
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    assert page() == first
    assert len(compiled) == 3
