"""Damage that a byte-level BPE shows by itself, where no digest covers its files."""

from typing import Any


def bpe_problem(backend: dict[str, Any]) -> str:
    """What is wrong with a tokenizer, as tokenizers' JSON; '' if nothing shows.

    A cut vocab.json or tokenizer.json is no JSON, and a cut merges.txt is read without
    a word: then tokens are left over that no merge makes. Tokens in brackets, such as
    <pad>, are made by none.
    """
    model = backend['model']
    if model['type'] != 'BPE':
        return f'its model is {model["type"]}, and GPT-2 has a BPE'
    added = {token['content']: token['id'] for token in backend['added_tokens']}
    ids = {**model['vocab'], **added}
    taken = set(ids.values())
    if len(taken) < len(ids):
        return f'{len(ids)} tokens share {len(taken)} ids'
    if taken != set(range(len(ids))):
        missing = min(set(range(len(ids))) - taken)
        return f'no token has the id {missing}, of {len(ids)} tokens'
    pairs = (m.split(' ') if isinstance(m, str) else m for m in model['merges'])
    made = {left + right for left, right in pairs}
    left_over = [
        token
        for token in model['vocab']
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
