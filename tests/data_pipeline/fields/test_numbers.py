"""Numbers as pages show them."""

import pytest

from data_pipeline.fields import numbers


@pytest.mark.parametrize(
    ('shown', 'number'),
    [
        *(('980', 980.0), ('1.2K', 1200.0), ('3m', 3e6), ('1,234', 1234.0)),
        *(('12 points', 12.0), ('-5 votes', -5.0), ('4.5/5', 4.5), ('1 like', 1.0)),
        *(('★★★☆☆', 3.0), ({'value': 9}, 9.0), (7, 7.0), ('5 stars', 5.0)),
        *(('1,2', None), ('many', None), ('', None), (True, None), ({}, None)),
        *(('12 hours', None), ('v1.2', None), (None, None), ('1.2.3', None)),
    ],
)
def test_votes_are_read_as_pages_show_them(shown: object, number: float | None) -> None:
    assert numbers.votes(shown) == number
