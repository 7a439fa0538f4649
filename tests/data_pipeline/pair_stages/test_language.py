"""Texts are judged alone or together with one result; the model is kept."""

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


def test_texts_are_judged_together_as_each_alone() -> None:
    texts = [f'{text} ' * 4 for text in TEXTS]
    codes = {texts[1]: 'de', texts[2]: 'fr'}  # of the empty text nothing is asked
    assert language.foreign(texts, ('en',), confidence=0.9) == codes
    assert language.foreign(texts[:2], ('en',), confidence=0.9) == {texts[1]: 'de'}
    sure = language._surely_not_foreign(texts[:3], ('en', 'fr'), confidence=0.9)
    assert sure.tolist() == [True, False, True]


def _walked(text: bytes) -> list[int]:
    """The features of a text, byte by byte from its beginning."""
    moves, rows, features = language._walk()
    state, found = 0, []
    for byte in text:
        state = moves[rows[state] + byte]
        found.append(int(features[state]))
    return [feature for feature in found if feature >= 0]


def test_features_found_in_pieces_are_those_of_whole_texts() -> None:
    drawn = np.random.default_rng(3)
    known = [' '.join(TEXTS).encode(), 'Ещё 一つ، नमस्ते'.encode() * 9, b'x', b'']
    noise = [drawn.integers(0, 255, n, np.uint8).tobytes() for n in (5, 57, 58, 700)]
    for texts in ([known[0]], known + noise, noise + known):
        sizes = np.array([len(each) for each in texts])
        found, numbers = language._features(texts, sizes)
        expected = [_walked(each) for each in texts]
        assert numbers.tolist() == [len(each) for each in expected]
        assert found.tolist() == [feature for each in expected for feature in each]


def test_scores_are_sums_of_weights_by_the_logarithm_of_counts() -> None:
    weights = language._identifier().nb_ptc.astype(np.float64)
    found, numbers = np.array([2, 0, 2, 2, 1, 99_999]), np.array([4, 0, 2])
    scores = language._scores(found, numbers)
    expected = [
        np.log(2) * weights[0] + np.log(4) * weights[2],
        np.zeros(weights.shape[1]),
        np.log(2) * (weights[1] + weights[99_999]),
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


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
