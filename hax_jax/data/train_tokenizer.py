"""Trains a SentencePiece model that keeps every text, as `text` reads it back."""

import io
from collections.abc import Iterable, Iterator

import sentencepiece

from hax_jax import errors
from hax_jax.data import text

# Ends of English contractions, each a piece: other pieces hold no apostrophe beside
# letters, and a small model of those writes "I't". Source: Penn Treebank tokenization.
_ENDINGS = ("n't", "'s", "'m", "'re", "'ve", "'ll", "'d")


def of_texts(texts: Iterable[str], *, vocab_size: int, model_type: str) -> bytes:
    """The bytes of a SentencePiece model of at most `vocab_size` pieces.

    Lines are the sentences; the newline itself is a piece of its own.

    Raises:
      InputError: there is no text, or `vocab_size` is too small for its characters.
      Exception: what reading `texts` raised.
    """
    failed: list[BaseException] = []

    def lines() -> Iterator[str]:
        try:
            for each in texts:
                yield from filter(None, each.split('\n'))
        except BaseException as error:  # sentencepiece would train on what it has
            failed.append(error)

    model = io.BytesIO()
    words = model_type != 'char' and vocab_size >= 1024  # a smaller one has few words
    endings = _ENDINGS if words else ()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines(),
            model_writer=model,
            vocab_size=vocab_size,
            model_type=model_type,
            user_defined_symbols=['\n', *endings],
            normalization_rule_name='identity',
            byte_fallback=True,
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            hard_vocab_limit=False,
            max_sentence_length=2**20,
            input_sentence_size=1_000_000,
            shuffle_input_sentence=False,
            bos_id=-1,
            pad_id=-1,
            unk_id=0,
            eos_id=1,
            num_threads=1,
            minloglevel=2,
        )
        made = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        if made.decode(made.encode(text.PROBE)) != text.PROBE:
            raise RuntimeError('pieces of single bytes found no place')
    except RuntimeError as error:
        if failed:
            raise failed[0] from None
        raise errors.InputError(
            f'tokenizer.vocab_size={vocab_size} is too small for the characters of the '
            f'text ({model_type}; or there is no text): {error}. Raise it.'
        ) from error
    if failed:
        raise failed[0]
    return model.getvalue()
