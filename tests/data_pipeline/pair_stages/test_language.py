"""The language model's unpacked copy gives what the packed model gives."""

import pathlib

import pytest

from data_pipeline.pair_stages import language

TEXTS = (
    'I asked my sister twice and she never said a word about it.',
    'Ich habe meine Schwester zweimal gefragt, sie hat nichts gesagt.',
    'J’ai demandé deux fois à ma sœur, elle n’a rien dit.',
    '',
)


def judged() -> list[tuple[str, float]]:
    """Each text's language by a model that is read anew."""
    language._identifier.cache_clear()
    language._walk.cache_clear()
    foreign = language.foreign(
        [f'{text} ' * 4 for text in TEXTS], ('en',), confidence=0.9
    )
    return [language.identify(text) for text in TEXTS] + sorted(foreign.values())


@pytest.fixture
def copies(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'hax_jax' / 'languages'


def test_the_copy_gives_what_the_model_gives_and_a_damaged_one_is_made_again(
    copies: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = language.langid.LanguageIdentifier.from_model_file
    read = []

    def counted(*args: object, **given: object) -> object:
        read.append(args)
        return packed(*args, **given)

    monkeypatch.setattr(language.langid.LanguageIdentifier, 'from_model_file', counted)
    expected = judged()
    assert expected[-2:] == ['de', 'fr']
    (copy,) = copies.iterdir()
    whole = copy.read_bytes()
    assert judged() == expected
    assert len(read) == 1
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    for damaged in (bytes(broken), whole[: len(whole) // 3], b''):
        copy.write_bytes(damaged)
        assert judged() == expected
        assert f'note: {copy} is damaged' in capsys.readouterr().out
        assert [each.read_bytes() == whole for each in copies.iterdir()] == [True]
    assert len(read) == 4


def test_a_folder_that_takes_no_copy_is_no_error(
    copies: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies.parent.write_text('no folder')
    assert judged()[0][0] == 'en'
    assert capsys.readouterr().out == ''


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
