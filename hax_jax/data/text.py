"""The two tokenizers, both lossless, and the one prompt template.

    QUESTION:
    {question}

    ANSWER:
    {answer}<EOS>

A conversation is one such exchange directly behind the other, here, at launch.chat and
in the chat template of exports (formats/chat_template.py).

The pieces are encoded apart and their ids joined, so a prompt's ids are a prefix of the
ids that training saw, whatever a tokenizer would merge across the border.
"""

import copy
import dataclasses
import hashlib
import itertools
import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import sentencepiece

from hax_jax import errors, hub, local_copy, sha256sums
from hax_jax.data import records, tokenizer_checks

TEMPLATE_VERSION = 'question-answer-1'
HEAD = 'QUESTION:\n'
TAIL = '\n\nANSWER:\n'
CUT = '\n[...]\n'  # stands for the text that a shortened question lost
MIN_QUESTION_TOKENS = 32
SENTENCEPIECE_FILE = 'tokenizer.model'
# The name where transformers must not make a tokenizer of it, which would differ.
SENTENCEPIECE_ALONE = 'sentencepiece.model'
TOKENIZER_FILES = [
    'tokenizer*.json',
    SENTENCEPIECE_FILE,
    SENTENCEPIECE_ALONE,
    'vocab.json',
    'merges.txt',
]
# Which transformers reads beside them.
_MORE_FILES = ['added_tokens.json', 'special_tokens_map.json']
_SPACE_MARK = '\u2581'  # SentencePiece's own sign for a space
# Outer and double spaces, a newline, and every byte that occurs in UTF-8.
PROBE = 'Two  spaces,\nnew line ' + ''.join(
    map(chr, [*range(0x801), *range(0x1000, 0x110000, 0x1000), 0x20])
)


@runtime_checkable
class Decoder(Protocol):
    """The part of a tokenizer that ends and reads a model's answer."""

    vocab_size: int
    eos_id: int

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; EOS decodes to nothing."""
        ...


@runtime_checkable
class Tokenizer(Decoder, Protocol):
    """The interface of both tokenizers: `decode(encode(s)) == s` for any Unicode text.

    `num_replaced` counts the characters that `encode` could not keep: only U+2581, and
    only in SentencePiece, which reads it as a space.
    """

    fingerprint: str
    num_replaced: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; text that looks like a special token is plain text."""
        ...

    def save(self, folder: pathlib.Path) -> None:
        """Writes the files that `load_tokenizer` reads."""
        ...


class FastTokenizer:
    """GPT-2's byte-level BPE, or any lossless tokenizer.json, by transformers."""

    def __init__(self, folder: pathlib.Path) -> None:
        import transformers  # 1 s to import; only this tokenizer needs it

        have = {file.name for file in folder.iterdir()}
        if not ('tokenizer.json' in have or {'vocab.json', 'merges.txt'} <= have):
            raise errors.InputError(
                f'{folder} holds no tokenizer: it needs {SENTENCEPIECE_FILE}, '
                'tokenizer.json, or vocab.json and merges.txt.'
            )
        try:
            # GPT-2's class takes vocabulary and merges alone, and knows its EOS.
            path = folder / 'tokenizer.json'
            self.is_gpt2_bpe = not tokenizer_checks.is_more_than_gpt2(path)
            kind = transformers.GPT2TokenizerFast
            if not self.is_gpt2_bpe:
                kind = transformers.PreTrainedTokenizerFast
            self._fast = kind.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # transformers raises many kinds for one cause
            if errors.is_of_machine(error):
                raise
            reason = (str(error) or repr(error)).splitlines()[0]
            raise errors.InputError(
                f'{folder} holds no tokenizer that transformers can read: '
                f'{reason}. Copy its files again.'
            ) from error
        if self._fast.eos_token_id is None:
            raise errors.InputError(
                f'{folder} has no EOS token, which ends each answer; '
                'name it as eos_token in tokenizer_config.json.'
            )
        self._fast.chat_template = None  # of another template of prompts
        self._backend = self._fast.backend_tokenizer
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()
        backend = json.loads(self._backend.to_str())
        if problem := tokenizer_checks.problem(backend):
            raise errors.InputError(
                f'{folder} holds a damaged tokenizer: {problem}. Copy its files again.'
            )
        self.vocab_size = len(self._fast)
        self.eos_id = self._fast.eos_token_id
        self.num_replaced = 0
        added = [token['content'] for token in backend['added_tokens']]
        probes = [PROBE, *added, *(f'a {token} b' for token in added)]
        if [self.decode(ids) for ids in self.encode(probes)] != probes:
            raise errors.InputError(
                f'{folder} holds a tokenizer that loses text (spaces, rare characters, '
                f'capitals, or one of its own tokens {added}); if the model was '
                "trained with GPT-2's own tokenizer, give its vocab.json and "
                'merges.txt alone.'
            )
        made_of = {**backend, 'added_tokens': added}
        if self.is_gpt2_bpe:
            vocab, merges = backend['model']['vocab'], backend['model']['merges']
            merges = [m if isinstance(m, str) else ' '.join(m) for m in merges]
            made_of = {'vocab': vocab, 'merges': merges, 'added': added}
        self.fingerprint = records.sha256(made_of | {'eos_id': self.eos_id})

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        _require_unicode(texts)
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        ids = [int(i) for i in ids if i != self.eos_id]
        return self._backend.decode(ids, skip_special_tokens=False)

    def save(self, folder: pathlib.Path) -> None:
        self._fast.save_pretrained(folder)

    def token_names(self) -> set[str]:
        return set(self._fast.get_vocab())

    def save_with(self, folder: pathlib.Path, tokens: Sequence[str]) -> None:
        """As `save`, with more tokens at the end."""
        grown = copy.deepcopy(self._fast)
        grown.add_tokens(list(tokens))
        grown.save_pretrained(folder)


class SentencePieceTokenizer:
    """A SentencePiece model that keeps newlines, double spaces and any character."""

    def __init__(self, path: str | pathlib.Path) -> None:
        path = pathlib.Path(path)
        self._proto = path.read_bytes()
        try:
            if (
                not self._proto
            ):  # sentencepiece would take it, and crash when it is used
                raise ValueError('it is empty')
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=self._proto)
            self.vocab_size = self._pieces.vocab_size()
            self._pieces.id_to_piece(list(range(self.vocab_size)))  # each is text
        except (RuntimeError, ValueError) as error:
            raise errors.InputError(
                f'{path} is not a SentencePiece model, or damaged: {error}. Copy it '
                'again.'
            ) from error
        self.eos_id = self._pieces.eos_id()
        self.num_replaced = 0
        self.fingerprint = hashlib.sha256(self._proto).hexdigest()
        if self.eos_id < 0:
            raise errors.InputError(
                f'{path} has no EOS piece, which ends each answer; '
                'train one with --config.tokenizer.path=train.'
            )
        if self.decode(self.encode([PROBE])[0]) != PROBE:
            raise errors.InputError(
                f'{path} loses text (newlines, double spaces or rare characters); '
                'train one with --config.tokenizer.path=train, which keeps them.'
            )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        _require_unicode(texts)
        self.num_replaced += sum(text.count(_SPACE_MARK) for text in texts)
        return self._pieces.encode([text.replace(_SPACE_MARK, '_') for text in texts])

    def decode(self, ids: Sequence[int]) -> str:
        ids = [int(i) for i in ids if i != self.eos_id]
        try:
            return self._pieces.decode(ids)
        except IndexError as error:
            odd = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise errors.InputError(
                f'token id {odd} is none of the tokenizer, whose ids are 0 to '
                f'{self.vocab_size - 1}: another tokenizer made it, or the file with '
                'the ids is damaged. Pack the dataset again with data_pipeline.pack, '
                'or give the tokenizer that made the ids.'
            ) from error

    def token_names(self) -> set[str]:
        ids = list(range(self.vocab_size))
        return set(self._pieces.id_to_piece(ids))

    def save_with(self, folder: pathlib.Path, tokens: Sequence[str]) -> None:
        """As `save`, with more tokens at the end."""
        from sentencepiece import sentencepiece_model_pb2  # slow, and seldom asked

        model = sentencepiece_model_pb2.ModelProto.FromString(self._proto)
        kind = sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED
        for token in tokens:
            model.pieces.add(piece=token, score=0.0, type=kind)
        (folder / SENTENCEPIECE_FILE).write_bytes(model.SerializeToString())

    def save(self, folder: pathlib.Path) -> None:
        (folder / SENTENCEPIECE_FILE).write_bytes(self._proto)


def load_tokenizer(path: str) -> Tokenizer:
    """The tokenizer in a folder, of a `.model` file, or of a hub name.

    Raises:
      InputError: nothing at `path` is a tokenizer, or it would lose text.
    """
    path = local_copy.text(path)
    if pathlib.Path(path).is_file():
        return SentencePieceTokenizer(path)
    folder = hub.local_folder(path, field='tokenizer.path', patterns=TOKENIZER_FILES)
    sha256sums.check(folder, TOKENIZER_FILES + _MORE_FILES)
    for name in (SENTENCEPIECE_FILE, SENTENCEPIECE_ALONE):
        if (folder / name).is_file():
            return SentencePieceTokenizer(folder / name)
    return FastTokenizer(folder)


def with_tokens(
    tokenizer: FastTokenizer | SentencePieceTokenizer, tokens: Sequence[str]
) -> Tokenizer:
    """The tokenizer with more tokens after its own; each is found wherever it stands.

    Without any it is the tokenizer itself.

    Raises:
      InputError: a token is there already, or two are equal, or a text would be lost.
    """
    if not tokens:
        return tokenizer
    own = tokenizer.token_names()
    wrong = [f'{token!r} is a token already' for token in tokens if token in own]
    wrong += [f'{token!r} has a space' for token in tokens if token.split() != [token]]
    twice = sorted({token for token in tokens if tokens.count(token) > 1})
    wrong += [f'{token!r} is given twice' for token in twice]
    if wrong:
        raise errors.InputError(
            f'the tokens can not be added: {"; ".join(wrong)}. Leave these out.'
        )
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_with(pathlib.Path(folder), tokens)
        made = load_tokenizer(folder)
    found = zip(tokens, made.encode(tokens), strict=True)
    if lost := [repr(token) for token, ids in found if len(ids) != 1]:
        raise errors.InputError(
            f'the tokens can not be added: {", ".join(lost)} would be found in no text '
            f'({_SPACE_MARK} is read as _). Leave these out.'
        )
    return made


def of_cache(cache: records.PackedCache) -> Tokenizer:
    """The tokenizer that made a packed cache's ids.

    Raises:
      InputError: the files beside the rows are not of that tokenizer.
    """
    tokenizer = load_tokenizer(str(cache.path / records.TOKENIZER))
    if tokenizer.fingerprint != cache.meta['tokenizer']:
        raise cache.damaged('its tokenizer/ is not the one that made its rows')
    return tokenizer


def _require_unicode(texts: Sequence[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            around = ascii(text[max(error.start - 20, 0) : error.end + 20])
            raise errors.InputError(
                f'{around} holds half of a surrogate pair, which is no Unicode text; '
                'mend it where it comes from.'
            ) from error


@dataclasses.dataclass(frozen=True)
class Template:
    """The template's pieces in one tokenizer's ids."""

    head: list[int]
    tail: list[int]
    cut: list[int]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt's ids, and how many question tokens were cut from its middle."""

    ids: list[int]
    num_cut: int


def num_latest(lengths: Sequence[int], room: int) -> int:
    """How many of the latest turns fit in `room` tokens; the oldest are left out first.

    [5, 1, 2] in 4 -> 2.
    """
    sums = itertools.accumulate(reversed(lengths))
    return sum(1 for _ in itertools.takewhile(lambda total: total <= room, sums))


def asked(pieces: Template, question: list[int]) -> list[int]:
    """The ids of a whole question with the template around it."""
    return [*pieces.head, *question, *pieces.tail]


def template(tokenizer: Tokenizer) -> Template:
    return Template(*tokenizer.encode([HEAD, TAIL, CUT]))


def prompt(pieces: Template, question: list[int], *, max_length: int) -> Prompt | None:
    """The prompt of a question's ids in at most `max_length` tokens.

    A question that is too long loses its middle, which the cut mark replaces, down to
    `MIN_QUESTION_TOKENS`; None if even that does not fit.
    """
    room = max_length - len(pieces.head) - len(pieces.tail)
    if len(question) <= room:
        return Prompt(asked(pieces, question), 0)
    room -= len(pieces.cut)
    if room < MIN_QUESTION_TOKENS:
        return None
    start, end = room - room // 2, len(question) - room // 2
    ids = pieces.head + question[:start] + pieces.cut + question[end:] + pieces.tail
    return Prompt(ids, end - start)
