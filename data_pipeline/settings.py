"""What the stages of the preparation do: frozen dataclasses, and the draft of flags.

draft = settings.draft()
draft.quality.min_score = 5
chosen = settings.freeze(draft)      # validated `Settings`
"""

import dataclasses
import math
from typing import Any

import ml_collections

from hax_jax import errors
from hax_jax.config import convert


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
class SplitSettings:
    """What the splits may have in common; their shares are flags of their own."""

    # Of validation's (and test's) distinct runs of eight words, the share that may
    # stand in train too; 1.0 disables.
    max_shared_ngrams: float = 0.01


@dataclasses.dataclass(frozen=True)
class MixSettings:
    """How much of each source: 'reddit:advice=2.5', or 'reddit=2.5' of all forums."""

    caps: tuple[str, ...] = ()  # 'reddit=5000': pairs at most, of all splits together
    weights: tuple[str, ...] = ()  # 'chat=3': copies in train; under 1, a part of them
    oversample: bool = True  # a merged file's OVERSAMPLE_WEIGHT counts too


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of them, a section a stage."""

    clean: CleanSettings = CleanSettings()
    personal_data: PersonalDataSettings = PersonalDataSettings()
    quality: QualitySettings = QualitySettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    split: SplitSettings = SplitSettings()
    mix: MixSettings = MixSettings()


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
        raise errors.InputError('\n'.join(problems))
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


def by_source(given: tuple[str, ...]) -> dict[str, float]:
    """('chat=3', 'reddit:advice=0.5') -> {'chat': 3.0, 'reddit:advice': 0.5}

    Raises:
      ValueError: one is no name with a number, or names a source again.
    """
    found: dict[str, float] = {}
    for each in given:
        name, sign, number = each.rpartition('=')
        if not sign or not name.strip() or name.strip() in found:
            raise ValueError(each)
        found[name.strip()] = float(number)
    return found


def _is_by_source(given: tuple[str, ...], *, whole: bool) -> bool:
    try:
        numbers = by_source(given).values()
    except ValueError:
        return False
    return all(
        math.isfinite(number) and number >= 0 and (not whole or number % 1 == 0)
        for number in numbers
    )


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
        'split.max_shared_ngrams': (
            0 <= chosen.split.max_shared_ngrams <= 1,
            'a share from 0 to 1 (off), such as 0.01',
        ),
        'mix.caps': (
            _is_by_source(chosen.mix.caps, whole=True),
            "each source once with a number of pairs, such as ('reddit=5000',)",
        ),
        'mix.weights': (
            _is_by_source(chosen.mix.weights, whole=False),
            "each source once with a number, such as ('chat=3', 'reddit:advice=0.5')",
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
    flat = convert.flatten(to_dict(chosen))
    return [
        f'{field}={flat[field]} is not accepted; give {needed}.'
        for field, (good, needed) in accepted.items()
        if not good
    ]
