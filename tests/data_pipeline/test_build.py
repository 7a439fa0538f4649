import dataclasses
import itertools
import json
import pathlib
import re
import signal
from collections.abc import Iterator

import forks
import programs
import pytest
from absl import flags

from data_pipeline import build, build_steps, dataset, settings
from data_pipeline.all_pairs import pair_store
from data_pipeline.compared import compared_row, described_pairs, packed_rows
from data_pipeline.preparing import beam_pipeline
from data_pipeline.reading import inputs
from hax_jax import errors, files
from hax_jax.config import convert
from hax_jax.data import dataset_folder, records

ROOT = pathlib.Path(__file__).parents[2]
SAMPLE = ROOT / 'data_pipeline' / 'sample_corpus'
SHARED = ROOT.parent / 'shared' / 'data'


def reddit_markdown(*, first: int, last: int) -> str:
    rule = '=' * 80
    return '\n'.join(
        f'{rule}\n# Reddit Post {number}\n# Score: {number} | Date: 2025-11-17\n'
        f'# URL: https://www.reddit.com/r/relationships/comments/p{number}/title/\n'
        f'{rule}\n\nQUESTION: Title {number}\n\nMy friend number {number} 😀?\n\n'
        f'ANSWER: Talk to friend number {number}.\n\n'
        for number in range(first, last + 1)
    )


def chat_markdown(*, name: str, posts: int) -> str:
    return ''.join(
        f'Topic {number}\nGuest Apr 4, 12:05 p.m.\n'
        f'QUESTION: Question {number} of {name}?\navatar\nCarolyn Hax\n'
        f'Advice Columnist\nANSWER: Answer {number} of {name}.\n'
        'Post has 0 replies and 3 Likes\n3Press Enter to expand\n'
        for number in range(posts)
    )


def write_corpus(folder: pathlib.Path) -> list[str]:
    """38 Reddit posts, 2 of them twice, and 4 chats of 3 pairs; returns patterns."""
    (folder / 'reddit').mkdir(parents=True)
    (folder / 'chats').mkdir()
    (folder / 'reddit' / 'a.md').write_text(reddit_markdown(first=1, last=20))
    (folder / 'reddit' / 'b.md').write_text(reddit_markdown(first=19, last=38))
    for name in ('c1', 'c2', 'c3', 'c4'):
        text = chat_markdown(name=name, posts=3)
        (folder / 'chats' / f'{name}.md').write_text(text)
    return [str(folder / 'chats' / '*.md'), str(folder / 'reddit' / '*.md')]


def test_a_corpus_becomes_a_dataset_whose_ledger_adds_up(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    output = tmp_path / 'all advice'
    manifest = build.build(
        patterns, output=output, validation_share=0.2, test_share=0.1
    )
    counts = {name: split['pairs'] for name, split in manifest['splits'].items()}
    # Of 12 chat pairs 0.2 is 2.4, nearest to a chat of 3; of 38 posts 7.6, so 8.
    # Of 12 chat pairs 0.1 is 1.2, nearest to none; of all 50 pairs 5, so 5 posts.
    assert counts == {'train': 34, 'validation': 11, 'test': 5}
    assert manifest == dataset_folder.read_manifest(output)
    pairs = {name: list(dataset.read_pairs(output, name)) for name in records.SPLITS}
    assert {name: len(part) for name, part in pairs.items()} == counts
    assert [each['file'] for each in manifest['sources']] == [
        'c1.md',
        'c2.md',
        'c3.md',
        'c4.md',
        'a.md',
        'b.md',
    ]
    assert manifest['split_rule']['shares'] == {
        'train': 0.7,
        'validation': 0.2,
        'test': 0.1,
    }

    ledger = json.loads((output / 'ledger.json').read_text())
    assert ledger['pairs'] == {'read': 52, 'dropped': 2, 'kept': 50}
    assert ledger['read']['by_file'] == {
        'c1.md': 3,
        'c2.md': 3,
        'c3.md': 3,
        'c4.md': 3,
        'a.md': 20,
        'b.md': 20,
    }
    assert ledger['dropped'] == {'same id': {'pairs': 2}}
    dropped = (output / 'dropped.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in dropped] == [
        {
            'id': f'reddit:p{number}',
            'kept_id': f'reddit:p{number}',
            'reason': 'same id',
            'source': 'reddit:relationships',
            'question': f'Title {number}\n\nMy friend number {number} 😀?',
            'answer': f'Talk to friend number {number}.',
        }
        for number in (19, 20)
    ]
    assert ledger['kept']['validation'] == {
        'pairs': 11,
        'copies': 0,
        'by_source': {'chat': 3, 'reddit:relationships': 8},
    }
    assert str(tmp_path) not in (output / 'ledger.json').read_text()
    assert str(tmp_path) not in (output / 'manifest.json').read_text()

    printed = capsys.readouterr().out
    for line in (
        'read 52 pairs (12 from chat, 40 from reddit)',
        'dropped 2 pairs\n',
        '         2  exact duplicates: 2 same id\n',
        'kept 50 pairs\n',
        'validation 11 pairs (3 from chat, 8 from reddit)',
        f'wrote {output} (sha256 {manifest["sha256"][:12]})',
        f'{output}/report.html: ',
        f'{output}/ledger.json: ',
        f'{output}/dropped.jsonl: ',
        f"--config.data.path='{output}'",
    ):
        assert line in printed


def test_a_corpus_makes_the_same_dataset_wherever_it_lies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.build(write_corpus(tmp_path / 'here'), output=tmp_path / 'one')
    write_corpus(tmp_path / 'there' / 'below')
    monkeypatch.chdir(tmp_path / 'there')
    build.build(['below/chats/*.md', 'below/reddit/*.md'], output='two')
    for name in ('manifest.json', 'ledger.json'):
        one = (tmp_path / 'one' / name).read_bytes()
        assert (tmp_path / 'there' / 'two' / name).read_bytes() == one


def test_the_sample_corpus_has_both_kinds_in_validation(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'sample'
    manifest = build.build([str(SAMPLE / '*.md')], output=output, validation_share=0.2)
    by_source = manifest['splits']['validation']['by_source']
    assert by_source['chat'] >= 10
    assert sum(by_source.values()) - by_source['chat'] >= 8
    assert manifest['splits']['train']['pairs'] >= 60


def test_real_files_are_built_and_accounted_for(tmp_path: pathlib.Path) -> None:
    if not SHARED.is_dir():
        pytest.skip('the real files are not here: ../shared/data is absent')
    output = tmp_path / 'real'
    manifest = build.build(
        [str(SHARED / 'chats' / '*.md'), str(SHARED / 'reddit' / '*.md')],
        output=output,
        validation_share=0.1,
    )
    ledger = json.loads((output / 'ledger.json').read_text())
    assert ledger['pairs']['read'] >= 100
    kept = sum(split['pairs'] for split in manifest['splits'].values())
    assert ledger['pairs']['read'] == kept + ledger['pairs']['dropped']
    homes: dict[str, str] = {}
    for name in records.SPLITS:
        for pair in dataset.read_pairs(output, name):
            assert homes.setdefault(pair.group, name) == name
    assert set(manifest['splits']['validation']['by_source']) > {'chat'}


@pytest.mark.parametrize(
    ('texts', 'flags', 'message'),
    [
        ({}, {}, "none.md' does not exist"),
        ({'a.md': ''}, {}, 'corpus without pairs'),
        ({'a.md': 'Dear diary,\n'}, {}, 'corpus without pairs'),
        (
            {'a.md': chat_markdown(name='a', posts=4)},
            {},
            '4 pairs in 1 group cannot be split',
        ),
        (
            {'a.jsonl': 9 * '{"question": "Who sings?", "answer": "Tom and I do."}\n'},
            {},
            '1 pair in 1 group (dropped: 8 same id) cannot be split',
        ),
        ({}, {'validation_share': 1.5}, '--validation_share=1.5 is not accepted'),
        ({}, {'validation_share': 0.0}, '--validation_share=0 is not accepted'),
        ({}, {'test_share': -1.0}, '--test_share=-1 is not accepted'),
        ({}, {'test_share': 0.95}, 'leave nothing to train on'),
    ],
)
def test_bad_input_is_named_and_nothing_is_made(
    texts: dict[str, str], flags: dict[str, float], message: str, tmp_path: pathlib.Path
) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.iterdir())
    patterns = [str(tmp_path / name) for name in texts or ['none.md']]
    with pytest.raises(errors.InputError) as caught:
        build.build(patterns, output=tmp_path / 'advice', **flags)
    assert message in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_exists_is_an_error_before_anything_is_read(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(errors.InputError, match='exists already'):
        build.build([str(tmp_path / 'none.md')], output=tmp_path)


def test_a_place_that_is_no_disk_is_refused_and_no_folder_of_its_name_made() -> None:
    for given in (
        ['--output=gs://bucket/advice'],
        ['--output=advice', '--cache=s3://bucket/cache'],
    ):
        done = programs.run('-m', 'data_pipeline.build', '--input=README.md', *given)
        assert done.returncode == 2
        name, _, value = given[-1].partition('=')
        assert f'error: {name}={value.replace("//", "/")} is not a local path' in (
            done.stderr
        )
    assert not (programs.ROOT / 'gs:').exists()


def test_input_inside_the_output_is_never_overwritten(tmp_path: pathlib.Path) -> None:
    patterns = write_corpus(tmp_path / 'advice' / 'chat')
    (tmp_path / 'advice' / 'manifest.json').write_text('{}')
    with pytest.raises(errors.InputError, match='lies in --output='):
        build.build(
            patterns,
            output=tmp_path / 'advice',
            options=build_steps.Options(overwrite=True),
        )
    assert (tmp_path / 'advice' / 'chat' / 'chats' / 'c1.md').is_file()


def test_missing_flags_are_asked_for() -> None:
    for patterns, output in (([], 'advice'), (['a.md'], '')):
        with pytest.raises(errors.InputError, match='give the files with --input='):
            build.build(patterns, output=output)


def test_a_pair_that_is_neither_kept_nor_dropped_is_a_defect(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(rows: list[compared_row.Row]) -> packed_rows.Packed:
        return packed(rows[1:])

    packed = packed_rows.packed
    monkeypatch.setattr(packed_rows, 'packed', forgetful)
    patterns = write_corpus(tmp_path / 'corpus')
    # One pair of each of the six files is lost.
    with pytest.raises(ValueError, match=r'52 pairs were read .* 4[4-6] kept'):
        build.build(patterns, output=tmp_path / 'advice')
    assert not (tmp_path / 'advice').exists()


@pytest.mark.parametrize('num_workers', [2, 3])
def test_any_number_of_workers_makes_the_same_files(
    tmp_path: pathlib.Path, num_workers: int
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    chat = build_steps.Options(chat=True, system='Be kind.', num_workers=1)
    build.build(patterns, output=tmp_path / 'one', options=chat)
    many = dataclasses.replace(chat, num_workers=num_workers)
    build.build(patterns, output=tmp_path / 'many', options=many)
    names = [
        path.relative_to(tmp_path / 'one')
        for path in (tmp_path / 'one').rglob('*')
        if path.is_file() and 'tfds' not in path.parts
    ]
    assert {path.name for path in names} > {
        'manifest.json',
        'report.html',
        'train.jsonl',
    }
    for name in names:
        one = (tmp_path / 'one' / name).read_bytes()
        assert (tmp_path / 'many' / name).read_bytes() == one, name


def test_apache_beam_makes_the_same_records(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('apache_beam', reason='apache-beam is not installed')
    patterns = write_corpus(tmp_path / 'corpus')
    one = build.build(patterns, output=tmp_path / 'one')
    options = build_steps.Options(beam=beam_pipeline.Options())
    other = build.build(patterns, output=tmp_path / 'beam', options=options)
    assert other == one
    for name in ('ledger.json', 'dropped.jsonl', 'report.html'):
        expected = (tmp_path / 'one' / name).read_bytes()
        assert (tmp_path / 'beam' / name).read_bytes() == expected, name
    assert [
        list(dataset.read_pairs(tmp_path / 'beam', name)) for name in records.SPLITS
    ] == [list(dataset.read_pairs(tmp_path / 'one', name)) for name in records.SPLITS]


def test_two_builds_of_one_output_do_not_run_at_once(tmp_path: pathlib.Path) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    with (
        files.work_folder(tmp_path / 'advice'),
        pytest.raises(errors.InputError, match='another program'),
    ):
        build.build(patterns, output=tmp_path / 'advice')
    left = tmp_path / '.advice.work'
    (left / 'spilled').mkdir(parents=True)  # as a build that was killed leaves it
    (left / 'pairs.duckdb').write_text('half')
    build.build(patterns, output=tmp_path / 'advice')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['advice', 'corpus']


def test_the_page_the_terminal_and_the_ledger_have_the_same_counts(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    output = tmp_path / 'advice'
    chosen = settings.Settings(mix=settings.MixSettings(weights=('chat=3',)))
    manifest = build.build(patterns, output=output, chosen=chosen)
    ledger = json.loads((output / 'ledger.json').read_text())
    train = ledger['kept']['train']
    chats = train['by_source']['chat']
    # Three of each chat pair are in train: two of them are copies.
    assert train['copies'] == 2 * chats > 0
    written = {name: split['pairs'] for name, split in manifest['splits'].items()}
    kept = {name: split['pairs'] for name, split in ledger['kept'].items()}
    assert written == {**kept, 'train': kept['train'] + 2 * chats}
    assert sum(kept.values()) == ledger['pairs']['kept'] == 50
    page = (output / 'report.html').read_text()
    tiles = re.findall(r'<div><b>([0-9,]+)</b>([a-z ]+)</div>', page)
    assert {name: int(number) for number, name in tiles} == {
        'pairs read': 52,
        'dropped': 2,
        'kept': 50,
        **kept,
    }
    assert f'Weights add {2 * chats} copies' in page
    printed = capsys.readouterr().out
    assert 'read 52 pairs (' in printed
    assert 'dropped 2 pairs\n' in printed
    assert 'kept 50 pairs\n' in printed
    for name, count in kept.items():
        copies = f', and {2 * chats} copies by weight' if name == 'train' else ''
        assert re.search(rf'  {name} {count} pairs \([^)]*\){copies}\n', printed), name


def test_records_that_the_ledger_does_not_have_are_a_defect(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(
        store: pair_store.PairStore, split: str
    ) -> Iterator[described_pairs.Described]:
        pairs = (pair for some in described(store, split) for pair in some.pairs())
        return described_pairs.of(itertools.islice(pairs, 1, None))

    described = pair_store.PairStore.described
    monkeypatch.setattr(pair_store.PairStore, 'described', forgetful)
    patterns = write_corpus(tmp_path / 'corpus')
    with pytest.raises(ValueError, match=r'4\d records of train were written; the led'):
        build.build(patterns, output=tmp_path / 'advice')
    assert not (tmp_path / 'advice').exists()


def test_the_terminal_gets_one_screen_however_much_there_is(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40):
        text = reddit_markdown(first=10 * number, last=10 * number + 9)
        text = text.replace('/r/relationships/', f'/r/forum_{number}/')
        (tmp_path / f'{number}.md').write_text(text)
        (tmp_path / f'empty {number}.md').write_text('')
    build.build([str(tmp_path / '*.md')], output=tmp_path / 'out' / 'advice')
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    sources = next(line for line in lines if 'pairs by source' in line)
    assert sources.endswith(' and 36 more')
    (warning,) = (line for line in lines if line.startswith('warning'))
    assert warning.endswith('empty 0.md is empty. (39 more like this)')


def test_a_source_that_no_input_has_is_known_before_anything_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.csv'
    path.write_text('question,answer\nWhy?,Because it is.\n')
    mix = settings.MixSettings(caps=('pears=20',))
    monkeypatch.setattr(build_steps, '_prepared', lambda *_, **__: pytest.fail('read'))
    for fields, names in (
        ((), 'csv'),
        (('question=question, answer=answer, source="my own"',), 'my own'),
    ):
        with pytest.raises(errors.InputError, match=f'the sources are {names}.'):
            build.build(
                [str(path)],
                output=tmp_path / 'made',
                chosen=settings.Settings(mix=mix),
                options=build_steps.Options(fields=fields),
            )


def test_what_took_the_pairs_away_is_named_where_none_are_left(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_text('{"question": "Who sings?", "answer": "Tom and I do."}\n')
    with pytest.raises(errors.InputError, match='dropped: 1 over the cap of pairs'):
        build.build(
            [str(path)],
            output=tmp_path / 'made',
            chosen=settings.Settings(mix=settings.MixSettings(caps=('pairs=0',))),
        )


def test_sources_that_rows_or_pages_tell_are_not_guessed(
    tmp_path: pathlib.Path,
) -> None:
    texts = {
        'a.md': 'QUESTION: Why?\nANSWER: So.\n',
        'b.jsonl': '{"question": "Why?", "answer": "So.", "source": "x"}\n',
        'c.jsonl': '{"messages": []}\n',
        'd.csv': 'question,answer\nWhy?,So.\n',
        'e.jsonl': '{"q": "Why?", "a": "So."}\n',  # its next row may name a source
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = [inputs.sources(inputs.find([str(tmp_path / name)])) for name in texts]
    assert found == [None, None, None, {'csv'}, None]
    assert inputs.sources(inputs.find([str(tmp_path / '[ad].*')])) is None


def test_caps_weights_and_a_strict_overlap_come_from_flags(
    tmp_path: pathlib.Path,
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    chosen = settings.Settings(
        mix=settings.MixSettings(caps=('reddit=20',), weights=('chat=2',))
    )
    manifest = build.build(patterns, output=tmp_path / 'advice', chosen=chosen)
    by_source = [split['by_source'] for split in manifest['splits'].values()]
    assert sum(each.get('reddit:relationships', 0) for each in by_source) == 20
    assert manifest['splits']['train']['by_source']['chat'] % 2 == 0
    ledger = json.loads((tmp_path / 'advice' / 'ledger.json').read_text())
    assert ledger['dropped']['over the cap of reddit'] == {'pairs': 18}
    weighed = ledger['gathered']['train_by_weight']['chat']
    assert weighed['after'] == 2 * weighed['before'] > 0


def test_merged_copies_of_chats_leave_their_weight_and_none_of_their_residue(
    tmp_path: pathlib.Path,
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    tails = ('\n1125', '\nand', '\nThe Ladder of My Brother', '\n12\n\nRe: ladders')
    merged = ''.join(
        f'QUESTION: Question {number} of {name}?\n\n'
        f'ANSWER: <p>Answer {number} of {name}.</p>{tails[number]}\n\n'
        for name in ('c1', 'c2', 'c3', 'c4')
        for number in range(3)
    )
    (tmp_path / 'm.md').write_text(merged + 'OVERSAMPLE_WEIGHT: 3 <END_OF_SET>\n')
    output = tmp_path / 'advice'
    build.build([*patterns, str(tmp_path / 'm.md')], output=output)
    pairs = [
        pair
        for name in records.SPLITS
        for pair in dataset.read_pairs(output, name)
        if '#' not in pair.id and not pair.source.startswith('reddit')
    ]
    assert sorted(pair.answer for pair in pairs) == [
        f'Answer {number} of {name}.'
        for number in range(3)
        for name in ('c1', 'c2', 'c3', 'c4')
    ]
    assert {(pair.source, pair.weight) for pair in pairs} == {('chat', 3.0)}
    ledger = json.loads((output / 'ledger.json').read_text())
    (row,) = [r for r in ledger['stages'] if r['stage'] == 'weights of duplicates']
    assert row['changed']['highest weight of its duplicates']['pairs'] == 12
    copies = [p.id for p in dataset.read_pairs(output, 'train') if p.id.endswith('#3')]
    assert len(copies) >= 6  # all of train's chats


def test_every_stage_is_in_the_ledger_with_what_it_dropped_and_changed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reddit_markdown(first=1, last=24)
    text = text.replace(
        'Talk to friend number 3.', '[this](https://a.org) *really helps*'
    )
    text = text.replace('Talk to friend number 4.', 'https://a.org/b')
    text = text.replace('Talk to friend number 5.', 'Ask u/ann_b, 202-456-1111, now.')
    (tmp_path / 'a.md').write_text(text)
    manifest = build.build([str(tmp_path / 'a.md')], output=tmp_path / 'advice')
    ledger = json.loads((tmp_path / 'advice' / 'ledger.json').read_text())
    rows = {row['stage']: row for row in ledger['stages']}
    assert list(rows) == [
        'clean',
        'personal data',
        'quality',
        'quotes',
        'exact duplicates',
        'near duplicates',
        'weights of duplicates',
        'weights',
    ]
    counts = [(row['in'], row['out']) for row in ledger['stages']]
    assert counts == [(24, 24), (24, 24), (24, 23), *[(23, 23)] * 5]
    assert rows['clean']['changed']['Markdown made plain text']['pairs'] == 1
    assert {
        name: row['pairs'] for name, row in rows['personal data']['changed'].items()
    } == {'links to [URL]': 1, 'phone numbers to [PHONE]': 1, 'user names to [USER]': 1}
    assert ledger['dropped'] == {'quality: answer of links alone': {'pairs': 1}}
    assert json.loads((tmp_path / 'advice' / 'dropped.jsonl').read_text()) == {
        'id': 'reddit:p4',
        'kept_id': '',
        'reason': 'quality: answer of links alone',
        'source': 'reddit:relationships',
        'question': 'Title 4\n\nMy friend number 4 😀?',
        'answer': '[URL]',
    }
    expected = convert.to_dict(settings.Settings())
    del expected['preferences']  # of --preferences alone
    assert ledger['settings'] == expected
    answers = {
        pair.id: pair.answer
        for name in records.SPLITS
        for pair in dataset.read_pairs(tmp_path / 'advice', name)
    }
    assert answers['reddit:p3'] == 'this really helps'
    assert answers['reddit:p5'] == 'Ask [USER], [PHONE], now.'
    assert len(answers) == sum(each['pairs'] for each in manifest['splits'].values())
    printed = capsys.readouterr().out
    assert '         1  quality: 1 answer of links alone\n' in printed
    assert '         1  clean: 1 Markdown made plain text\n' in printed
    said = '1 link to [URL], 1 phone number to [PHONE], 1 user name to [USER]'
    assert said in printed


def test_the_program_takes_the_default_config_and_its_overrides(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'a.md').write_text(reddit_markdown(first=1, last=24))
    done = forks.run(
        '-m',
        'data_pipeline.build',
        f'--input={tmp_path / "a.md"}',
        f'--output={tmp_path / "advice"}',
        '--config.quality.min_score=5',
        '--config.quality.languages=',
        '--config.mix.weights=reddit=2,reddit:relationships=3',
    )
    assert done.returncode == 0, done.stderr
    assert '  quality: 4 score under 5\n' in done.stdout
    ledger = json.loads((tmp_path / 'advice' / 'ledger.json').read_text())
    assert ledger['settings']['quality']['languages'] == []
    weights = ledger['settings']['mix']['weights']
    assert weights == ['reddit=2', 'reddit:relationships=3']


def test_rules_that_drop_every_pair_are_named(tmp_path: pathlib.Path) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    chosen = settings.Settings(quality=settings.QualitySettings(min_answer_tokens=5000))
    with pytest.raises(errors.InputError, match=r'no pair is left: 52 quality: ans'):
        build.build(patterns, output=tmp_path / 'advice', chosen=chosen)


def test_a_least_score_is_asked_of_reddit_and_who_it_spares_is_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    chosen = settings.Settings(quality=settings.QualitySettings(min_score=5))
    build.build(patterns, output=tmp_path / 'advice', chosen=chosen)
    printed = capsys.readouterr().out
    assert 'min_score is asked of Reddit alone, not of 12 pairs' in printed


def test_every_wrong_override_is_named_at_once(tmp_path: pathlib.Path) -> None:
    done = forks.run(
        '-m',
        'data_pipeline.build',
        '--input=a.md',
        f'--output={tmp_path / "advice"}',
        '--config.quality.min_skore=5',
        '--config.quality.max_repetition=high',
        '--config.duplicates.threshold=2',
    )
    assert done.returncode == 2
    for problem in (
        'did you mean quality.min_score?',
        "quality.max_repetition='high' is not accepted; use a number",
        'duplicates.threshold=2.0 is not accepted',
    ):
        assert problem in done.stderr


def test_the_shipped_config_is_what_is_done_without_one() -> None:
    argv = build.CONFIG.check(['build'], values=flags.FlagValues())
    assert argv == ['build', f'--config={ROOT / "configs" / "data" / "advice.py"}']
    draft = build.CONFIG.load(argv[1].removeprefix('--config='))
    assert convert.freeze(draft, settings.Settings) == settings.Settings()


def test_the_program_prints_one_error_and_exits_with_2(tmp_path: pathlib.Path) -> None:
    done = forks.run(
        '-m',
        'data_pipeline.build',
        f'--input={tmp_path / "*.md"}',
        f'--output={tmp_path / "advice"}',
    )
    assert done.returncode == 2
    assert done.stderr.startswith('error: ')
    assert 'matches no file' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_build_that_is_killed_leaves_no_dataset(tmp_path: pathlib.Path) -> None:
    patterns = write_corpus(tmp_path / 'corpus')
    output = tmp_path / 'advice'
    # A stand-in for the writer kills the program in the middle of the write.
    code = (
        'import os, signal\n'
        'def kill(folder, splits):\n'
        '    (folder / "tfds").mkdir()\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
        'from data_pipeline import build\n'
        'from data_pipeline.writing import tfds_files\n'
        'tfds_files.write = kill\n'
        f'build.build({patterns!r}, output={str(output)!r})\n'
    )
    done = programs.run('-c', code)
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    build.build(patterns, output=output)
    assert dataset_folder.read_manifest(output)['splits']['train']['pairs']


def test_lines_that_are_left_out_are_shown_with_their_places(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [
        f'{{"question": "Why {i}?", "answer": "Because it is {i}."}}' for i in '123'
    ]
    path = tmp_path / 'a.jsonl'
    path.write_text('\n'.join([*good, *['{"question": "Why'] * 5, '']))
    build.build([str(path)], output=tmp_path / 'made')
    lines = [x for x in capsys.readouterr().out.splitlines() if 'unknown line:' in x]
    assert [line.split(' {')[0] for line in lines[:3]] == [
        f'unknown line: {path}:{number}:' for number in (4, 5, 6)
    ]
    assert lines[3:] == ['unknown line: 2 more, in ledger.json']
    held = json.loads((tmp_path / 'made' / 'ledger.json').read_text())['read']
    assert len(held['unknown_lines']) == 5
