"""The tokenizer of a GGUF file: written for llama.cpp, and read back.

GPT-2's byte-level BPE and SentencePiece's kinds are written and read; llama.cpp reads
some texts otherwise than SentencePiece does, which the notes say.
"""

import json
import pathlib
import tempfile
from typing import Any

import gguf

from hax_jax import errors, files
from hax_jax.data import text

_ADDED = gguf.TokenType.USER_DEFINED  # found in any text, and shown in an answer
_SPLIT = 'gpt-2'  # llama.cpp's name of GPT-2's regular expression
_UNIGRAM = 't5'  # llama.cpp's name for such tokenizers
_UNKNOWN_PENALTY = 10.0  # SentencePiece's kUnkPenalty, below the worst piece


def add(
    writer: gguf.GGUFWriter, tokenizer: text.Tokenizer, *, num_rows: int
) -> list[str]:
    """Adds the tokenizer, no BOS, no EOS and no space of the engine's own; notes."""
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(pathlib.Path(folder))
        sentencepiece = pathlib.Path(folder, text.SENTENCEPIECE_FILE)
        if sentencepiece.is_file():
            tokens, types, scores, notes = _sentencepiece(
                writer, sentencepiece.read_bytes()
            )
            writer.add_token_scores(scores + [0.0] * (num_rows - len(scores)))
        else:
            whole = pathlib.Path(folder, 'tokenizer.json').read_text(encoding='utf-8')
            tokens, types = _bpe(writer, json.loads(whole))
    unused = num_rows - len(tokens)  # rows of the table that no token has
    writer.add_token_list(tokens + [f'[PAD{i}]' for i in range(unused)])
    writer.add_token_types(types + [gguf.TokenType.UNUSED] * unused)
    writer.add_bos_token_id(tokenizer.eos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.eos_id)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    return notes


def _bpe(
    writer: gguf.GGUFWriter, backend: dict[str, Any]
) -> tuple[list[str], list[int]]:
    """Adds GPT-2's byte-level BPE; returns its tokens and their types."""
    added = {token['content']: token for token in backend['added_tokens']}
    ids = backend['model']['vocab'] | {name: t['id'] for name, t in added.items()}
    tokens = sorted(ids, key=ids.__getitem__)
    merges = backend['model']['merges']
    writer.add_tokenizer_model('gpt2')
    writer.add_tokenizer_pre(_SPLIT)
    writer.add_token_merges([m if isinstance(m, str) else ' '.join(m) for m in merges])
    types = dict.fromkeys(tokens, gguf.TokenType.NORMAL)
    for name, token in added.items():
        types[name] = gguf.TokenType.CONTROL if token['special'] else _ADDED
    return tokens, [types[token] for token in tokens]


def _sentencepiece(
    writer: gguf.GGUFWriter, proto: bytes
) -> tuple[list[str], list[int], list[float], list[str]]:
    """Adds a SentencePiece model; returns pieces, their types, their scores, notes."""
    from sentencepiece import sentencepiece_model_pb2  # slow, and asked only here

    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    notes = [
        'llama.cpp reads U+2581, the sign for a space in SentencePiece, as a space, '
        'and training read it as "_".'
    ]
    is_unigram = model.trainer_spec.model_type == model.trainer_spec.UNIGRAM
    if is_unigram:
        notes.append(_bytes_as_characters(model))
        writer.add_remove_extra_whitespaces(False)
    writer.add_tokenizer_model(_UNIGRAM if is_unigram else 'llama')
    writer.add_tokenizer_pre('default')
    writer.add_unk_token_id(model.trainer_spec.unk_id)
    # SentencePiece's types have the numbers of GGUF's.
    return (
        [piece.piece for piece in model.pieces],
        [gguf.TokenType(piece.type) for piece in model.pieces],
        [piece.score for piece in model.pieces],
        notes,
    )


def _bytes_as_characters(model: Any) -> str:
    """Makes the pieces of ASCII's bytes pieces of its characters; returns a note.

    llama.cpp's unigram tokenizer splits no character into bytes. A byte of ASCII is a
    character; as a piece it costs what SentencePiece takes for one that it lacks.
    """
    own = {piece.piece for piece in model.pieces if piece.type != piece.BYTE}
    normal = [piece.score for piece in model.pieces if piece.type == piece.NORMAL]
    for piece in model.pieces:
        if piece.type == piece.BYTE:
            number = int(piece.piece[3:-1], 16)  # of '<0x41>'
            character = chr(number)
            if 0 < number < 128 and character != ' ' and character not in own:
                piece.piece, piece.type = character, piece.NORMAL
                piece.score = min(normal) - _UNKNOWN_PENALTY
    known = sum(len(piece) == 1 and not piece.isascii() for piece in own)
    return (
        'llama.cpp reads a character that the tokenizer has no piece for as the '
        'unknown token, and training read its bytes. The tokenizer has pieces for all '
        f'of ASCII and for {known - 1} other characters.'  # one is the sign for a space
    )


def read(path: pathlib.Path) -> text.Tokenizer:
    """The tokenizer in a file: GPT-2's BPE, or SentencePiece of any kind.

    Raises:
      InputError: it is of another kind, lacks a field, splits texts otherwise than
        GPT-2 does, or would lose text.
    """
    values = {n: f.contents() for n, f in gguf.GGUFReader(path).fields.items()}
    keys = gguf.Keys.Tokenizer
    kind, split = values.get(keys.MODEL), values.get(keys.PRE, _SPLIT)
    more = (keys.MERGES,) if kind == 'gpt2' else (keys.SCORES, keys.UNK_ID)
    needed = (keys.LIST, keys.TOKEN_TYPE, keys.EOS_ID, *more)
    absent = [name for name in needed if name not in values]
    why = ''
    if kind not in ('gpt2', 'llama', _UNIGRAM):
        why = f'is of the kind {kind!r}; gpt2, llama and {_UNIGRAM} are read'
    elif absent:
        why = f'lacks {", ".join(absent)}'
    elif kind == 'gpt2' and split != _SPLIT:
        why = f'splits texts as {split!r} does, not as GPT-2'
    if why:
        raise errors.InputError(
            f'{path}: its tokenizer {why}. Give the one that the model was trained '
            'with as --tokenizer=FOLDER.'
        )
    tokens, types = values[keys.LIST], values[keys.TOKEN_TYPE]
    used = max(i for i, type_ in enumerate(types) if type_ != gguf.TokenType.UNUSED)
    tokens = tokens[: used + 1]
    eos = values[keys.EOS_ID]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == 'gpt2':
            added = [
                t for t, type_ in zip(tokens, types, strict=False) if type_ == _ADDED
            ]
            own = len(tokens) - len(added)
            if tokens[own:] != added:
                raise errors.InputError(
                    f'{path} has added tokens before others: {", ".join(added[:5])}. '
                    'Give the tokenizer that it was trained with as --tokenizer=FOLDER.'
                )
            ids = {token: i for i, token in enumerate(tokens[:own])}
            files.write_json(folder / 'vocab.json', ids)
            merges = '\n'.join(['#version: 0.2', *values[keys.MERGES]])
            files.write_text(folder / 'merges.txt', f'{merges}\n')
            settings = {'eos_token': tokens[eos], 'bos_token': tokens[eos]}
            settings['unk_token'] = tokens[eos]
            files.write_json(folder / 'tokenizer_config.json', settings)
            return text.with_tokens(text.load_tokenizer(name), added)
        else:
            if kind == _UNIGRAM:
                _characters_as_bytes(tokens, types)
            proto = _as_proto(tokens, types, values)
            (folder / text.SENTENCEPIECE_FILE).write_bytes(proto)
        return text.load_tokenizer(name)


def _as_proto(tokens: list[str], types: list[int], values: dict[str, Any]) -> bytes:
    """A SentencePiece model of a file's pieces, which changes a text as llama.cpp does.

    Without the fields, llama.cpp puts a space before a text and keeps all others.
    """
    from sentencepiece import sentencepiece_model_pb2  # slow, and asked only here

    keys = gguf.Keys.Tokenizer
    eos, unknown = values[keys.EOS_ID], values[keys.UNK_ID]
    model = sentencepiece_model_pb2.ModelProto()
    for token, type_, score in zip(tokens, types, values[keys.SCORES], strict=False):
        model.pieces.add(piece=token, score=score, type=type_)
    spec = model.trainer_spec
    is_unigram = values[keys.MODEL] == _UNIGRAM
    spec.model_type = spec.UNIGRAM if is_unigram else spec.BPE
    spec.byte_fallback = gguf.TokenType.BYTE in types
    spec.unk_id, spec.eos_id, spec.bos_id, spec.pad_id = unknown, eos, -1, -1
    spec.eos_piece, spec.unk_piece = tokens[eos], tokens[unknown]
    normalizer = model.normalizer_spec
    normalizer.name = 'identity'
    normalizer.precompiled_charsmap = bytes(values.get(keys.PRECOMPILED_CHARSMAP, b''))
    normalizer.add_dummy_prefix = values.get(keys.ADD_PREFIX, True)
    normalizer.remove_extra_whitespaces = values.get(keys.REMOVE_EXTRA_WS, False)
    return model.SerializeToString()


def _characters_as_bytes(tokens: list[str], types: list[int]) -> None:
    """Undoes `_bytes_as_characters`; its bytes from 128 on say where they all lie."""
    if '<0x80>' in tokens:
        zero = tokens.index('<0x80>') - 128
        for number in range(256):
            tokens[zero + number] = f'<0x{number:02X}>'
            types[zero + number] = gguf.TokenType.BYTE


def eos_of(path: pathlib.Path) -> str:
    """The text of a file's EOS token."""
    fields = gguf.GGUFReader(path).fields
    eos = fields[gguf.Keys.Tokenizer.EOS_ID].contents()
    return fields[gguf.Keys.Tokenizer.LIST].contents(int(eos))
