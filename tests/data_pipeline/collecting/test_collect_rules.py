"""Which posts are kept, which comment answers them, and the record that results."""

import dataclasses
import json
import pathlib
import sys

import hypothesis
import pytest
import reddit_objects
from hypothesis import strategies

from data_pipeline.collecting import collect_rules, reddit_shapes
from data_pipeline.rows import raw_thread

RULES = collect_rules.Rules()


def post(**fields: object) -> reddit_shapes.Post:
    return reddit_shapes.post(reddit_objects.post(1, **fields))


def comment(name: str, **fields: object) -> reddit_shapes.Comment:
    return reddit_shapes.comment(reddit_objects.comment(1, name, **fields), depth=0)


def best(*comments: reddit_shapes.Comment, **rules: object) -> list[str]:
    changed = dataclasses.replace(RULES, **rules)
    answers, _ = collect_rules.best_answers(comments, changed, asker='asker1')
    return [answer.id for answer in answers]


def test_the_best_comment_at_any_depth_is_the_answer() -> None:
    comments, folded, malformed = reddit_shapes.tree(reddit_objects.tree(1))
    assert [(c.id, c.depth) for c in comments] == [('s1', 0), ('a1', 0), ('b1', 1)]
    assert (folded, malformed) == ([], 0)
    answers, passed_over = collect_rules.best_answers(comments, RULES, asker='asker1')
    assert [(a.id, a.score, a.depth, a.by_asker) for a in answers] == [
        ('b1', 50, 1, False)
    ]
    assert passed_over == {'stickied': 1}


def test_replies_to_the_post_alone_are_answers_if_asked() -> None:
    comments, _, _ = reddit_shapes.tree(reddit_objects.tree(1))
    rules = dataclasses.replace(RULES, top_level_only=True)
    answers, passed_over = collect_rules.best_answers(comments, rules, asker='asker1')
    assert [answer.id for answer in answers] == ['a1']
    assert passed_over == {'stickied': 1, 'a reply to a comment': 1}


@pytest.mark.parametrize(
    ('parent', 'depth', 'kept'),
    [('t3_p0001', -1, True), ('t1_gone', -1, False), ('', 0, True), ('', 2, False)],
)
def test_the_parent_says_what_is_top_level_before_the_place_in_a_tree(
    parent: str, depth: int, kept: bool
) -> None:
    values = reddit_objects.comment(1, 'a', parent_id=parent)
    reply = reddit_shapes.comment(values, depth=depth)
    assert best(reply, top_level_only=True) == (['a'] if kept else [])
    assert best(reply) == ['a']


@pytest.mark.parametrize(
    'fields',
    [
        {'author': 'AutoModerator'},
        {'author': 'RemindMeBot'},
        {'author': 'haiku_bot'},
        {'author': 'SomeBot2'},
        {'author': 'advice-ModTeam'},
        {'author': None},
        {'author': '[deleted]'},
        {'body': '[deleted]'},
        {'body': ' [removed]\n'},
        {'body': '[ Removed by Reddit ]'},
        {'body': None},
        {'body': 'Too short.'},
        {'stickied': True},
        {'_meta': {'was_deleted_later': True}},
        {
            'body': reddit_objects.LONG
            + '\n\n*I am a bot, and this action was performed automatically.*'
        },
    ],
    ids=str,
)
def test_a_comment_that_is_not_eligible_gives_way_to_the_next_best(
    fields: dict[str, object],
) -> None:
    high = comment('high', score=900, **fields)
    assert best(high, comment('next', score=4), comment('low', score=3)) == ['next']
    assert best(high) == []


def test_people_whose_names_have_bot_in_them_may_answer() -> None:
    for name in ('robotics_fan', 'BotanyBeth', 'botched'):
        assert best(comment('a', author=name)) == ['a']


def test_names_that_end_in_bot_may_answer_without_skip_bots_but_never_known_ones() -> (
    None
):
    guessed = comment('a', author='JaneTalbot')
    known = comment('b', author='AutoModerator', score=99)
    assert best(guessed, known) == []
    assert best(guessed, known, skip_bots=False) == ['a']


def test_equal_scores_go_to_the_earlier_then_to_the_lower_id() -> None:
    late = comment('a', created_utc=300)
    early, twin = comment('c', created_utc=200), comment('b', created_utc=200)
    assert best(late, early, twin, max_answers_per_post=0) == ['b', 'c', 'a']


def test_the_number_of_answers_is_bounded_and_a_repeated_comment_counts_once() -> None:
    comments = [comment(name, score=score) for score, name in enumerate('abcd')]
    assert best(*comments, *comments, max_answers_per_post=2) == ['d', 'c']
    assert best(*comments, *comments, max_answers_per_post=0) == list('dcba')


def test_the_length_of_an_answer_counts_characters_without_outer_blanks() -> None:
    exact, padded = comment('a', body='x' * 100), comment('b', body='x' * 99 + '  ')
    assert best(exact, padded) == ['a']
    assert best(comment('c', body='  '), min_comment_length=0) == []


def test_the_askers_own_comments_are_marked_and_can_be_skipped() -> None:
    own = comment('own', author='asker1', score=70)
    answers, _ = collect_rules.best_answers([own], RULES, asker='asker1')
    assert answers[0].by_asker
    assert best(own, comment('other'), skip_asker=True) == ['other']


@pytest.mark.parametrize(
    ('fields', 'rules', 'reason'),
    [
        ({}, {}, ''),
        ({'score': 9}, {}, 'under 10 upvotes'),
        ({'score': None}, {}, 'under 10 upvotes'),
        ({'score': -3}, {'min_upvotes': -5}, ''),
        ({'selftext': '[removed]'}, {}, 'deleted or removed'),
        ({'selftext': '[deleted]', 'author': None}, {}, 'deleted or removed'),
        ({'removed_by_category': 'moderator'}, {}, 'deleted or removed'),
        ({'title': '[deleted by user]'}, {}, 'deleted or removed'),
        ({'author': '[deleted]'}, {}, ''),
        ({'stickied': True}, {}, ''),
        ({'stickied': True}, {'skip_stickied': True}, 'stickied'),
        ({'author': 'AutoModerator'}, {}, 'by a bot'),
        ({}, {'flairs': ('infidelity',)}, 'another flair'),
        ({'link_flair_text': 'Infidelity '}, {'flairs': ('infidelity',)}, ''),
        ({'created_utc': 999}, {'after': 1000}, 'before --after or --time_filter'),
        ({'created_utc': 1000}, {'after': 1000}, ''),
        ({'created_utc': 1000}, {'before': 1000}, 'not before --before'),
        ({'created_utc': 999}, {'before': 1000}, ''),
    ],
    ids=str,
)
def test_posts_are_kept_out_for_one_named_reason(
    fields: dict[str, object], rules: dict[str, object], reason: str
) -> None:
    changed = dataclasses.replace(RULES, **rules)
    assert collect_rules.why_not_post(post(**fields), changed) == reason


def test_old_shapes_are_read_as_new_ones() -> None:
    old = post(id='t3_p0001', created_utc='1700003600', score='20', permalink=None)
    assert dataclasses.replace(old, url='') == dataclasses.replace(post(), url='')
    assert old.url == 'https://www.reddit.com/r/advice/comments/p0001/'
    assert post(created_utc=1_700_003_600.0) == post()


def test_a_post_without_id_title_or_time_is_named() -> None:
    with pytest.raises(ValueError, match='without id and title and created_utc'):
        reddit_shapes.post({'selftext': 'a'})


def test_a_tree_may_be_deeper_than_pythons_stack_and_partly_broken() -> None:
    deep = reddit_objects.node(reddit_objects.comment(1, 'last'))
    depth = 3 * sys.getrecursionlimit()
    for i in range(depth):
        deep = reddit_objects.node(reddit_objects.comment(1, f'c{i}'), deep)
    more = {'kind': 'more', 'data': {'children': ['x', 't1_y']}}
    comments, folded, malformed = reddit_shapes.tree([deep, more, None, {'kind': 't1'}])
    assert (comments[-1].id, comments[-1].depth) == ('last', depth)
    assert (folded, malformed) == (['x', 'y'], 2)


def thread(**fields: object) -> raw_thread.RawThread:
    answers, _ = collect_rules.best_answers([comment('a')], RULES, asker='asker1')
    made = collect_rules.thread(post(), answers, source='arctic_shift')
    return dataclasses.replace(made, **fields)


def test_a_thread_is_one_canonical_line_without_any_name() -> None:
    line = raw_thread.to_line(thread(title='Ünïcode\u2028 \U0001f600', body='a\nb'))
    assert '\n' not in line
    assert '\u2028' in line
    assert line == json.dumps(
        json.loads(line), sort_keys=True, ensure_ascii=False, separators=(',', ':')
    )
    assert 'asker1' not in line
    assert 'helper' not in line


@hypothesis.given(strategies.text(), strategies.text())
def test_any_text_survives_the_line(title: str, body: str) -> None:
    made = thread(title=title, body=body)
    assert raw_thread.from_line(raw_thread.to_line(made).encode()) == made


def test_lone_surrogates_which_no_file_holds_become_the_replacement_sign() -> None:
    assert post(selftext='half \ud83d a face').body == 'half \ufffd a face'


def test_a_wrong_line_is_refused_with_all_that_is_wrong(tmp_path: pathlib.Path) -> None:
    values = json.loads(raw_thread.to_line(thread()))
    del values['title']
    values |= {'score': '7', 'more': 1}
    with pytest.raises(ValueError) as error:
        raw_thread.from_line(json.dumps(values))
    assert str(error.value) == (
        "thread has no 'title'; thread has unknown 'more'; "
        "thread: score is '7', not of type int"
    )
    path = tmp_path / 'a.jsonl'
    path.write_text(raw_thread.to_line(thread()) + '\n[]\n')
    with pytest.raises(ValueError, match=r'a\.jsonl:2: thread is a list'):
        list(raw_thread.read(path))
