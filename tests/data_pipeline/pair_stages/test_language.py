"""Texts are judged alone while a process has few of them, then together."""

import pytest

from data_pipeline.pair_stages import language

TEXTS = (
    'I asked my sister twice and she never said a word about it.',
    'Ich habe meine Schwester zweimal gefragt, sie hat nichts gesagt.',
    'J’ai demandé deux fois à ma sœur, elle n’a rien dit.',
    '',
)


def test_a_processs_first_texts_are_judged_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []
    together = language._surely_not_foreign

    def counted(texts: list[str], *args: object, **given: object) -> object:
        sizes.append(len(texts))
        return together(texts, *args, **given)

    monkeypatch.setattr(language, '_surely_not_foreign', counted)
    monkeypatch.setattr(language, '_num_alone', 0)
    monkeypatch.setattr(language, '_FEW', 5)
    texts = [f'{text} ' * 4 for text in TEXTS]
    found = [language.foreign(texts, ('en',), confidence=0.9) for _ in range(3)]
    assert sizes == [3, 3]  # of the empty text nothing is asked
    assert found == [{texts[1]: 'de', texts[2]: 'fr'}] * 3
