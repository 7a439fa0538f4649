"""python one_dpo_step.py FOLDER WORK: TRL's DPOTrainer takes a step on FOLDER's files.

The model is a tiny GPT-2 of random weights, its tokenizer made of bytes, its chat
template that of this project's exports.
"""

import os
import pathlib
import sys

os.environ |= {'HF_HUB_OFFLINE': '1', 'CUDA_VISIBLE_DEVICES': ''}

import datasets
import tokenizers
import torch
import transformers
import trl

from hax_jax.formats import chat_template


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=['<|endoftext|>'],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator([], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token='<|endoftext|>',
        pad_token='<|endoftext|>',
        chat_template=chat_template.JINJA,
    )


def main() -> None:
    folder, work = map(pathlib.Path, sys.argv[1:])
    data = datasets.load_dataset(str(folder), cache_dir=str(work / 'cache'))
    for split, rows in data.items():
        lines = (folder / f'{split}.jsonl').read_text().splitlines()
        assert len(rows) == len(lines), split
    names = tokenizer()
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=16, n_positions=512, vocab_size=len(names)
    )
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(work / 'model')
    trainer = trl.DPOTrainer(
        str(work / 'model'),  # from which it loads its reference too
        args=trl.DPOConfig(
            output_dir=str(work / 'dpo'),
            max_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-3,
            report_to='none',
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=data['train'],
        processing_class=names,
    )
    trainer.train()
    before, after = (each.transformer.wte.weight for each in (model, trainer.model))
    assert not torch.equal(before.detach(), after.detach().cpu())
    first = trainer.train_dataset[0]
    print(repr(names.decode(first['prompt_ids'] + first['chosen_ids'])))
    print('one step of DPO')


if __name__ == '__main__':
    main()
