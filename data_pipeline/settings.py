"""What the stages of the preparation do, as frozen dataclasses."""

import dataclasses


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
