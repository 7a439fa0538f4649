import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator

import conftest
import hypothesis
import hypothesis.strategies as st
import pytest
import tokenizers as tokenizers_library
import transformers

from hax_jax import errors
from hax_jax.data import text, train_tokenizer
from hax_jax.formats import hf_tokenizer

TRICKY = [
    '',
    ' ',
    '\n',
    '\x00',
    'a\x00b',
    'one\r\ntwo\rthree\n\n\nfour\n',
    '  two  spaces   three ',
    '\ttab\t',
    '👩\u200d👩\u200d👧\u200d👦 👍🏽 🏳️\u200d🌈',
    '\u0301',
    'e\u0301 is not é',
    'ﬁ Å Å ½ ² ㍿',  # NFKC would change each
    'a\xa0b\u2003c\u3000d\u200be\ufeff',
    '\ue000\U000f0000\U0010ffff\uffff',
    '<|endoftext|>',
    'end<|endoftext|>of text',
    '</s><s><unk><pad>',
    '<0x0A>',
    '[...]',
    'QUESTION:\nANSWER:\n',
    "don't stop . , ! ?",
    'שלום ‎مرحبا नमस्ते 你好 𝔘𝔫𝔦',
    '\x85\u2028\u2029\x0b\x0c',
]
LOOKS_SPECIAL = ['<|endoftext|>', '</s>', '<s>', '<unk>', '<0x0A>']
MODEL_TYPES = ['bpe', 'unigram', 'char']
NAMES = ['gpt2', *MODEL_TYPES]
UNICODE = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\u2581'))


@pytest.fixture(scope='module')
def tokenizers(
    gpt2_tokenizer_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, text.Tokenizer]:
    made: dict[str, text.Tokenizer] = {
        'gpt2': text.load_tokenizer(str(gpt2_tokenizer_folder))
    }
    for model_type in MODEL_TYPES:
        path = tmp_path_factory.mktemp(model_type) / 'any.model'
        path.write_bytes(train(model_type=model_type))
        made[model_type] = text.load_tokenizer(str(path))
    return made


def train(*, model_type: str = 'bpe', vocab_size: int = 350) -> bytes:
    texts = [text.HEAD, text.TAIL, *conftest.LETTERS]
    return train_tokenizer.of_texts(texts, vocab_size=vocab_size, model_type=model_type)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('written', TRICKY, ids=ascii)
def test_decoding_gives_back_what_was_encoded(
    tokenizers: dict[str, text.Tokenizer], name: str, written: str
) -> None:
    tokenizer = tokenizers[name]
    (ids,) = tokenizer.encode([written])
    assert tokenizer.decode(ids) == written
    assert tokenizer.eos_id not in ids
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    assert tokenizer.num_replaced == 0


@pytest.mark.parametrize('name', NAMES)
@hypothesis.given(written=st.one_of(UNICODE, st.lists(st.sampled_from(TRICKY))))
@hypothesis.settings(max_examples=150, derandomize=True, deadline=None, database=None)
def test_decoding_gives_back_any_unicode_text(
    tokenizers: dict[str, text.Tokenizer], name: str, written: str | list[str]
) -> None:
    tokenizer = tokenizers[name]
    written = written if isinstance(written, str) else ''.join(written)
    (ids,) = tokenizer.encode([written])
    assert tokenizer.decode(ids) == written
    assert tokenizer.eos_id not in ids


@pytest.mark.parametrize('name', NAMES)
def test_texts_are_encoded_apart(
    tokenizers: dict[str, text.Tokenizer], name: str
) -> None:
    tokenizer = tokenizers[name]
    together = tokenizer.encode(TRICKY)
    assert together == [tokenizer.encode([written])[0] for written in TRICKY]
    assert tokenizer.encode([]) == []


@pytest.mark.parametrize('name', NAMES)
def test_the_end_decodes_to_nothing_and_no_text_becomes_it(
    tokenizers: dict[str, text.Tokenizer], name: str
) -> None:
    tokenizer = tokenizers[name]
    (ids,) = tokenizer.encode(['No.'])
    assert tokenizer.decode([*ids, tokenizer.eos_id]) == 'No.'
    assert tokenizer.decode([tokenizer.eos_id]) == ''
    for looks in LOOKS_SPECIAL:
        (ids,) = tokenizer.encode([f'a {looks} b {looks}'])
        assert tokenizer.eos_id not in ids
        assert tokenizer.decode([*ids, tokenizer.eos_id]) == f'a {looks} b {looks}'


@pytest.mark.parametrize('odd', [-1, 10**6])
def test_ids_that_a_sentencepiece_model_lacks_are_named(
    tokenizers: dict[str, text.Tokenizer], odd: int
) -> None:
    with pytest.raises(errors.InputError, match=f'token id {odd} is none'):
        tokenizers['bpe'].decode([5, odd])


def test_gpt2_ids_are_gpt2s_own(tokenizers: dict[str, text.Tokenizer]) -> None:
    # Source: OpenAI's encoder.json, in which Ġ is a space and Ċ a newline.
    gpt2 = tokenizers['gpt2']
    assert (gpt2.vocab_size, gpt2.eos_id) == (50257, 50256)
    assert gpt2.encode(['!', 'Hello world', '\n\n']) == [[0], [15496, 995], [628]]


@pytest.mark.parametrize('name', NAMES)
def test_half_of_a_surrogate_pair_is_named(
    tokenizers: dict[str, text.Tokenizer], name: str
) -> None:
    broken = json.loads('"My cat \\ud83d is old"')
    with pytest.raises(errors.InputError, match=r'My cat \\ud83d is .*surrogate'):
        tokenizers[name].encode(['fine', broken])


@pytest.mark.parametrize('name', MODEL_TYPES)
def test_sentencepiece_replaces_its_space_sign_and_counts_it(
    tokenizers: dict[str, text.Tokenizer], name: str, tmp_path: pathlib.Path
) -> None:
    tokenizers[name].save(tmp_path)
    tokenizer = text.load_tokenizer(str(tmp_path))  # its count begins at 0
    ids = tokenizer.encode(['a\u2581\u2581b', 'c', '\u2581'])
    assert [tokenizer.decode(each) for each in ids] == ['a__b', 'c', '_']
    assert tokenizer.num_replaced == 3


def test_an_added_token_that_no_text_can_hold_is_refused(
    tokenizers: dict[str, text.Tokenizer],
) -> None:
    made = text.with_tokens(tokenizers['bpe'], ['<A>'])
    assert made.encode(['<A>']) == [[made.vocab_size - 1]]
    with pytest.raises(errors.InputError, match=r"'x\u2581' would be found in no text"):
        text.with_tokens(tokenizers['bpe'], ['<A>', 'x\u2581'])


def test_gpt2_keeps_the_space_sign(tokenizers: dict[str, text.Tokenizer]) -> None:
    gpt2 = tokenizers['gpt2']
    assert gpt2.decode(gpt2.encode(['a\u2581b'])[0]) == 'a\u2581b'
    assert gpt2.num_replaced == 0


@pytest.mark.parametrize('name', NAMES)
def test_a_saved_tokenizer_is_the_same_one(
    tokenizers: dict[str, text.Tokenizer], name: str, tmp_path: pathlib.Path
) -> None:
    tokenizer = tokenizers[name]
    tokenizer.save(tmp_path)
    again = text.load_tokenizer(str(tmp_path))
    assert again.fingerprint == tokenizer.fingerprint
    assert (again.vocab_size, again.eos_id) == (tokenizer.vocab_size, tokenizer.eos_id)
    assert again.encode(TRICKY) == tokenizer.encode(TRICKY)
    (tmp_path / 'second').mkdir()
    again.save(tmp_path / 'second')
    third = text.load_tokenizer(str(tmp_path / 'second'))
    assert third.fingerprint == tokenizer.fingerprint


def test_fingerprints_tell_tokenizers_apart(
    tokenizers: dict[str, text.Tokenizer],
    gpt2_tokenizer_folder: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    shutil.copytree(gpt2_tokenizer_folder, tmp_path, dirs_exist_ok=True)
    merges = (tmp_path / 'merges.txt').read_text(encoding='utf-8').split('\n')
    merges[1], merges[2] = merges[2], merges[1]
    (tmp_path / 'merges.txt').write_text('\n'.join(merges), encoding='utf-8')
    (tmp_path / 'small.model').write_bytes(train(vocab_size=330))
    all_of_them = [
        *tokenizers.values(),
        text.load_tokenizer(str(tmp_path)),
        text.load_tokenizer(str(tmp_path / 'small.model')),
    ]
    assert len({tokenizer.fingerprint for tokenizer in all_of_them}) == 6


@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_training_twice_on_the_same_text_gives_the_same_bytes(model_type: str) -> None:
    assert train(model_type=model_type) == train(model_type=model_type)


def test_a_model_has_at_most_the_pieces_asked_for(
    tokenizers: dict[str, text.Tokenizer],
) -> None:
    assert tokenizers['bpe'].vocab_size == 350
    letters = set(''.join([text.HEAD, text.TAIL, *conftest.LETTERS])) - {'\n'}
    # <unk>, </s>, the newline and 256 bytes; then its letters, and nothing longer.
    assert tokenizers['char'].vocab_size == 3 + 256 + len(letters)


def test_what_reading_the_texts_raises_is_raised() -> None:
    def torn() -> Iterator[str]:
        yield from conftest.LETTERS
        raise errors.InputError('the dataset is damaged')

    with pytest.raises(errors.InputError, match='the dataset is damaged'):
        train_tokenizer.of_texts(torn(), vocab_size=350, model_type='bpe')
    with pytest.raises(errors.InputError, match='the dataset is damaged'):
        next_texts = itertools.islice(torn(), len(conftest.LETTERS), None)
        train_tokenizer.of_texts(next_texts, vocab_size=350, model_type='bpe')


@pytest.mark.parametrize('model_type', MODEL_TYPES)
@pytest.mark.parametrize(
    'texts', [[], ['', '\n\n'], [''.join(map(chr, range(33, 200)))]]
)
def test_text_that_makes_no_model_names_the_field_and_the_remedy(
    model_type: str, texts: list[str]
) -> None:
    with pytest.raises(errors.InputError, match=r'vocab_size=300 .*Raise it'):
        train_tokenizer.of_texts(texts, vocab_size=300, model_type=model_type)


def edited_gpt2(
    folder: pathlib.Path, tokenizers: dict[str, text.Tokenizer], **settings: object
) -> str:
    tokenizers['gpt2'].save(folder)
    path = folder / 'tokenizer_config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return str(folder)


def test_a_tokenizer_that_adds_a_space_is_refused(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path
) -> None:
    folder = edited_gpt2(tmp_path, tokenizers, add_prefix_space=True)
    with pytest.raises(errors.InputError, match='loses text'):
        text.load_tokenizer(folder)


@pytest.mark.parametrize(
    ('part', 'value'),
    [
        ('normalizer', {'type': 'Lowercase'}),
        ('normalizer', {'type': 'NFC'}),
        (
            'pre_tokenizer',
            {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True},
        ),
    ],
)
def test_what_a_tokenizer_json_does_to_text_is_not_forgotten(
    tokenizers: dict[str, text.Tokenizer],
    tmp_path: pathlib.Path,
    part: str,
    value: dict,
) -> None:
    tokenizers['gpt2'].save(tmp_path)
    path = tmp_path / 'tokenizer.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(errors.InputError, match='loses text'):
        text.load_tokenizer(str(tmp_path))


def test_another_split_is_the_one_of_its_file(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path
) -> None:
    tokenizers['gpt2'].save(tmp_path)
    path = tmp_path / 'tokenizer.json'
    digits = {'type': 'Digits', 'individual_digits': True}
    whole = json.loads(path.read_text())
    both = {'type': 'Sequence', 'pretokenizers': [digits, whole['pre_tokenizer']]}
    path.write_text(json.dumps(whole | {'pre_tokenizer': both}))
    found = text.load_tokenizer(str(tmp_path))
    own = tokenizers_library.Tokenizer.from_file(str(path))
    probe = 'In 1984, at 19:30.'
    assert found.encode([probe]) == [own.encode(probe).ids]
    assert found.encode([probe]) != tokenizers['gpt2'].encode([probe])
    assert found.fingerprint != tokenizers['gpt2'].fingerprint


@pytest.mark.parametrize('name', MODEL_TYPES)
def test_a_sentencepiece_export_that_transformers_saved_again_comes_back(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path, name: str
) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    first.mkdir()
    (first / 'config.json').write_text('{"model_type": "gpt2"}')
    assert not hf_tokenizer.write(first, tokenizers[name], n_positions=16)
    transformers.AutoTokenizer.from_pretrained(first).save_pretrained(second)
    assert not (second / text.SENTENCEPIECE_FILE).exists()
    again = text.load_tokenizer(str(second))
    assert again.encode(TRICKY) == tokenizers[name].encode(TRICKY)
    assert (again.vocab_size, again.eos_id) == (tokenizers[name].vocab_size, 1)


def test_an_end_that_is_a_word_of_the_text_is_refused(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path
) -> None:
    folder = edited_gpt2(tmp_path, tokenizers, eos_token='.')
    with pytest.raises(errors.InputError, match=r"loses text .*'\.'"):
        text.load_tokenizer(folder)


def test_a_token_that_swallows_spaces_is_refused(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path
) -> None:
    tokenizers['gpt2'].save(tmp_path)
    path = tmp_path / 'tokenizer.json'
    tokenizer = json.loads(path.read_text())
    end = tokenizer['added_tokens'][0]
    mother = end | {'content': 'mother', 'special': False, 'lstrip': True}
    tokenizer['added_tokens'].append(mother)
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(errors.InputError, match=r"loses text .*'mother'"):
        text.load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_an_end_is_refused(
    tokenizers: dict[str, text.Tokenizer], tmp_path: pathlib.Path
) -> None:
    folder = edited_gpt2(tmp_path, tokenizers, eos_token=None)
    with pytest.raises(errors.InputError, match=r'no EOS token.*eos_token'):
        text.load_tokenizer(folder)


def test_a_vocabulary_that_lacks_letters_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'vocab.json').write_text('{"a": 0, "b": 1}')
    (tmp_path / 'merges.txt').write_text('#version: 0.2\n')
    with pytest.raises(errors.InputError, match='loses text'):
        text.load_tokenizer(str(tmp_path))


def write_nothing(folder: pathlib.Path) -> None:
    (folder / 'notes.txt').write_text('no tokenizer')


def write_half(folder: pathlib.Path) -> None:
    (folder / 'vocab.json').write_text('{"a": 0}')


def write_cut_json(folder: pathlib.Path) -> None:
    (folder / 'tokenizer.json').write_text('{"model": {"voc')


def write_binary(folder: pathlib.Path) -> None:
    (folder / 'tokenizer.model').write_bytes(b'\x7fELF' + bytes(100))


def write_empty(folder: pathlib.Path) -> None:
    (folder / 'tokenizer.model').touch()


def write_no_text(folder: pathlib.Path) -> None:
    model = train()
    at = model.index(b'<0x41>') + 1  # the piece of a byte
    (folder / 'tokenizer.model').write_bytes(model[:at] + b'\xb0' + model[at + 1 :])


@pytest.mark.parametrize(
    ('write', 'says'),
    [
        (write_nothing, 'holds no tokenizer: it needs'),
        (write_half, 'holds no tokenizer: it needs'),
        (write_cut_json, 'no tokenizer that transformers can read'),
        (write_binary, 'is not a SentencePiece model'),
        (write_empty, 'is not a SentencePiece model, or damaged: it is empty'),
        (write_no_text, 'is not a SentencePiece model, or damaged'),
    ],
)
def test_a_folder_without_a_tokenizer_is_named(
    tmp_path: pathlib.Path, write: Callable[[pathlib.Path], None], says: str
) -> None:
    write(tmp_path)
    with pytest.raises(errors.InputError, match=says) as caught:
        text.load_tokenizer(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ('file', 'change', 'says'),
    [
        (
            'merges.txt',
            lambda whole: whole[: whole.index('\n', 99_999) + 1],
            'no merge',
        ),
        ('merges.txt', lambda whole: whole[:100_003], 'no merge'),
        ('merges.txt', lambda _: '', 'no merge makes'),
        ('vocab.json', lambda whole: whole.replace(': 300,', ': 301,'), 'the id 300'),
        ('vocab.json', lambda whole: whole.replace(': 300,', ': 99999,'), 'the id 300'),
        ('vocab.json', lambda whole: whole[: len(whole) // 2], 'can read'),
    ],
)
def test_a_bpe_whose_files_are_cut_or_do_not_fit_is_refused(
    gpt2_tokenizer_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    file: str,
    change: Callable[[str], str],
    says: str,
) -> None:
    folder = shutil.copytree(gpt2_tokenizer_folder, tmp_path / 'gpt2')
    whole = (folder / file).read_text(encoding='utf-8')
    assert change(whole) != whole
    (folder / file).write_text(change(whole), encoding='utf-8')
    with pytest.raises(errors.InputError, match=says) as caught:
        text.load_tokenizer(str(folder))
    assert str(folder) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_path_that_is_not_there_is_named_with_its_field() -> None:
    with pytest.raises(errors.InputError, match=r"tokenizer.path='/no/such/folder'"):
        text.load_tokenizer('/no/such/folder')


def test_a_sentencepiece_model_that_loses_newlines_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(  # with its defaults
        sentence_iterator=iter(conftest.LETTERS),
        model_prefix=str(tmp_path / 'tokenizer'),
        vocab_size=60,
        minloglevel=2,
    )
    with pytest.raises(
        errors.InputError, match=r'loses text .*--config.tokenizer.path=train,'
    ):
        text.load_tokenizer(str(tmp_path))


PIECES = text.Template(head=[1, 2], tail=[3, 4, 5], cut=[7, 7])  # 5 around, 2 for a cut


def test_the_pieces_of_the_template_are_its_texts(
    tokenizers: dict[str, text.Tokenizer],
) -> None:
    for tokenizer in tokenizers.values():
        pieces = text.template(tokenizer)
        assert tokenizer.decode(pieces.head) == 'QUESTION:\n'
        assert tokenizer.decode(pieces.tail) == '\n\nANSWER:\n'
        assert tokenizer.decode(pieces.cut) == '\n[...]\n'


def test_a_question_that_fits_exactly_is_whole() -> None:
    question = list(range(100, 150))
    assert text.prompt(PIECES, question, max_length=55) == text.Prompt(
        [1, 2, *question, 3, 4, 5], 0
    )


def test_a_question_one_token_too_long_gives_up_its_middle_for_the_mark() -> None:
    question = list(range(100, 150))
    # 54 - 5 - 2 = 47 tokens stay: 24 at the start, 23 at the end; 124 to 126 go.
    assert text.prompt(PIECES, question, max_length=54) == text.Prompt(
        [1, 2, *range(100, 124), 7, 7, *range(127, 150), 3, 4, 5], 3
    )


def test_a_question_is_cut_to_32_tokens_and_no_further() -> None:
    question = list(range(100, 150))
    assert text.MIN_QUESTION_TOKENS == 32
    assert text.prompt(PIECES, question, max_length=39) == text.Prompt(
        [1, 2, *range(100, 116), 7, 7, *range(134, 150), 3, 4, 5], 18
    )
    assert text.prompt(PIECES, question, max_length=38) is None
    assert text.prompt(PIECES, question, max_length=0) is None


def test_a_short_question_needs_no_more_room_than_it_takes() -> None:
    assert text.prompt(PIECES, [9], max_length=6) == text.Prompt([1, 2, 9, 3, 4, 5], 0)
    assert text.prompt(PIECES, [9], max_length=5) is None
    assert text.prompt(PIECES, [], max_length=5) == text.Prompt([1, 2, 3, 4, 5], 0)


@hypothesis.given(length=st.integers(0, 300), max_length=st.integers(0, 320))
@hypothesis.settings(max_examples=300, derandomize=True, deadline=None, database=None)
def test_a_prompt_fits_keeps_both_ends_and_counts_what_it_cut(
    length: int, max_length: int
) -> None:
    question = list(range(100, 100 + length))
    prompt = text.prompt(PIECES, question, max_length=max_length)
    if prompt is None:
        assert length + 5 > max_length
        assert max_length - 5 - 2 < 32
        return
    assert len(prompt.ids) <= max_length
    kept = [i for i in prompt.ids if i >= 100]
    assert prompt.num_cut == length - len(kept)
    if prompt.num_cut:
        assert len(prompt.ids) == max_length  # no more was cut than had to be
        assert len(kept) >= 32
        first = prompt.ids.index(7) - 2
        assert kept == question[:first] + question[first - len(kept) :]
        assert 0 <= first - (len(kept) - first) <= 1  # as much of each end
    else:
        assert kept == question
