"""GPT-2 as a GGUF file, which llama.cpp and Ollama run: written and read back.

Vectors and position embeddings stay float32, as in llama.cpp's own conversions; each
matrix is of the file's type (q8_0 has one float16 scale to 32 numbers of 8 bits).
"""

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import gguf
import numpy as np

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import accounting, chat_template
from hax_jax.model import naming

FILE = 'model.gguf'
_ADDED = gguf.TokenType.USER_DEFINED  # found in any text, and shown in an answer
_SPLIT = 'gpt-2'  # llama.cpp's name of GPT-2's regular expression
_UNIGRAM = 't5'  # llama.cpp's name for such tokenizers
_UNKNOWN_PENALTY = 10.0  # SentencePiece's kUnkPenalty, below the worst piece
_TYPES = {
    'float32': (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    'float16': (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    'bfloat16': (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    'q8_0': (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_Q8_NOTE = (
    'llama.cpp rounds the inputs of q8_0 matrices to 8 bits too, so its greedy answers '
    "can differ from the run's after some tokens; --dtype=float32 avoids it."
)
_KERNEL = '.kernel'  # [in, out] here; ggml keeps [out, in]


def problems(model: schema.ModelConfig, tokenizer: text.Tokenizer) -> list[str]:
    """Why llama.cpp could not run this model; [] if it can."""
    found = []
    if model.activation != 'gelu_new':
        found.append(
            f'model.activation={model.activation}, and llama.cpp computes GPT-2 with '
            'gelu_new alone; export with --format=hf.'
        )
    if not model.scale_attn_weights or model.scale_attn_by_inverse_layer_idx:
        found.append(
            'model.scale_attn_weights or model.scale_attn_by_inverse_layer_idx is not '
            "GPT-2's own, and llama.cpp has no other; export with --format=hf."
        )
    if isinstance(tokenizer, text.FastTokenizer) and not tokenizer.is_gpt2_bpe:
        found.append(
            "the run's tokenizer.json is neither GPT-2's BPE nor SentencePiece, and "
            'llama.cpp has no such tokenizer; export with --format=hf.'
        )
    return found


def write(
    path: pathlib.Path,
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    *,
    dtype: str,
    name: str,
) -> list[str]:
    """Writes the model of `parameters` (dotted path -> array), its vocabulary unpadded.

    `dtype` is 'float32', 'float16', 'bfloat16' or 'q8_0'. Returns notes: which texts
    llama.cpp's tokenizer reads otherwise than `tokenizer` does, and q8_0's rounding.
    """
    type_, file_type = _TYPES[dtype]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.GPT2])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_context_length(model.n_positions)
    writer.add_embedding_length(model.n_embd)
    writer.add_feed_forward_length(model.mlp_width)
    writer.add_block_count(model.n_layer)
    writer.add_head_count(model.n_head)
    writer.add_layer_norm_eps(model.layer_norm_epsilon)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    notes = _add_tokenizer(writer, tokenizer, num_rows=model.vocab_size)
    if dtype == 'q8_0':
        notes.append(_Q8_NOTE)
    writer.add_chat_template(chat_template.JINJA)
    for ours, theirs in _names(model).items():
        array = parameters[ours].T if ours.endswith(_KERNEL) else parameters[ours]
        array = np.ascontiguousarray(array, np.float32)
        kind = _type(ours, array.shape, type_)
        writer.add_tensor(theirs, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return notes


def as_stored(
    parameters: dict[str, np.ndarray], *, dtype: str
) -> dict[str, np.ndarray]:
    """The numbers that a file of `dtype` keeps of float32 parameters."""
    kept = {}
    for ours, array in parameters.items():
        turned = array.T if ours.endswith(_KERNEL) else array
        kind = _type(ours, turned.shape, _TYPES[dtype][0])
        turned = np.ascontiguousarray(turned, np.float32)
        stored = gguf.quants.quantize(turned, kind)
        back = gguf.quants.dequantize(stored, kind).reshape(turned.shape)
        kept[ours] = back.T if ours.endswith(_KERNEL) else back
    return kept


def read(path: pathlib.Path) -> tuple[schema.ModelConfig, dict[str, np.ndarray]]:
    """The sizes and the float32 parameters (dotted path -> array) of a GPT-2's file.

    Raises:
      InputError: it is damaged or of another architecture, or it lists every tensor
        that is missing, extra, misshapen, not finite or of a type that is not read.
    """
    try:
        reader = gguf.GGUFReader(path)
        values = {name: field.contents() for name, field in reader.fields.items()}
        architecture = values['general.architecture']
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except Exception as error:  # gguf raises many kinds for one cause
        raise errors.InputError(
            f'{path} is no GGUF file, or damaged or cut short ({error}). Copy it again.'
        ) from error
    if architecture != 'gpt2':
        raise errors.InputError(
            f'{path} is of the architecture {architecture!r}, and hax_jax trains gpt2; '
            'give a file of a GPT-2.'
        )
    model = _sizes(path, values, tensors)
    if model.tie_embeddings:
        tensors.pop('output.weight', None)
    names, shapes = _names(model), naming.parameter_shapes(model)
    stored = {name: _float32(tensor) for name, tensor in tensors.items()}
    wrong = accounting.problems(
        stored,
        {
            theirs: shapes[ours][::-1] if ours.endswith(_KERNEL) else shapes[ours]
            for ours, theirs in names.items()
        },
    )
    if wrong:
        raise errors.InputError(
            f'{path} does not hold the model that its fields describe; convert it '
            'again:\n' + '\n'.join(wrong)
        )
    return model, {
        ours: np.asarray(
            stored[theirs].T if ours.endswith(_KERNEL) else stored[theirs], np.float32
        )
        for ours, theirs in names.items()
    }


def _float32(tensor: gguf.ReaderTensor) -> np.ndarray:
    """A tensor's numbers; of a type that gguf can't decode, what is stored."""
    try:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        return np.asarray(tensor.data)
    return np.asarray(array, np.float32).reshape(tensor.shape[::-1])


def is_one(path: pathlib.Path) -> bool:
    with open(path, 'rb') as file:
        return file.read(4) == b'GGUF'


def read_tokenizer(path: pathlib.Path) -> text.Tokenizer:
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


def eos_of(path: pathlib.Path) -> str:
    """The text of a file's EOS token."""
    fields = gguf.GGUFReader(path).fields
    eos = fields[gguf.Keys.Tokenizer.EOS_ID].contents()
    return fields[gguf.Keys.Tokenizer.LIST].contents(int(eos))


def _sizes(
    path: pathlib.Path, values: dict[str, Any], tensors: dict[str, Any]
) -> schema.ModelConfig:
    """The model that a file's fields describe."""
    try:
        rows = int(tensors['token_embd.weight'].shape[1])
        model = schema.ModelConfig(
            n_layer=values['gpt2.block_count'],
            n_head=values['gpt2.attention.head_count'],
            n_embd=values['gpt2.embedding_length'],
            n_positions=values['gpt2.context_length'],
            n_inner=values['gpt2.feed_forward_length'],
            layer_norm_epsilon=float(
                f'{values["gpt2.attention.layer_norm_epsilon"]:.6g}'
            ),
            vocab_size=rows,
            tie_embeddings='output.weight' not in tensors
            or np.array_equal(
                tensors['output.weight'].data, tensors['token_embd.weight'].data
            ),
        )
    except KeyError as error:
        raise errors.InputError(
            f'{path} lacks {error}, which each GGUF file of GPT-2 has; copy it again.'
        ) from error
    if model.n_inner == 4 * model.n_embd:
        model = dataclasses.replace(model, n_inner=0)
    return model


def _type(
    ours: str, shape: tuple[int, ...], type_: gguf.GGMLQuantizationType
) -> gguf.GGMLQuantizationType:
    """What a tensor is stored as; a row that fills no block of q8_0 is float16."""
    if len(shape) == 1 or ours == 'wpe.embedding':
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[type_]
    return gguf.GGMLQuantizationType.F16 if shape[-1] % block else type_


def _names(model: schema.ModelConfig) -> dict[str, str]:
    """Dotted path -> the file's name: h.0.ln_1.scale -> blk.0.attn_norm.weight."""
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, model.n_layer)
    return {
        ours: known.get_name(naming.hugging_face(ours), ('.weight', '.bias'))
        for ours in naming.parameter_shapes(
            dataclasses.replace(model, pad_vocab_to_multiple_of=1)
        )
    }


def _add_tokenizer(
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


def _characters_as_bytes(tokens: list[str], types: list[int]) -> None:
    """Undoes `_bytes_as_characters`; its bytes from 128 on say where they all lie."""
    if '<0x80>' in tokens:
        zero = tokens.index('<0x80>') - 128
        for number in range(256):
            tokens[zero + number] = f'<0x{number:02X}>'
            types[zero + number] = gguf.TokenType.BYTE
