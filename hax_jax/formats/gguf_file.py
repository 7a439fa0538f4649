"""GPT-2 as a GGUF file, which llama.cpp and Ollama run: written and read back.

Vectors and position embeddings stay float32, as in llama.cpp's own conversions; each
matrix is of the file's type (q8_0 has one float16 scale to 32 numbers of 8 bits).
Its tokenizer: gguf_tokenizer.py.
"""

import dataclasses
import pathlib
from typing import Any

import gguf
import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import accounting, chat_template, gguf_tokenizer
from hax_jax.model import naming

FILE = 'model.gguf'
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
    notes = gguf_tokenizer.add(writer, tokenizer, num_rows=model.vocab_size)
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
        if errors.is_of_machine(error):
            raise
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
