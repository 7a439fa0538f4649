"""What the stages of the preparation do: frozen dataclasses, and the draft of flags.

draft = settings.draft()
draft.quality.min_score = 5
chosen = settings.freeze(draft)      # validated `Settings`
"""

import dataclasses
from typing import Any

import ml_collections

from hax_jax import config


@dataclasses.dataclass(frozen=True)
class CleanSettings:
    """Stage `clean`: what copying and markup did to a text is undone."""

    mojibake: bool = True  # 'donâ€™t' -> 'don’t'
    markdown: bool = True  # of Reddit's posts alone; a chat's *stars* stay
    keep_edits: bool = True  # False cuts paragraphs that open with Edit: or Update:
    keep_summaries: bool = True  # False cuts paragraphs that open with TL;DR


@dataclasses.dataclass(frozen=True)
class PersonalDataSettings:
    """Stage `personal data`: which of it becomes a placeholder."""

    urls: bool = True  # [URL]
    emails: bool = True  # [EMAIL]
    phones: bool = True  # [PHONE]
    users: bool = True  # [USER], of u/name and @name
    phone_regions: tuple[str, ...] = ('US', 'GB')  # of numbers without +, ISO 3166


@dataclasses.dataclass(frozen=True)
class QualitySettings:
    """Stage `quality`: what a pair must be to stay.

    Lengths are counted in tokens of `tokenizer` (a folder or a hub name), or in words
    where none is given; the ledger's reasons say which.
    """

    tokenizer: str = ''
    min_question_tokens: int = 0  # 0 disables, as in the next three
    max_question_tokens: int = 0
    min_answer_tokens: int = 0
    max_answer_tokens: int = 0
    languages: tuple[str, ...] = ('en',)  # ISO 639; () takes all
    language_confidence: float = 0.95  # to drop, a language must be this sure
    max_repetition: float = 0.5  # share of 5-grams seen before; 1.0 disables
    drop_link_only: bool = True
    drop_title_only: bool = False  # a title can be the whole question
    drop_bots: bool = True
    min_score: int = 0  # of Reddit's posts alone; 0 disables


@dataclasses.dataclass(frozen=True)
class DuplicateSettings:
    """Near duplicates, and quotes of the question in an answer."""

    near: bool = True
    threshold: float = 0.7  # share of three-word sequences, in question AND answer
    num_perm: int = 128  # hashes a signature; more estimate the share better
    quote_words: int = 12  # words in a row that make a quote; 0 disables


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of them, a section a stage."""

    clean: CleanSettings = CleanSettings()
    personal_data: PersonalDataSettings = PersonalDataSettings()
    quality: QualitySettings = QualitySettings()
    duplicates: DuplicateSettings = DuplicateSettings()


def draft() -> ml_collections.ConfigDict:
    """The default `Settings` as a ConfigDict, which flags and config files edit."""
    return ml_collections.ConfigDict(dataclasses.asdict(Settings())).lock()


def freeze(edited: ml_collections.ConfigDict) -> Settings:
    """The validated `Settings` of a draft.

    Raises:
      InputError: names every field that is unknown, of another type or out of range.
    """
    problems = []
    values = edited.to_dict()
    sections = {}
    for section in dataclasses.fields(Settings):
        given = dict(values.pop(section.name, {}))
        fields = {f.name: f.default for f in dataclasses.fields(section.type)}
        for name in list(given):
            field, value = f'{section.name}.{name}', given[name]
            if name not in fields:
                problems.append(f'{field} is not a field; remove it.')
                del given[name]
            elif isinstance(fields[name], tuple) and isinstance(value, (list, tuple)):
                given[name] = tuple(value)
            elif isinstance(fields[name], float) and type(value) is int:
                given[name] = float(value)
            elif type(value) is not type(fields[name]):
                kind = type(fields[name]).__name__
                problems.append(f'{field}={value!r} is not accepted; give a {kind}.')
                del given[name]
        sections[section.name] = section.type(**given)
    problems += [f'{name} is not a section; remove it.' for name in sorted(values)]
    chosen = Settings(**sections)
    problems += _out_of_range(chosen)
    if problems:
        raise config.InputError('\n'.join(problems))
    return chosen


def to_dict(chosen: Settings) -> dict[str, dict[str, Any]]:
    """Nested dictionaries of JSON's types."""
    return {
        section: {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }
        for section, fields in dataclasses.asdict(chosen).items()
    }


def _out_of_range(chosen: Settings) -> list[str]:
    """A sentence for each field whose value is not accepted."""
    quality, duplicates = chosen.quality, chosen.duplicates
    accepted = {
        'quality.language_confidence': (
            0 < quality.language_confidence <= 1,
            'a number over 0 and up to 1',
        ),
        'quality.max_repetition': (
            0 < quality.max_repetition <= 1,
            'a number over 0 and up to 1 (off)',
        ),
        'duplicates.threshold': (
            0 < duplicates.threshold < 1,
            'a number over 0 and under 1, such as 0.7',
        ),
        'duplicates.num_perm': (
            16 <= duplicates.num_perm <= 1024,
            'a number from 16 to 1024',
        ),
        'duplicates.quote_words': (
            duplicates.quote_words >= 0,
            '0 (off) or a number of words',
        ),
    }
    for field in ('question', 'answer'):
        least = getattr(quality, f'min_{field}_tokens')
        most = getattr(quality, f'max_{field}_tokens')
        accepted[f'quality.min_{field}_tokens'] = (least >= 0, '0 (off) or more')
        accepted[f'quality.max_{field}_tokens'] = (
            most == 0 or most >= max(least, 1),
            f'0 (off) or {max(least, 1)} or more',
        )
    flat = config.flatten(to_dict(chosen))
    return [
        f'{field}={flat[field]} is not accepted; give {needed}.'
        for field, (good, needed) in accepted.items()
        if not good
    ]
