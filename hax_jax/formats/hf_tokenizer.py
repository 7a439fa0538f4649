"""A tokenizer's files as transformers' AutoTokenizer loads them, compared id for id.

transformers writes GPT-2's BPE. A SentencePiece model is copied as it is, and converted
to tokenizer.json: no normalisation but U+2581 for spaces, no prefix, rare characters as
bytes. Text that looks like a special token is one, as transformers has it: whoever
trains the folder further adds EOS as text. Training here reads such text as plain
(`split_special_tokens=True` at the call does so there).
"""

import itertools
import json
import operator
import pathlib
import random
import re
from collections.abc import Sequence

import tokenizers

from hax_jax import errors, files
from hax_jax.data import text
from hax_jax.formats import chat_template

_JSON = 'tokenizer.json'
_SETTINGS = 'tokenizer_config.json'
_SPACE_MARK = '\u2581'
_NUM_RANDOM = 1000  # probes of each kind
_PROBES = [
    text.HEAD,
    text.TAIL,
    text.CUT,
    f'{text.HEAD}My  aunt\u2019s \u201ccat\u201d\u2026{text.TAIL}No \u2014 never.',
    ' ',
    '  two  spaces   three    four     ',
    ' \n\n\n a\r\n\tb \n',
    'nai\u0308ve na\u00efve \u6771\u4eac \u0627\u0644 \u0928\u093f \U0001f600',
    '\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \ufeff\u200b\xa0',
    f'{_SPACE_MARK}a{_SPACE_MARK}{_SPACE_MARK} b',
    '</s> <unk> <s> <pad> <0x41> <0xzz> <|endoftext|> <|endoftext|',
    # Every byte that occurs in UTF-8.
    ''.join(map(chr, [*range(0x801), *range(0x1000, 0x110000, 0x1000)])),
]


# Stands in for the line of a model card that makes the tokenizer.
_WITHOUT_TOKENIZER = """\
```python
import sentencepiece

model = f'{folder}/sentencepiece.model'
tokenizer = sentencepiece.SentencePieceProcessor(model_file=model)
# In place of tokenizer(piece).input_ids:
tokenizer.encode(piece.replace('\\u2581', '_'))
# In place of tokenizer.decode(..., skip_special_tokens=True):
tokenizer.decode([int(i) for i in out[0, ids.shape[1] :] if i != tokenizer.eos_id()])
```
"""


def write(
    folder: pathlib.Path, tokenizer: text.Tokenizer, *, n_positions: int
) -> list[str]:
    """Writes a tokenizer that transformers loads, and compares it; returns notes.

    Where transformers would not give the ids of a SentencePiece model, the folder holds
    that model alone, and transformers refuses to make a tokenizer of it.

    Raises:
      MismatchError: transformers gives other ids than GPT-2's BPE.
    """
    _write_files(folder, tokenizer, n_positions=n_positions)
    found = difference(folder, tokenizer)
    if not found:
        return []
    if not (folder / text.SENTENCEPIECE_FILE).is_file():
        raise errors.MismatchError(f'the tokenizer that was written differs: {found}.')
    (folder / _JSON).unlink()
    (folder / text.SENTENCEPIECE_FILE).rename(folder / text.SENTENCEPIECE_ALONE)
    return [
        'transformers can load no tokenizer from this folder: it would give other ids '
        f'than sentencepiece, with which this model was trained ({found}). Encode and '
        f'decode with {text.SENTENCEPIECE_ALONE} and sentencepiece:\n'
        f'\n{_WITHOUT_TOKENIZER}'
    ]


def _write_files(
    folder: pathlib.Path, tokenizer: text.Tokenizer, *, n_positions: int
) -> None:
    """Writes the tokenizer's own files, tokenizer.json and tokenizer_config.json.

    EOS is the padding token too: the model has no other.
    """
    tokenizer.save(folder)
    model = folder / text.SENTENCEPIECE_FILE
    if model.is_file():
        converted, eos, unknown = _convert(model.read_bytes())
        files.write_text(folder / _JSON, converted.to_str(pretty=True) + '\n')
        settings = {
            'tokenizer_class': 'PreTrainedTokenizerFast',
            'bos_token': eos,
            'eos_token': eos,
            'unk_token': unknown,
            # Without it some versions add token_type_ids, which GPT-2 would embed.
            'model_input_names': ['input_ids', 'attention_mask'],
        }
    else:
        settings = json.loads((folder / _SETTINGS).read_text(encoding='utf-8'))
        for name in ('is_local', 'local_files_only'):  # how it was loaded here
            settings.pop(name, None)
    settings |= {
        'pad_token': settings['eos_token'],
        'model_max_length': n_positions,
        'clean_up_tokenization_spaces': False,
        'split_special_tokens': False,
        'chat_template': chat_template.JINJA,
    }
    files.write_json(folder / _SETTINGS, settings)


def difference(folder: pathlib.Path, tokenizer: text.Tokenizer) -> str:
    """Where AutoTokenizer and `tokenizer` differ, in words; '' if they agree.

    Compares hard texts and random runs of the tokenizer's own pieces.
    """
    import transformers  # 1 s to import

    try:
        fast = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many kinds for one cause
        return f'transformers does not load it: {error}'
    if (fast.eos_token_id, fast.pad_token_id) != (tokenizer.eos_id, tokenizer.eos_id):
        return f'EOS is {tokenizer.eos_id}, transformers has {fast.eos_token_id}'
    fast.model_max_length = 2**30  # else it warns of longer probes
    probes = [*_PROBES, *random_texts(tokenizer)]
    ours = tokenizer.encode(probes)
    theirs = fast(probes, split_special_tokens=True).input_ids
    for probe, own, ids in zip(probes, ours, theirs, strict=True):
        if own != ids:
            same = map(operator.eq, own, ids)
            at = sum(itertools.takewhile(bool, same))  # equal tokens before the first
            return (
                f'{_cut(probe)} has ids {own[at : at + 5]} at token {at}, in '
                f'transformers {ids[at : at + 5]}'
            )
        if tokenizer.decode(own) != fast.decode(ids, skip_special_tokens=True):
            return f'{_cut(probe)} is decoded otherwise by transformers'
    if fast(probes[0] + fast.eos_token).input_ids != [*ours[0], tokenizer.eos_id]:
        return f'{fast.eos_token} at the end of a text is not EOS in transformers'
    return ''


def random_texts(tokenizer: text.Tokenizer) -> list[str]:
    """Texts of any pieces, and of runs of a few short ones, which tie and merge."""
    rng = random.Random(0)
    pieces = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
    short = [piece for piece in pieces if len(piece) == 1]
    texts = []
    for _ in range(_NUM_RANDOM):
        texts.append(''.join(rng.choices(pieces, k=rng.randint(1, 40))))
        few = rng.choices(short, k=3)
        texts.append(''.join(rng.choices(few, k=rng.randint(1, 60))))
        texts.append(''.join(rng.choices(short, k=rng.randint(1, 60))))
    return texts


def _convert(proto: bytes) -> tuple[tokenizers.Tokenizer, str, str]:
    """(the same tokenizer for transformers, its EOS piece, its unknown piece)."""
    from sentencepiece import sentencepiece_model_pb2  # slow, and asked only here

    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    spec, kind = model.trainer_spec, model.SentencePiece
    of_type = {
        type_: [piece.piece for piece in model.pieces if piece.type == type_]
        for type_ in (kind.UNKNOWN, kind.CONTROL, kind.BYTE, kind.USER_DEFINED)
    }
    unknown = of_type[kind.UNKNOWN][0]
    # User-defined pieces, the newline among them, are found before all others.
    alone = sorted(of_type[kind.USER_DEFINED], key=len, reverse=True)
    patterns = [re.escape(piece) for piece in alone]
    if spec.model_type == spec.UNIGRAM:
        converted = tokenizers.Tokenizer(
            tokenizers.models.Unigram(
                [(piece.piece, piece.score) for piece in model.pieces],
                unk_id=spec.unk_id,
                byte_fallback=spec.byte_fallback,
            )
        )
        # A letter that holds '</s>' would get EOS: '<' is cut off from what follows.
        reserved = [unknown, *of_type[kind.CONTROL], *of_type[kind.BYTE]]
        patterns += [f'{re.escape(p[0])}(?={re.escape(p[1:])})' for p in reserved]
    else:
        converted = tokenizers.Tokenizer(
            tokenizers.models.BPE(
                vocab={piece.piece: i for i, piece in enumerate(model.pieces)},
                merges=_merges(model.pieces) if spec.model_type == spec.BPE else [],
                unk_token=unknown,
                byte_fallback=spec.byte_fallback,
            )
        )
    converted.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Replace(_SPACE_MARK, '_'),  # as text.py does
            tokenizers.normalizers.Replace(' ', _SPACE_MARK),
        ]
    )
    if patterns:
        converted.pre_tokenizer = tokenizers.pre_tokenizers.Split(
            tokenizers.Regex('|'.join(patterns)), 'isolated'
        )
    # Of several characters: there are no merges that lead to it.
    whole = [tokenizers.AddedToken(p, normalized=False) for p in alone if len(p) > 1]
    converted.add_tokens(whole)
    converted.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace(_SPACE_MARK, ' '),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
        ]
    )
    return converted, model.pieces[spec.eos_id].piece, unknown


def _merges(pieces: Sequence) -> list[tuple[str, str]]:
    """Each pair of pieces that joins to a piece, the highest score first.

    SentencePiece joins any such pair; tokenizers only those that are listed.
    """
    scores = {
        piece.piece: piece.score for piece in pieces if piece.type == piece.NORMAL
    }
    merges = [
        (-score, i, joined[:at], joined[at:])
        for i, (joined, score) in enumerate(scores.items())
        for at in range(1, len(joined))
        if joined[:at] in scores and joined[at:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(merges)]


def _cut(probe: str) -> str:
    return ascii(probe if len(probe) <= 60 else f'{probe[:57]}...')
