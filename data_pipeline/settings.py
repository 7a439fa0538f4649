"""The settings of each stage of the preparation, and the draft that flags edit.

draft = settings.draft()
draft.quality.min_score = 5
chosen = convert.freeze(draft, settings.Settings)    # validated
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated

import ml_collections
import msgspec

from hax_jax.config import convert, ranges


@dataclasses.dataclass(frozen=True)
class CleanSettings:
    """Stage `clean`: undoes what copying and markup did to a text."""

    mojibake: bool = True  # 'donâ€™t' -> 'don’t'
    html: bool = True  # '<p>Call <b>her</b>.</p>' -> 'Call her.'; base64 is cut
    labels: bool = True  # QUESTION: and ANSWER: that open a text
    reasoning: bool = True  # <think>…</think> beside an answer
    tails: bool = True  # counts of likes, buttons or a lone 'and' that end an answer
    markdown: bool = True  # of Reddit's posts alone; a chat's *stars* stay
    cut_standing: bool = (
        False  # True cuts lines that split.standing_share answers share
    )
    keep_edits: bool = True  # False cuts paragraphs that open with Edit: or Update:
    keep_summaries: bool = True  # False cuts paragraphs that open with TL;DR


@dataclasses.dataclass(frozen=True)
class PersonalDataSettings:
    """Stage `personal data`: the kinds that become placeholders."""

    urls: bool = True  # [URL], or the name of a Markdown link
    emails: bool = True  # [EMAIL]
    phones: bool = True  # [PHONE]
    users: bool = True  # [USER], of u/name and @name
    phone_regions: tuple[str, ...] = ('US', 'GB')  # of numbers without +, ISO 3166


@dataclasses.dataclass(frozen=True)
class QualitySettings:
    """Stage `quality`: the pairs that stay.

    Lengths are counted in tokens of `tokenizer` (a folder or a hub name), or in words
    where none is given; the ledger's reasons say which.
    """

    tokenizer: str = ''  # a folder or hub name that counts these lengths; '': words
    min_question_tokens: ranges.CountOrOff = 0  # shorter ones are dropped
    max_question_tokens: ranges.CountOrOff = 0  # longer ones are dropped
    min_answer_tokens: ranges.CountOrOff = 3  # shorter ones are dropped
    keep_yes_no: bool = False  # but a number, yes or no stays, however short
    max_answer_tokens: ranges.CountOrOff = 0  # longer ones are dropped
    languages: tuple[str, ...] = ('en',)  # ISO 639; () takes all
    language_confidence: ranges.OverZero = 0.95  # to drop, a language must be this sure
    max_repetition: ranges.OverZeroOrOff = 0.5  # share of 5-grams seen before
    drop_link_only: bool = True  # texts that are a link, or a picture's path
    drop_title_only: bool = False  # a title can be the whole question
    drop_bots: bool = True  # answers that bots gave
    min_score: int = 0  # of Reddit's posts alone; 0 disables

    def conflicts(self) -> Iterator[str]:
        for text in ('question', 'answer'):
            least = getattr(self, f'min_{text}_tokens')
            most = getattr(self, f'max_{text}_tokens')
            if 0 < most < least:
                yield (
                    f'quality.min_{text}_tokens={least} is over quality.max_{text}_'
                    f'tokens={most}; lower the first or raise the second.'
                )


@dataclasses.dataclass(frozen=True)
class DuplicateSettings:
    """Near duplicates, and quotes of the question in an answer."""

    near: bool = True  # near copies too, not exact ones alone
    # Share of three-word sequences that both have, in question AND answer.
    threshold: Annotated[
        float, msgspec.Meta(gt=0, lt=1, description='over 0.0 and under 1.0')
    ] = 0.7
    # Hashes a signature; more estimate the share better.
    num_perm: Annotated[
        int, msgspec.Meta(ge=16, le=1024, description='from 16 to 1024')
    ] = 128
    quote_words: ranges.CountOrOff = 12  # words in a row that make a quote


@dataclasses.dataclass(frozen=True)
class SplitSettings:
    """How much the splits may share; their sizes are flags of their own."""

    # Of validation's (and test's) distinct runs of eight words, the share that may
    # stand in train too; 1.0 disables.
    max_shared_ngrams: ranges.Share = 0.01
    # A passage in this share of all pairs, and in five, is standing (a signature, a
    # helpline): it does not count as shared.
    standing_share: ranges.OverZeroOrOff = 0.05


@dataclasses.dataclass(frozen=True)
class PreferenceSettings:
    """Which of two answers to one question is preferred; for --preferences alone.

    Source: Ethayarajh et al., Understanding Dataset Difficulty with V-Usable
    Information (ICML 2022), and the card of the dataset stanfordnlp/SHP.
    """

    # The better answer has at least this many times the votes of the worse one, whose
    # votes count as 1 if they are fewer.
    ratio: Annotated[
        float, msgspec.Meta(ge=1, le=1e6, description='from 1.0 to 1,000,000')
    ] = 2.0
    # The better answer came later, so it was seen less; False compares votes alone.
    later: bool = True
    most_per_question: ranges.CountOrOff = 5  # pairs at most, the clearest first


MOST_COPIES = 1000  # of a pair in train


@dataclasses.dataclass(frozen=True)
class MixSettings:
    """How much of each source: 'reddit:advice=2.5', or 'reddit=2.5' of all forums."""

    caps: tuple[str, ...] = ()  # 'reddit=5000': pairs at most, of all splits together
    weights: tuple[str, ...] = ()  # 'chat=3': copies in train; under 1, a part of them
    oversample: bool = True  # a merged file's OVERSAMPLE_WEIGHT counts too

    def conflicts(self) -> Iterator[str]:
        if not _is_by_source(self.caps, whole=True):
            yield (
                f'mix.caps={",".join(self.caps)} is not accepted; use each source once '
                'with a number of pairs, such as --config.mix.caps=reddit=5000.'
            )
        if not _is_by_source(self.weights, most=MOST_COPIES):
            yield (
                f'mix.weights={",".join(self.weights)} is not accepted; use each '
                f'source once with a number up to {MOST_COPIES:,}, such as '
                '--config.mix.weights=chat=3,reddit:advice=0.5.'
            )


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of them, a section a stage."""

    clean: CleanSettings = CleanSettings()
    personal_data: PersonalDataSettings = PersonalDataSettings()
    quality: QualitySettings = QualitySettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    split: SplitSettings = SplitSettings()
    mix: MixSettings = MixSettings()
    preferences: PreferenceSettings = PreferenceSettings()

    def conflicts(self) -> Iterator[str]:
        yield from self.quality.conflicts()
        yield from self.mix.conflicts()


def draft() -> ml_collections.ConfigDict:
    """The default `Settings` as a ConfigDict, which flags and config files edit."""
    return convert.draft(Settings)


def by_source(given: tuple[str, ...]) -> dict[str, float]:
    """('chat=3', 'reddit:advice=0.5') -> {'chat': 3.0, 'reddit:advice': 0.5}

    Raises:
      ValueError: one is no name with a number from 0, or names a source again.
    """
    found: dict[str, float] = {}
    for each in given:
        name, _, number = each.rpartition('=')
        name = name.strip()
        if not name or name in found or not 0 <= float(number) < math.inf:
            raise ValueError(each)
        found[name] = float(number)
    return found


def _is_by_source(
    given: tuple[str, ...], *, whole: bool = False, most: float = math.inf
) -> bool:
    try:
        numbers = by_source(given).values()
    except ValueError:
        return False
    return all(each <= most and (not whole or each % 1 == 0) for each in numbers)
