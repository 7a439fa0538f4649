"""Texts are judged alone or together with one result; the model is kept."""

import pathlib

import numpy as np
import pytest
from scipy import sparse

from data_pipeline.pair_stages import language, language_model

TEXTS = (
    'I asked my sister twice and she never said a word about it.',
    'Ich habe meine Schwester zweimal gefragt, sie hat nichts gesagt.',
    'J’ai demandé deux fois à ma sœur, elle n’a rien dit.',
    '',
)


def test_few_texts_are_judged_alone_more_together_and_many_by_scipy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = []
    counts = language._log_counts

    def counted(*args: object) -> object:
        made = counts(*args)
        kinds.append(type(made))
        return made

    monkeypatch.setattr(language, '_log_counts', counted)
    monkeypatch.setattr(language, '_num_judged', 0)
    monkeypatch.setattr(language, '_ALONE', 2)
    monkeypatch.setattr(language, '_FEW', 5)
    texts = [f'{text} ' * 4 for text in TEXTS]
    found = [language.foreign(texts, ('en',), confidence=0.9) for _ in range(3)]
    # Of the empty text nothing is asked.
    assert kinds == [np.ndarray, sparse.csr_array, sparse.csr_array]
    assert found == [{texts[1]: 'de', texts[2]: 'fr'}] * 3
    assert language.foreign(texts[:2], ('en',), confidence=0.9) == {texts[1]: 'de'}
    assert len(kinds) == 3


def test_both_kinds_of_counts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found, num_found = np.array([2, 0, 2, 2, 1, 3]), np.array([4, 0, 2])
    made = []
    for few in (100, 0):
        monkeypatch.setattr(language, '_num_judged', 0)
        monkeypatch.setattr(language, '_FEW', few)
        made.append(language._log_counts(found, num_found, 5))
    expected = np.log1p([[1, 0, 3, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]])
    np.testing.assert_allclose(made[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(made[0], made[1].toarray())


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
