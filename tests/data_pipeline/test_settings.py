import dataclasses

import pytest

from data_pipeline import settings
from data_pipeline.pair_stages import personal_data, quality
from hax_jax import errors


def test_the_draft_becomes_the_defaults_and_what_was_set() -> None:
    draft = settings.draft()
    assert settings.freeze(draft) == settings.Settings()
    draft.quality.min_score = 5
    draft.quality.languages = ('en', 'es')
    expected = settings.QualitySettings(min_score=5, languages=('en', 'es'))
    assert settings.freeze(draft) == settings.Settings(quality=expected)


def test_every_wrong_field_is_named_at_once() -> None:
    draft = settings.draft()
    draft.quality.max_repetition = 0.0
    draft.quality.min_answer_tokens = 10
    draft.quality.max_answer_tokens = 5
    draft.duplicates.num_perm = 8
    draft.unlock()
    draft.duplicates.nearly = True
    draft.mixture = {}
    with pytest.raises(errors.InputError) as caught:
        settings.freeze(draft)
    assert str(caught.value).split('\n') == [
        'duplicates.nearly is not a field; remove it.',
        'mixture is not a section; remove it.',
        'quality.max_repetition=0.0 is not accepted; give a number over 0 and up to 1 '
        '(off).',
        'duplicates.num_perm=8 is not accepted; give a number from 16 to 1024.',
        'quality.max_answer_tokens=5 is not accepted; give 0 (off) or 10 or more.',
    ]


def test_every_field_is_of_a_kind_that_flags_can_set() -> None:
    for section in dataclasses.fields(settings.Settings):
        for field in dataclasses.fields(section.type):
            assert type(field.default) in (bool, int, float, str, tuple)


def test_unknown_regions_and_languages_are_named() -> None:
    with pytest.raises(errors.InputError, match='phone_regions has UK, no region'):
        personal_data.stage(settings.PersonalDataSettings(phone_regions=('US', 'UK')))
    with pytest.raises(errors.InputError, match='languages has english, which is not'):
        quality.stage(settings.QualitySettings(languages=('english',)))
