"""A packed cache with text and a tokenizer, and a config that answers its questions."""

import pathlib

import tiny_runs

from hax_jax import files
from hax_jax.config import schema
from hax_jax.data import packing, records, text

SEQ_LEN = 96
QUESTIONS = ['My mother visits.\n\nWhy?', 'Is it rude?', 'Who pays?', 'May I go home?']
ANSWER = 'Ask her once, kindly, to call first.'


def pair(number: int, **changes: str) -> records.QaPair:
    """Pair `number`: of four questions in turn, of two sources, three of the first."""
    values = {
        'source': 'chat' if number % 4 else 'reddit',
        'question': QUESTIONS[number % 4],
        'answer': ANSWER,
    }
    return records.QaPair(
        id=f'p{number}',
        group=f'{number}',
        file='a.md',
        line=1,
        topic='',
        time='',
        **(values | changes),
    )


def write_cache(
    folder: pathlib.Path, tokenizer: text.Tokenizer, pairs: list[records.QaPair]
) -> records.PackedCache:
    """Each split has all the pairs; long answers are split."""
    tokenized = packing.tokenize(
        pairs, tokenizer, seq_len=SEQ_LEN, long_answers='split'
    )
    split = packing.pack(tokenized.pairs, seq_len=SEQ_LEN, question_weight=0.0)
    meta = {
        'tokenizer': tokenizer.fingerprint,
        'template': text.TEMPLATE_VERSION,
        'seq_len': SEQ_LEN,
        'splits': dict.fromkeys(records.SPLITS, packing.count_positions(split)),
        'vocab_size': tokenizer.vocab_size,
        'eos_id': tokenizer.eos_id,
    }
    with files.new_folder(folder) as new:
        (new / 'tokenizer').mkdir()
        tokenizer.save(new / 'tokenizer')
        records.write_cache(new, dict.fromkeys(records.SPLITS, split), meta)
    return records.open_cache(folder)


def make_config(**changes: object) -> schema.Config:
    """4 steps, evaluated at 0, 2 and 4, two questions answered in 12 tokens."""
    settings = {
        'data__seq_len': SEQ_LEN,
        'model__n_positions': SEQ_LEN,
        'model__vocab_size': 320,
        'model__n_layer': 1,
        'optimizer__warmup_steps': 0,
        'train__num_steps': 4,
        'train__batch_size': 2,
        'train__eval_every_steps': 2,
        'train__checkpoint_every_steps': 2,
        'train__num_sample_questions': 2,
        'train__sample_max_new_tokens': 12,
    }
    return tiny_runs.make_config(**(settings | changes))
