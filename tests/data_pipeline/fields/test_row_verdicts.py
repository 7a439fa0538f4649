import pytest

from data_pipeline.fields import verdicts


@pytest.mark.parametrize(
    ('name', 'refused', 'learned'),
    [
        ('status', ['rejected', 'deleted', 'Spam', 'DRAFT'], ['approved', 'published']),
        ('review_status', ['declined'], ['accepted', 'pending', 'approved']),
        ('flagged', [True, 'yes', 1], [False, 0, 'no']),
        ('is_toxic', [True, '1'], [False, '0']),
        ('published', [False, 'no'], [True, 'yes']),
        ('is_draft', ['true'], ['false']),
        ('helpful', ['no', 'unhelpful'], ['yes', 'helpful']),
        ('loss', [False, 'false'], [True, 'true']),
        ('train_on_turn', [False], [True]),
    ],
)
def test_a_field_that_says_do_not_learn_this_is_a_verdict(
    name: str, refused: list[object], learned: list[object]
) -> None:
    rows = [{'answer': 'So.', name: value} for value in (*refused, *learned)]
    assert verdicts.among(rows) == ((name,), ())
    assert [verdicts.refuses(row) for row in rows] == [True] * len(refused) + [
        False
    ] * len(learned)


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('status', ['pending', 'waiting', 'rejected']),  # a course, mostly unknown
        ('status', [200, 404]),
        ('published', ['2024-01-02', '2024-01-03']),
        ('loss', [0.35, 1.2]),  # of a model
    ],
)
def test_a_state_that_is_none_is_not_read_and_needs_no_remark(
    name: str, values: list[object]
) -> None:
    rows = [{'answer': 'So.', name: value} for value in values]
    assert verdicts.among(rows) == ((), ())


def test_a_verdict_may_stand_in_a_rows_metadata() -> None:
    rows = [{'metadata': {'status': each, 'lang': 'en'}} for each in ('ok', 'spam')]
    assert verdicts.among(rows) == (('metadata.status',), ())
    assert [verdicts.refuses(row) for row in rows] == [False, True]
    grades = [{'metadata': {'quality': each}} for each in (1, 5)]
    assert verdicts.among(grades) == ((), ())


def test_a_share_of_toxicity_is_a_grade() -> None:
    rows = [{'toxic': 0.01}, {'toxic': 0.93}]
    assert verdicts.among(rows) == ((), ('toxic',))
    assert not verdicts.refuses(rows[1])
