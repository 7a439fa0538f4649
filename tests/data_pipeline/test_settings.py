import dataclasses

import pytest

from data_pipeline import settings
from data_pipeline.pair_stages import personal_data, quality
from hax_jax import errors
from hax_jax.config import convert


def test_the_draft_becomes_the_defaults_and_what_was_set() -> None:
    draft = settings.draft()
    assert convert.freeze(draft, settings.Settings) == settings.Settings()
    draft.quality.min_score = 5
    draft.quality.languages = ('en', 'es')
    expected = settings.QualitySettings(min_score=5, languages=('en', 'es'))
    assert convert.freeze(draft, settings.Settings) == settings.Settings(
        quality=expected
    )


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
        convert.freeze(draft, settings.Settings)
    assert str(caught.value).split('\n') == [
        'duplicates.nearly is not a field; did you mean duplicates.near?',
        'duplicates.num_perm=8 is not accepted; use from 16 to 1024.',
        'mixture is not a field; remove it.',
        'quality.max_repetition=0.0 is not accepted; use over 0.0 and up to 1.0 (off).',
        'quality.min_answer_tokens=10 is over quality.max_answer_tokens=5; lower the '
        'first or raise the second.',
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


def test_a_mix_that_is_refused_is_named_as_it_is_typed() -> None:
    mix = settings.MixSettings(caps=('chat',), weights=('chat=3', 'chat=-1'))
    assert list(mix.conflicts()) == [
        'mix.caps=chat is not accepted; use each source once with a number of pairs, '
        'such as --config.mix.caps=reddit=5000.',
        'mix.weights=chat=3,chat=-1 is not accepted; use each source once with a '
        'number up to 1,000, such as '
        '--config.mix.weights=chat=3,reddit:advice=0.5.',
    ]
