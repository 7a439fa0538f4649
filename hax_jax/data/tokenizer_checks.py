"""What tokenizer.json does to text, and damage that it shows by itself."""

import json
import pathlib
from typing import Any

import tokenizers

_MORE_OF_BPE = (
    'byte_fallback',
    'continuing_subword_prefix',
    'dropout',
    'end_of_word_suffix',
    'ignore_merges',
)


def is_more_than_gpt2(path: pathlib.Path) -> bool:
    """Whether a tokenizer.json does more to text than GPT-2's byte-level BPE.

    A class made for GPT-2 forgets the rest: a normalizer that lower-cases, a space
    before the first word, another way to split.

    Raises:
      Exception: tokenizers' own: the file is damaged.
    """
    if not path.is_file():
        return False
    backend = json.loads(tokenizers.Tokenizer.from_file(str(path)).to_str())
    model, split = backend['model'], backend['pre_tokenizer'] or {}
    plain = (
        backend['normalizer'] is None
        and (backend['decoder'] or {}).get('type') == 'ByteLevel'
        and split.get('type') == 'ByteLevel'
        and not split['add_prefix_space']
        and split['use_regex']
        and model['type'] == 'BPE'
        and not any(model.get(name) for name in _MORE_OF_BPE)
    )
    return not plain


def problem(backend: dict[str, Any]) -> str:
    """What is wrong with a tokenizer, as tokenizers' JSON; '' if nothing shows.

    Where no digest covers the files: a cut vocab.json or tokenizer.json is no JSON, and
    a cut merges.txt is read without a word: then tokens are left over that no merge
    makes. Tokens in brackets, such as <pad>, are made by none.
    """
    model = backend['model']
    vocab = model['vocab']
    if isinstance(vocab, list):  # of a Unigram: [[piece, score], ...]
        vocab = {piece: i for i, (piece, _) in enumerate(vocab)}
    added = {token['content']: token['id'] for token in backend['added_tokens']}
    ids = {**vocab, **added}
    taken = set(ids.values())
    if len(taken) < len(ids):
        return f'{len(ids)} tokens share {len(taken)} ids'
    if taken != set(range(len(ids))):
        missing = min(set(range(len(ids))) - taken)
        return f'no token has the id {missing}, of {len(ids)} tokens'
    if model['type'] != 'BPE':
        return ''
    pairs = (m.split(' ') if isinstance(m, str) else m for m in model['merges'])
    made = {left + right for left, right in pairs}
    left_over = [
        token
        for token in vocab
        if len(token) > 1
        and token not in made
        and token not in added
        and not (token[0] in '<[' and token[-1] in '>]')
    ]
    if left_over:
        return (
            f'no merge makes {left_over[0]!r} and {len(left_over) - 1} others of its '
            f'{len(ids)} tokens, so its merges are cut or of another tokenizer'
        )
    return ''
