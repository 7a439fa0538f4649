"""Preference pairs through a whole build: what they are, their splits, their files."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from data_pipeline import build, build_ledger, build_steps, dataset, settings
from data_pipeline.preferences import preference_files
from data_pipeline.reading import inputs, read_report, reader
from data_pipeline.rows import preferred, raw_thread
from hax_jax import digests
from hax_jax.data import dataset_folder, records, text

NOUNS = ['lamp', 'boat', 'drum', 'fence', 'candle', 'orchard', 'violin', 'ladder']
OLD, NEW = 1_700_000_000, 1_700_009_000
SPANISH = (
    'Mi hermana no quiere venderlo porque lo necesita mucho en el campo. Puedes '
    'preguntarle mañana por la tarde, cuando vuelva del trabajo con sus hijos.'
)
ROOT = pathlib.Path(__file__).parents[2]
TRL = pathlib.Path(__file__).parent / 'preferences' / 'one_dpo_step.py'


def thread(number: int, **fields: Any) -> raw_thread.RawThread:
    """A post with a poor answer, a better one, a removed one and one of a link."""
    noun = f'{NOUNS[number % 8]} {number}'
    answers = [
        (f'Ask your sister where the {noun} went.', 4, 0, OLD),
        (f'<p>Look behind the {noun} &amp; write to ann@example.com.</p>', 9, 0, NEW),
        ('[removed]', 90, 0, NEW),
        ('https://example.com/a', 95, 0, NEW),
        (f'No reply of the {noun} is an answer.', 99, 1, NEW),
    ]
    values = {
        'id': f'p{number}',
        'source': 'made up',
        'subreddit': 'advice',
        'title': f'Who took the {noun} away from us?',
        'body': '',
        'flair': '',
        'score': 5,
        'num_comments': 5,
        'created_utc': OLD,
        'url': '',
        'answers': tuple(
            raw_thread.RawAnswer(f'c{number}{i}', body, score, depth, at)
            for i, (body, score, depth, at) in enumerate(answers)
        ),
    }
    return raw_thread.RawThread(**{**values, **fields})


def row(number: int) -> dict[str, Any]:
    noun = f'{NOUNS[number % 8]} of row {number}'
    return {
        'prompt': f'What does a {noun} cost?',
        'chosen': f'ANSWER: Three coins for the {noun}.',
        'rejected': f'Nobody sells the {noun}.',
        'score_chosen': 8.5,
        'score_rejected': 3,
    }


def write_threads(path: pathlib.Path, number: int = 40) -> pathlib.Path:
    lines = [raw_thread.to_line(thread(i)) + '\n' for i in range(number)]
    path.write_text(''.join(lines), encoding='utf-8')
    return path


def write_rows(path: pathlib.Path, rows: list[dict[str, Any]]) -> pathlib.Path:
    path.write_text(''.join(json.dumps(each) + '\n' for each in rows))
    return path


def made(
    output: pathlib.Path,
    *inputs: pathlib.Path,
    chosen: settings.Settings = settings.Settings(),  # noqa: B008
    **options: Any,
) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split of the preferences of a new dataset."""
    options = {'preferences': True, **options}
    build.build(
        [str(each) for each in inputs],
        output=output,
        validation_share=0.2,
        test_share=0.2,
        chosen=chosen,
        options=build_steps.Options(**options),
    )
    return preferences(output)


def preferences(output: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    folder = output / preference_files.FOLDER
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob('*.jsonl')
    }


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Threads and rows, built by one worker, by two, and without preferences."""
    root = tmp_path_factory.mktemp('preferences')
    threads = write_threads(root / 'threads.jsonl')
    rows = write_rows(root / 'rows.jsonl', [row(i) for i in range(20)])
    cache = root / 'cache'
    made(root / 'one', threads, rows, num_workers=1, cache=cache)
    made(root / 'again', threads, rows, num_workers=1, cache=cache)
    made(root / 'two', threads, rows, num_workers=2)
    made(root / 'off', threads, rows, preferences=False)
    return root


def test_threads_and_rows_give_their_pairs_cleaned(built: pathlib.Path) -> None:
    found = [each for rows in preferences(built / 'one').values() for each in rows]
    by_group = {each['group']: each for each in found}
    assert len(found) == len(by_group) == 60
    assert by_group['reddit:p9'] == {
        'prompt': 'QUESTION:\nWho took the boat 9 away from us?\n\nANSWER:\n',
        'chosen': 'Look behind the boat 9 & write to [EMAIL].',
        'rejected': 'Ask your sister where the boat 9 went.',
        'score_chosen': 9,
        'score_rejected': 4,
        'source': 'reddit:advice',
        'group': 'reddit:p9',
        'id_chosen': 'reddit:p9/c91',
        'id_rejected': 'reddit:p9',
    }
    (of_row,) = (each for each in found if 'a fence of row 3 c' in each['prompt'])
    assert of_row['chosen'] == 'Three coins for the fence of row 3.'
    assert of_row['rejected'] == 'Nobody sells the fence of row 3.'
    assert (of_row['score_chosen'], of_row['score_rejected']) == (8.5, 3)
    account = json.loads((built / 'one' / 'ledger.json').read_text())['preferences']
    # The removed answer and the link beat the older one.
    assert account['dropped'] == {
        'better answer: quality: answer of links alone': 40,
        'better answer: read: removed answers': 40,
    }
    assert account['without_votes'] == 40  # replies to a comment
    assert account['found'] == 60 + 80


def test_a_question_is_in_one_split_of_pairs_and_preferences(
    built: pathlib.Path,
) -> None:
    asked: dict[str, set[str]] = collections.defaultdict(set)
    for split in records.SPLITS:
        for pair in dataset.read_pairs(built / 'one', split):
            asked[f'{text.HEAD}{pair.question}{text.TAIL}'].add(split)
    found = preferences(built / 'one')
    assert all(found[split] for split in records.SPLITS)
    for split, rows in found.items():
        for each in rows:
            asked[each['prompt']].add(split)
    assert all(len(splits) == 1 for splits in asked.values())


def test_workers_and_the_cache_change_no_byte(built: pathlib.Path) -> None:
    one = built / 'one'
    folder = one / preference_files.FOLDER
    names = ['manifest.json', 'ledger.json', 'report.html']
    names += [f'{folder.name}/{path.name}' for path in folder.iterdir()]
    assert len(names) == 8
    for name in names:
        for other in ('two', 'again'):
            assert (built / other / name).read_bytes() == (one / name).read_bytes()


def test_without_the_flag_the_dataset_is_the_same_and_has_none(
    built: pathlib.Path,
) -> None:
    with_, without = built / 'one', built / 'off'
    files = {each: digests.of_folder(each) for each in (with_, without)}
    folder = preference_files.FOLDER
    assert not any(name.startswith(folder) for name in files[without])
    differ = {n for n in files[without] if files[without][n] != files[with_][n]}
    # These name the preferences, and the reader's own count of rejected answers.
    assert differ == {'manifest.json', 'ledger.json', 'report.html'}
    manifests = [dataset_folder.read_manifest(each) for each in (with_, without)]
    entries = manifests[0].pop('preferences')
    for each in manifests:
        del each[digests.SEAL]
    assert manifests[0] == manifests[1]
    ledgers = [json.loads((each / 'ledger.json').read_text()) for each in files]
    del ledgers[0]['preferences']
    for each in ledgers:
        assert 'preferences' not in each['settings']
        del each['read']['counts']
    assert ledgers[0] == ledgers[1]
    assert 'preference' not in (without / 'report.html').read_text().lower()
    for split, entry in entries.items():
        data = (with_ / folder / f'{split}.jsonl').read_bytes()
        assert entry == {
            'pairs': data.count(b'\n'),
            'sha256': hashlib.sha256(data).hexdigest(),
        }
        assert entry['sha256'] in (with_ / folder / 'SHA256SUMS').read_text()


def test_counts_are_on_the_page_the_card_and_the_console(
    built: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (built / 'one' / 'report.html').read_text()
    assert '<p>140 were found among 240 answers to 60 questions;' in page
    card = (built / 'one' / preference_files.FOLDER / 'README.md').read_text()
    assert '| better answer: read: removed answers | 40 |' in card
    assert '\n  - split: validation\n    path: validation.jsonl\n' in card
    threads = write_threads(tmp_path / 'threads.jsonl')
    made(tmp_path / 'made', threads, cache=None)
    said = capsys.readouterr().out
    assert 'preferences: 40 pairs of 200 answers to 40 questions\n' in said
    assert 'dropped: 40 better answer: quality: answer of links alone, 40' in said
    assert 'note: 40 answers have no votes of their own (or answer a comment)' in said
    assert f'{tmp_path / "made" / "preferences"}: preference pairs, and a card' in said


def test_the_screen_names_the_layout_of_comparisons_and_counts_questions(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {'post_id': f'p{i}', 'history': f'Who took the {noun} away from us all?',
         'human_ref_A': f'Ask your sister for the {noun}, {k}.',
         'human_ref_B': f'Nobody knows about any {noun}, {k}.', 'labels': 1}
        for i, noun in enumerate(NOUNS) for k in ('Ann', 'Tom')
    ]  # fmt: skip
    path = write_rows(tmp_path / 'shp.jsonl', rows)
    found = made(
        tmp_path / 'a',
        path,
        chosen=settings.Settings(preferences=settings.PreferenceSettings(ratio=3.0)),
    )
    assert sum(map(len, found.values())) == 16
    said = capsys.readouterr().out
    assert (
        f'comparisons in {path} as in SHP: the better of human_ref_A and human_ref_B '
        'is the one that labels names\n'
    ) in said
    assert 'fields of' not in said  # 'prompt' and 'chosen' are no columns of the file
    assert 'preferences: 16 pairs of 32 answers to 8 questions\n' in said
    assert (
        'note: preferences.ratio=3 is asked of votes alone: it has no effect on 32 '
        'answers whose rows name the better one, or rank or rate them.\n'
    ) in said
    # --fields that name own columns compare nothing, and the folder is empty.
    made(tmp_path / 'b', path, fields=('question=history, answer=human_ref_A',))
    said = capsys.readouterr().out
    assert 'comparisons in' not in said
    assert (
        f'note: --fields makes one plain pair of each row of {path}, without asking '
        'which answer is the better, and no preference comes of them. Without '
        '--fields they are read as in SHP: the better of human_ref_A and human_ref_B '
        'is the one that labels names.\n'
    ) in said
    assert 'has no effect on' not in said
    assert 'preference pairs, and a card' not in said


@pytest.mark.parametrize(
    ('row', 'layout'),
    [
        ({'chosen': '\n\nHuman: a\n\nAssistant: b', 'rejected': ''}, 'HH-RLHF: chosen'),
        ({'prompt': '\n\nHuman: a\n\nAssistant:', 'chosen': 'b', 'rejected': 'c'},
         'HH-RLHF: chosen'),
        ({'prompt': 'a', 'chosen': 'b', 'rejected': 'c'}, 'TRL: chosen is the better'),
        ({'Prompt': 'a', 'Chosen': 'b', 'Rejected': 'c'}, 'TRL: chosen is the better'),
        ({'completions': [{'response': 'a', 'overall_score': 1},
                          {'response': 'b', 'overall_score': 2}]}, 'UltraFeedback: '),
        ({'answers': [{'answer': 'a', 'rank': 1}, {'answer': 'b', 'rank': 2}]},
         'Nectar: the best of answers is the one of the best rank'),
        ({'response_0': '', 'response_1': '', 'better_response_id': 0}, 'PKU-SafeRLHF'),
        ({'question': 'a', 'answers': [{'text': 'b', 'score': 2}]}, ''),
    ],
)  # fmt: skip
def test_each_known_layout_of_comparisons_has_its_name(
    row: dict[str, Any], layout: str
) -> None:
    assert preferred.layout(row).startswith(layout)
    assert bool(preferred.layout(row)) == bool(layout)


TURNS = [
    {'role': 'user', 'content': 'Who sings at night?'},
    {'role': 'assistant', 'content': 'Tom does, and loudly.'},
    {'role': 'user', 'content': 'What shall I do now?'},
]
BETTER = {'role': 'assistant', 'content': 'Ask him to stop at ten.'}
WORSE = {'role': 'assistant', 'content': 'You could move house.'}


def talk(number: int, text_: str) -> str:
    return f'{text_} ({number} {NOUNS[number % 8]})'


def numbered(value: Any, number: int) -> Any:
    """The value with its texts told apart by a number."""
    if isinstance(value, list):
        return [numbered(each, number) for each in value]
    if isinstance(value, str):
        return talk(number, value)
    return {**value, 'content': talk(number, value['content'])}


def as_text(turns: list[dict[str, str]], number: int) -> str:
    roles = {'user': 'Human', 'assistant': 'Assistant'}
    return ''.join(
        f'\n\n{roles[each["role"]]}: {talk(number, each["content"])}' for each in turns
    )


_SLOW_FORMS = ('no prompt', 'OpenAI', 'ShareGPT', 'ms-swift')


@pytest.mark.parametrize(
    'form',
    [
        'TRL',
        'HH',
        *(pytest.param(form, marks=pytest.mark.slow) for form in _SLOW_FORMS),
    ],
)
def test_conversations_give_messages(form: str, tmp_path: pathlib.Path) -> None:
    def made_of(i: int) -> dict[str, Any]:
        asked, good, bad = (numbered(each, i) for each in (TURNS, [BETTER], [WORSE]))
        return {
            'TRL': {'prompt': asked, 'chosen': good, 'rejected': bad},
            'no prompt': {'chosen': asked + good, 'rejected': asked + bad},
            'HH': {
                'chosen': as_text([*TURNS, BETTER], i),
                'rejected': as_text([*TURNS, WORSE], i),
            },
            'ms-swift': {
                'messages': asked + good,
                'rejected_response': bad[0]['content'],
            },
            'OpenAI': {
                'input': {'messages': asked},
                'preferred_output': good,
                'non_preferred_output': bad,
            },
            'ShareGPT': {
                'conversations': [
                    {'from': each['role'], 'value': each['content']} for each in asked
                ],
                'chosen': {'from': 'gpt', 'value': good[0]['content']},
                'rejected': {'from': 'gpt', 'value': bad[0]['content']},
            },
        }[form]

    rows = [made_of(i) for i in range(9)]
    # A row that is no conversation is a message of its own where others are.
    rows.append(
        {'prompt': 'Who pays?', 'chosen': 'Tom did so.', 'rejected': 'Not I, said Ann.'}
    )
    found = made(tmp_path / 'made', write_rows(tmp_path / 'a.jsonl', rows))
    by_prompt = {str(each['prompt']): each for part in found.values() for each in part}
    assert len(by_prompt) == 10
    for i in range(9):
        each = by_prompt[str(numbered(TURNS, i))]
        assert each['chosen'] == numbered([BETTER], i)
        assert each['rejected'] == numbered([WORSE], i)
    each = by_prompt[str([{'role': 'user', 'content': 'Who pays?'}])]
    assert each['rejected'] == [{'role': 'assistant', 'content': 'Not I, said Ann.'}]


def test_rows_that_judge_their_answers_need_no_votes(tmp_path: pathlib.Path) -> None:
    def row(i: int) -> dict[str, Any]:
        asked = f'What does the {NOUNS[i % 8]} of {i} cost?'
        good, bad = f'It costs {i} coins, I hear.', f'Nobody sells number {i} here.'
        worst = f'I would not tell you, {i}.'
        return [
            {'history': asked, 'human_ref_A': bad, 'human_ref_B': good, 'labels': 0,
             'score_A': 5, 'score_B': 6, 'post_id': f'p{i}'},
            {'instruction': asked, 'completions': [
                {'response': bad, 'overall_score': 5}, {'response': good,
                 'overall_score': '6'}, {'response': worst, 'overall_score': 5}]},
            {'prompt': f'\n\nHuman: {asked}\n\nAssistant: ', 'answers': [
                {'answer': bad, 'rank': 2}, {'answer': good, 'rank': 1},
                {'answer': worst, 'rank': 3}]},
        ][i % 3]  # fmt: skip

    paths = [
        write_rows(tmp_path / f'{kind}.jsonl', [row(i) for i in range(kind, 12, 3)])
        for kind in range(3)
    ]
    found = [each for part in made(tmp_path / 'a', *paths).values() for each in part]
    by_number: dict[int, list[dict[str, Any]]] = collections.defaultdict(list)
    for each in found:
        by_number[int(each['prompt'][0]['content'].split()[5])].append(each)
    for i in range(12):
        worse = [f'Nobody sells number {i} here.', f'I would not tell you, {i}.']
        made_of = by_number[i]
        assert {each['chosen'][0]['content'] for each in made_of} == {
            f'It costs {i} coins, I hear.'
        }
        assert [each['rejected'][0]['content'] for each in made_of] == (
            worse[:1] if i % 3 == 0 else worse
        )
        scores = [(each['score_chosen'], each['score_rejected']) for each in made_of]
        expected = [[(6, 5)], [(6, 5)] * 2, [(None, None)] * 2][i % 3]
        assert scores == expected


def test_rows_of_one_answer_to_the_same_question_are_compared(
    tmp_path: pathlib.Path,
) -> None:
    def rows(i: int) -> list[dict[str, Any]]:
        asked = f'Who feeds the {NOUNS[i % 8]} in winter {i}?'
        return [
            {'question': asked, 'answer': f'{text_} {i}.', 'score': score,
             'time': time, 'question_id': i}
            for text_, score, time in (
                ('Tom feeds it daily', 9, NEW),
                ('Nobody ever will', 2, OLD),
                ('I do it at times', 8, NEW),
                ('Ann did it once', 40, OLD),  # came first
            )
        ]  # fmt: skip

    path = write_rows(tmp_path / 'a.jsonl', [r for i in range(6) for r in rows(i)])
    found = [each for part in made(tmp_path / 'a', path).values() for each in part]
    assert collections.Counter(
        (each['chosen'][:-3], each['rejected'][:-3], each['score_chosen'])
        for each in found
    ) == {
        ('Tom feeds it daily', 'Nobody ever will', 9): 6,
        ('I do it at times', 'Nobody ever will', 8): 6,
    }


def test_equal_short_questions_are_in_one_split_each(tmp_path: pathlib.Path) -> None:
    for form in ('scores', 'chosen', 'scores and ids'):
        rows: list[dict[str, Any]] = []
        for i in range(60):
            asked = f'Who has the {NOUNS[i % 8]} {i}?'
            answers = [f'{who} took it in week {i}{k}.' for k, who in enumerate(
                ('Tom', 'Ann', 'Nobody we know'))]  # fmt: skip
            if form != 'chosen':
                rows += [{'question': asked, 'answer': each, 'score': 3 ** k}
                         for k, each in enumerate(answers)]  # fmt: skip
            else:
                rows += [{'prompt': asked, 'chosen': answers[-1], 'rejected': each}
                         for each in answers[:-1]]  # fmt: skip
        if form == 'scores and ids':
            rows = [{**each, 'id': i} for i, each in enumerate(rows)]
        path = write_rows(tmp_path / f'{form}.jsonl', rows)
        alone = settings.Settings(preferences=settings.PreferenceSettings(later=False))
        found = made(tmp_path / form, path, chosen=alone)
        account = json.loads((tmp_path / form / 'ledger.json').read_text())
        assert account['preferences']['dropped'] == {}
        assert sum(map(len, found.values())) == (120 if form == 'chosen' else 180)
        homes = collections.defaultdict(set)
        for name, some in found.items():
            for each in some:
                homes[each['prompt']].add(name)
        assert {len(each) for each in homes.values()} == {1}


def test_comparisons_among_rows_of_scored_answers_are_read(
    tmp_path: pathlib.Path,
) -> None:
    scored = [
        {
            'question': f'Who feeds the {NOUNS[i % 8]} in winter {i}?',
            'answers': [
                {'text': f'Nobody ever will {i}.', 'score': 2},
                {'text': f'Tom feeds it daily {i}.', 'score': 9},
            ],
        }
        for i in range(6)
    ]
    path = write_rows(tmp_path / 'a.jsonl', [*scored, *map(row, range(6))])
    alone = settings.Settings(preferences=settings.PreferenceSettings(later=False))
    found = made(tmp_path / 'a', path, chosen=alone)
    assert sum(map(len, found.values())) == 12


def test_scored_answers_of_a_row_are_compared(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(i: int) -> str:
        return f'Who feeds the {NOUNS[i % 8]} in winter {i}?'

    answers = ('Tom feeds it daily.', 'Nobody ever will.', 'I do it at times.')
    rows = [
        {'question': asked(i), 'answers': {
            'text': [f'{each} {i}' for each in answers],
            'score': [9, 2, '3'],
            'created_at': ['2024-03-02T10:00:00Z', '2024-03-01', '2024-03-01'],
        }}
        for i in range(8)
    ]  # fmt: skip
    rows += [
        {'question': asked(i), 'answers': [
            {'text': f'{each} {i}', 'pm_score': score}
            for each, score in zip(answers, (9, 2, 3), strict=True)]}
        for i in range(8, 12)
    ]  # fmt: skip
    path = write_rows(tmp_path / 'a.jsonl', rows)
    found = [each for part in made(tmp_path / 'a', path).values() for each in part]
    assert collections.Counter(each['prompt'] for each in found) == dict.fromkeys(
        (f'{text.HEAD}{asked(i)}{text.TAIL}' for i in range(8)), 2
    )
    assert {each['chosen'][:3] for each in found} == {'Tom'}
    assert '12 answers have votes and no time' in capsys.readouterr().out
    alone = settings.Settings(preferences=settings.PreferenceSettings(later=False))
    found = made(tmp_path / 'b', path, chosen=alone)
    assert sum(map(len, found.values())) == 24


def test_the_best_reply_of_a_tree_is_preferred_to_each_other_one(
    tmp_path: pathlib.Path,
) -> None:
    def tree(i: int) -> dict[str, Any]:
        (first, answer, then), (good,), (bad,) = (
            numbered(each, i) for each in (TURNS, [BETTER], [WORSE])
        )

        def node(turn: dict[str, str], *replies: Any, **fields: Any) -> dict[str, Any]:
            role = {'user': 'prompter'}.get(turn['role'], turn['role'])
            made = {'role': role, 'text': turn['content'], 'replies': list(replies)}
            return {**made, **fields}

        unranked = {'role': 'assistant', 'content': f'Nobody sings here at all {i}.'}
        worst = {'role': 'assistant', 'content': f'You dreamt of singers {i}.'}
        asked = node(then, node(bad, rank=1), node(good, rank=0))
        path = (node(worst, rank=2), node(answer, asked, rank=1), node(unranked))
        return {'message_tree_id': str(i), 'prompt': node(first, *path)}

    path = write_rows(tmp_path / 'a.jsonl', [tree(i) for i in range(8)])
    found = [each for part in made(tmp_path / 'a', path).values() for each in part]
    assert len(found) == 16
    pairs = {
        (each['prompt'][-1]['content'], len(each['prompt'])): (
            each['chosen'][0]['content'],
            each['rejected'][0]['content'],
        )
        for each in found
    }
    assert pairs[talk(3, 'What shall I do now?'), 3] == (
        talk(3, 'Ask him to stop at ten.'),
        talk(3, 'You could move house.'),
    )
    assert pairs[talk(3, 'Who sings at night?'), 1] == (
        talk(3, 'Tom does, and loudly.'),
        'You dreamt of singers 3.',
    )


def test_damaged_and_one_sided_rows_are_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(i) for i in range(10)]
    rows += [
        {**row(10), 'rejected': None},  # a pair, and no preference
        {**row(11), 'rejected': ''},
        {**row(12), 'rejected': 'No.'},
        {**row(13), 'rejected': {'score': 5}},
        {**row(14), 'rejected': row(14)['chosen'].removeprefix('ANSWER: ')},
        {**row(15), 'chosen': ''},
        {**row(16), 'rejected': ['Nobody has it.', 'Someone has it?']},
        {**row(17), 'rejected': SPANISH},
        {**row(18), 'rejected': ''},
    ]
    path = write_rows(tmp_path / 'a.jsonl', rows)
    found = made(tmp_path / 'a', path)
    account = json.loads((tmp_path / 'a' / 'ledger.json').read_text())['preferences']
    assert account['dropped'] == {
        'better answer: read: pairs rows without answer': 1,
        'both answers are equal': 1,
        'worse answer: quality: answer in another language than en': 1,
        'worse answer: quality: answer under 3 words': 1,
        "worse answer: read: 'chosen' is a dict, not a text": 1,
    }
    assert sum(map(len, found.values())) == 12
    said = capsys.readouterr().out
    assert 'rows: 3 whose rejected answer is empty: no preference' in said
    plain = [{'question': f'Who is {n}?', 'answer': f'A {n} it is.'} for n in NOUNS]
    made(tmp_path / 'b', write_rows(tmp_path / 'b.jsonl', plain))
    said = capsys.readouterr().out
    assert 'no preference pair was found: --preferences needs several answers' in said
    entries = dataset_folder.read_manifest(tmp_path / 'b')['preferences']
    assert [each['pairs'] for each in entries.values()] == [0, 0, 0]


def test_the_screen_says_why_no_answer_is_preferred_and_that_train_has_none(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {'question': f'Who is {n}?', 'answer': f'{a} {n} it is.', 'score': score}
        for n in NOUNS
        for a, score in (('A', 9), ('The', 8 if n == 'lamp' else 2))
    ]
    path = write_rows(tmp_path / 'a.jsonl', rows)
    made(tmp_path / 'a', path)
    said = capsys.readouterr().out
    assert (
        'warning: no preference pair was found. Of 8 pairs of answers to one question, '
        '1 have under 2 times the votes (--config.preferences.ratio), 7 lack a time '
        '(--config.preferences.later=false asks for none).\n'
    ) in said
    assert '--preferences needs' not in said
    account = json.loads((tmp_path / 'a' / 'ledger.json').read_text())['preferences']
    kept = {name: {**each, 'pairs': 0} for name, each in account['kept'].items()}
    kept['test'] |= {'pairs': 3, 'questions': 3}
    lines = build_ledger._preferences(account | {'found': 3, 'kept': kept})
    assert lines[-1].startswith('note: preferences/ has no train.jsonl: ')


def test_answers_for_preferences_count_as_read(tmp_path: pathlib.Path) -> None:
    asked = 'Who sings at night?'
    several = [{'text': f'{n} sings', 'score': 1} for n in ('Tom', 'Ann of us', 'Eva')]
    several[0]['score'] = 2
    rows = [
        {'question': asked, 'answers': several, 'note': 'not read'},
        {'question': asked, 'answers': [several[0]]},
    ]
    named = {'prompt': asked, 'chosen': 'Tom sings', 'rejected': 'Nobody does that'}
    paths = [
        write_rows(tmp_path / 'a.jsonl', rows),
        write_rows(tmp_path / 'b.jsonl', [named]),
    ]
    report = read_report.ReadReport()
    for batch in reader.batches_of(inputs.find([*map(str, paths)]), preferences=True):
        report.add(batch, reader.read_batch(batch))
    counts = report.counts
    assert counts['answers beside the best, for preferences'] == 2
    assert counts['rows with a rejected answer, for preferences'] == 1
    assert 'answers beside the best, left out' not in counts
    words = {name[7:]: n for name, n in counts.items() if name.startswith('words: ')}
    assert words == {
        'question': 12,
        'answer': 6,
        'other answers, for preferences': 6 + 3,
        'in fields not read': 2,
    }


def test_standing_lines_are_cut_from_both_answers(tmp_path: pathlib.Path) -> None:
    line = 'Yours truly, the columnist of the town.'

    def signed(i: int) -> raw_thread.RawThread:
        answers = [
            dataclasses.replace(each, body=f'{each.body}\n\n{line}')
            for each in thread(i).answers[:2]
        ]
        return thread(i, answers=tuple(answers))

    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(raw_thread.to_line(signed(i)) + '\n' for i in range(30)))
    clean = settings.CleanSettings(cut_standing=True)
    found = made(tmp_path / 'a', path, chosen=settings.Settings(clean=clean))
    rows = [each for part in found.values() for each in part]
    assert len(rows) == 30
    assert all(line not in each['chosen'] + each['rejected'] for each in rows)


@pytest.mark.slow
@pytest.mark.parametrize('form', ['plain', 'messages'])
def test_dpo_trainer_takes_a_step_on_the_files(
    form: str, built: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip('trl', reason='TRL is optional: pip install trl')
    folder = built / 'one' / preference_files.FOLDER
    if form == 'messages':
        asked = [numbered(TURNS, i) for i in range(9)]
        rows = [
            {'prompt': each, 'chosen': [BETTER], 'rejected': [WORSE]} for each in asked
        ]
        made(tmp_path / 'made', write_rows(tmp_path / 'a.jsonl', rows))
        folder = tmp_path / 'made' / preference_files.FOLDER
    done = subprocess.run(
        [sys.executable, TRL, folder, tmp_path],
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'one step of DPO' in done.stdout
