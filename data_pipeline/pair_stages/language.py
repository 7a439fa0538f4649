"""The language of a text, by a small model that needs no network."""

import functools

from py3langid import langid

_PART = 600  # characters; a whole long text would take most of the stages' time
NEVER_JUDGED_UNDER = 20  # words; 'Perfection. Thanks.' may be any of several languages


@functools.cache
def _identifier() -> langid.LanguageIdentifier:
    """py3langid's own model of 5 MB; reading it takes about a second."""
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def known() -> list[str]:
    """The codes (ISO 639) of all languages that the model knows."""
    return sorted(_identifier().labels)


def identify(text: str) -> tuple[str, float]:
    """The likeliest language of a text and its probability."""
    return _identifier().classify(text)


def is_foreign(text: str, accepted: tuple[str, ...], *, confidence: float) -> str:
    """The code of the text's language if it surely is none of those accepted, else ''.

    It is sure with a probability of `confidence` or more both at the text's beginning
    and at its end, since a text that quotes another language continues in its own.
    Accepts every text under `NEVER_JUDGED_UNDER` words.
    """
    if not accepted or len(text.split()) < NEVER_JUDGED_UNDER:
        return ''
    code = ''
    for part in (text[:_PART], text[-_PART:]):
        code, probability = identify(part)
        if code in accepted or probability < confidence:
            return ''
    return code
