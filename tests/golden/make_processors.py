"""Writes golden/processors.npz: what transformers' processors make of random logits.

A development tool: needs torch and transformers. Run from the checkout's root:

    pip install torch transformers
    python tests/golden/make_processors.py

Made with torch 2.13.0 and transformers 5.23.0. Each row is given to transformers alone,
without padding, in the list that `generate` itself makes of a GenerationConfig.
"""

import json
import pathlib

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent
VOCAB_SIZE, EOS_ID = 40, 7
# Prompt and new tokens of each row; the first has fewer tokens than most n-grams.
LENGTHS = ((1, 1), (3, 4), (12, 4), (25, 4))
CASES = {
    'plain': {},
    'temperature': {'temperature': 0.6},
    'top_k': {'top_k': 5},
    'top_p': {'top_p': 0.8},
    'min_p': {'min_p': 0.1},
    'min_p high': {'min_p': 0.9},
    'penalty': {'repetition_penalty': 1.3},
    'penalty under 1': {'repetition_penalty': 0.7},
    'ngram 1': {'no_repeat_ngram_size': 1},
    'ngram 2': {'no_repeat_ngram_size': 2},
    'ngram 3': {'no_repeat_ngram_size': 3},
    'ngram 30': {'no_repeat_ngram_size': 30},
    'minimum met': {'min_new_tokens': 4},
    'minimum': {'min_new_tokens': 5},
    'predecessor': {
        'temperature': 0.7,
        'top_k': 12,
        'top_p': 0.9,
        'repetition_penalty': 1.1,
        'no_repeat_ngram_size': 3,
    },
    'all': {
        'temperature': 1.4,
        'top_k': 15,
        'top_p': 0.9,
        'min_p': 0.08,
        'repetition_penalty': 1.5,
        'no_repeat_ngram_size': 2,
        'min_new_tokens': 9,
    },
    'cold and long': {
        'temperature': 0.3,
        'top_p': 0.95,
        'min_p': 0.02,
        'repetition_penalty': 1.2,
        'min_new_tokens': 9,
    },
    'greedy': {
        'do_sample': False,
        'repetition_penalty': 1.2,
        'no_repeat_ngram_size': 2,
        'min_new_tokens': 9,
    },
}


def main() -> None:
    rng = np.random.default_rng(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=1, n_head=1, n_embd=4, vocab_size=VOCAB_SIZE, eos_token_id=EOS_ID
        )
    )
    logits = rng.normal(size=(len(LENGTHS), VOCAB_SIZE), scale=2).astype(np.float32)
    logits[:, EOS_ID] = 4.0  # so likely that removing it shows
    # Few different tokens, so that n-grams recur.
    contexts = [rng.integers(0, 6, prompt + new) for prompt, new in LENGTHS]
    golden = {'logits': logits, 'lengths': np.array(LENGTHS)}
    golden |= {f'context {i}': context for i, context in enumerate(contexts)}
    for name, case in CASES.items():
        settings = {'do_sample': True, 'temperature': 1.0, 'top_k': 0, 'top_p': 1.0}
        settings |= case
        if not settings['do_sample']:
            settings = {
                k: v for k, v in settings.items() if k[:3] not in ('tem', 'top')
            }
        rows = []
        for (prompt, _), context, row in zip(LENGTHS, contexts, logits, strict=True):
            generation = transformers.GenerationConfig(
                eos_token_id=EOS_ID, pad_token_id=EOS_ID, **settings
            )
            model._prepare_special_tokens(generation, device=torch.device('cpu'))
            ids = torch.tensor(context)[None]
            processors = model._get_logits_processor(
                generation, input_ids_seq_length=prompt, encoder_input_ids=ids
            )
            rows.append(processors(ids, torch.tensor(row)[None])[0].numpy())
        golden[f'scores {name}'] = np.stack(rows)
    golden['cases'] = np.array(json.dumps(CASES))
    np.savez_compressed(FOLDER / 'processors.npz', **golden)


if __name__ == '__main__':
    main()
