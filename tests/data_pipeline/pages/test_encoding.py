import hypothesis
import pytest
from hypothesis import strategies

from data_pipeline.pages import characters, encoding


@pytest.mark.parametrize('encoded_as', ['cp1252', 'latin-1'])
@pytest.mark.parametrize(
    'text', ['She doesn’t “get” it – at all…', 'Señor Müller, 20 °C', 'naïve café']
)
def test_utf8_that_was_read_as_another_encoding_is_repaired(
    text: str, encoded_as: str
) -> None:
    # Python's cp1252 lacks five bytes that Windows maps to controls.
    read = ''.join(
        bytes([byte]).decode(encoded_as, 'ignore') or chr(byte)
        for byte in text.encode()
    )
    assert read != text
    assert encoding.repair(read) == (text, 1)
    assert characters.clean(encoding.repair(characters.clean(read))[0]) == text


def test_what_people_type_is_no_mojibake() -> None:
    for text in (
        '“Curly” ‘quotes’ — and dashes…',
        'ＦＵＬＬ width, ﬁ and ﬂ',
        'Ça va? Là-bas, à la carte; Ångström, Åse',
        'I said &eacute; &amp; meant it',
        '😀 ❤️ 👩‍👩‍👧',
        'Ã',
    ):
        assert encoding.repair(text) == (text, 0)


def test_lines_are_counted_and_stay_lines() -> None:
    assert encoding.repair('Itâ€™s\nfine\nâ€œyesâ€\x9d') == ('It’s\nfine\n“yes”', 2)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.text())
def test_repair_never_raises_and_keeps_the_number_of_lines(text: str) -> None:
    repaired, _ = encoding.repair(text)
    assert repaired.count('\n') == text.count('\n')


def test_what_reading_changes_is_counted() -> None:
    raw = '&amp; &nbsp;\u200bone\xa0two\u2003three\x07\tfour\ud800'
    assert characters.census(raw) == {
        'entities unescaped': 2,
        'zero-width characters removed': 1,
        'no-break and other spaces made spaces': 2,
        'control characters removed': 1,
        'lone surrogates replaced': 1,
    }
    assert characters.census(characters.clean('Plain.\n\ttext')) == {}


def test_a_part_is_read_in_the_encoding_that_it_is_in() -> None:
    assert encoding.decode_part('café'.encode()) == ('café', '')
    assert encoding.decode_part(b'caf\xe9') == (
        'café',
        'is not UTF-8 (byte 3, 0xe9); it was read as cp1252',
    )
    assert encoding.decode_part(b'a\x81') == (
        'a\ufffd',
        'is not UTF-8 (byte 1, 0x81) nor cp1252; other bytes became U+FFFD',
    )
