"""Which language a text is in, by a small model that needs no network."""

import functools

from py3langid import langid

_ENOUGH = 600  # characters; a whole long text would take most of the stages' time
NEVER_JUDGED_UNDER = 20  # words; 'Perfection. Thanks.' may be any of several languages


@functools.cache
def _identifier() -> langid.LanguageIdentifier:
    """py3langid's own model of 5 MB; read once, in about a second."""
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def known() -> list[str]:
    """The codes (ISO 639) of the languages that are told apart."""
    return sorted(_identifier().labels)


def identify(text: str) -> tuple[str, float]:
    """The likeliest language of a text and its probability among all that are known."""
    code, probability = _identifier().classify(text)
    return code, probability


def is_foreign(text: str, accepted: tuple[str, ...], *, confidence: float) -> str:
    """The code of the text's language if it surely is none of those accepted, else ''.

    Sure is: `confidence` or more, at its beginning and its end (who quotes goes on
    in another language), from `NEVER_JUDGED_UNDER` words on.
    """
    if not accepted or len(text.split()) < NEVER_JUDGED_UNDER:
        return ''
    code = ''
    for part in (text[:_ENOUGH], text[-_ENOUGH:]):
        code, probability = identify(part)
        if code in accepted or probability < confidence:
            return ''
    return code
