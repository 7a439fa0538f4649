"""Texts are judged alone while a process has few of them, then together."""

import pathlib

import numpy as np
import pytest

from data_pipeline.pair_stages import language, language_model

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


def test_a_kept_model_is_the_packages_own(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = language_model.read(None)
    language_model.read(tmp_path)
    (path,) = tmp_path.glob('*/*')
    whole = path.read_bytes()

    def check() -> None:
        found = language_model.read(tmp_path)
        for name in ('nb_ptc', 'nb_pc', 'tk_nextmove', 'tk_output', 'tk_row'):
            mine, theirs = (np.asarray(getattr(each, name)) for each in (found, own))
            np.testing.assert_array_equal(mine, theirs, strict=True)
        assert found.nb_classes == own.nb_classes
        assert [*map(found.classify, TEXTS)] == [*map(own.classify, TEXTS)]

    check()
    assert not capsys.readouterr().out
    for broken in (whole[:-1], whole[:100] + b'?' + whole[101:], b''):
        path.write_bytes(broken)
        check()
        assert 'was damaged and is made again' in capsys.readouterr().out
        assert path.read_bytes() == whole


def test_a_model_is_read_where_its_folder_takes_no_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_text('')
    model = language_model.read(tmp_path / 'file')
    assert model.classify(f'{TEXTS[1]} ' * 4)[0] == 'de'
