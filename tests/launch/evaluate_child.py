"""What test_evaluate_program.py runs in a child process: runs, and their evaluation.

The flags of launch.evaluate can't be defined beside those of launch.sample, and a run
has to be trained where it is evaluated for the numbers to be equal bit for bit.
Prints one JSON object: what each call printed, or its error.
"""

import contextlib
import dataclasses
import io
import json
import pathlib
import random
import shutil
import sys

import numpy as np
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from data_pipeline import dataset, pack
from hax_jax import errors, files
from hax_jax.config import export_request, schema
from hax_jax.data import records
from hax_jax.devices import runtime
from hax_jax.model import naming
from hax_jax.runs import export, origin, run_folder
from hax_jax.training import run_setup, train_loop
from launch import evaluate

WORDS = ['aunt', 'door', 'letter', 'garden', 'train', 'quarrel', 'supper', 'coat']


def write_dataset(folder: pathlib.Path, *, seed: int) -> None:
    """24 pairs to train on, 14 in 7 groups of two sources to validate, none to test."""
    rng = random.Random(seed)
    pairs = [
        records.QaPair(
            id=f'{seed}-{i}',
            group=f'group {i // 2}',
            source=('chat', 'reddit')[i % 4 // 2],
            file='a.md',
            line=i,
            topic='',
            time='',
            question=' '.join(rng.choices(WORDS, k=8)),
            answer=' '.join(rng.choices(WORDS, k=6)),
        )
        for i in range(38)
    ]
    splits = {'train': pairs[:24], 'validation': pairs[24:], 'test': []}
    dataset.write(folder, splits, sources=[], split_rule={}, ledger={})


def train(data: pathlib.Path, workdir: pathlib.Path, **changes: object) -> None:
    settings = {
        'data__path': str(data),
        'data__seq_len': 64,
        'tokenizer__path': 'train',
        'tokenizer__vocab_size': 400,
        'model__n_positions': 64,
        'model__vocab_size': 0,
        'model__n_layer': 1,
        'train__num_steps': 6,
        'train__batch_size': 4,
        'train__eval_every_steps': 3,
        'train__checkpoint_every_steps': 3,
    }
    run = tiny_runs.make_config(**(settings | changes))
    if run.model.pretrained:
        run = tiny_runs.lora(run, pathlib.Path(run.model.pretrained))
    run, path = origin.resolve(run)
    tokenizer = pack.load_tokenizer(run.data, run.tokenizer, path=path)
    run = origin.with_vocab(run, tokenizer)
    cache = records.open_cache(pack.ensure_packed(run.data, tokenizer))
    train_loop.train(run_setup.prepare(run, cache), workdir, allow_change=[])


def write_imported(workdir: pathlib.Path, data: pathlib.Path) -> None:
    """A run made elsewhere: random weights, 48 positions, a tokenizer of its own."""
    tokenizer = pack.load_tokenizer(
        schema.DataConfig(path=str(data)),
        schema.TokenizerConfig(vocab_size=330),
        path='train',
    )
    model = schema.ModelConfig(
        n_layer=1, n_head=2, n_embd=32, n_positions=48, vocab_size=tokenizer.vocab_size
    )
    rng = np.random.default_rng(0)
    with files.new_folder(workdir) as folder:
        origin.write_imported(
            folder,
            model=model,
            lora_settings=schema.LoraConfig(),
            parameters={
                name: rng.normal(0, 0.1, shape).astype(np.float32)
                for name, shape in naming.parameter_shapes(model).items()
            },
            base=None,
            tokenizer=tokenizer,
            step=0,
            origin='a test',
        )


def call(*arguments: object) -> str:
    out = io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stdout(out):
        flags.FLAGS(['evaluate', *map(str, arguments)])
        try:
            evaluate.main()
        except errors.InputError as error:
            return f'error: {error}'
    return out.getvalue()


def damaged(workdir: pathlib.Path, data: pathlib.Path, copy: pathlib.Path) -> str:
    """What is said of a dataset whose packed rows were shifted once more."""
    shutil.copytree(data, copy)
    for path in copy.rglob('validation/targets.npy'):
        np.save(path, np.roll(np.load(path), 1, axis=1))
    return call(f'--workdir={workdir}', f'--data={copy}')


def main(root: pathlib.Path) -> dict[str, str]:
    runtime.start()
    runtime.start = lambda: None
    write_dataset(root / 'data', seed=0)
    write_dataset(root / 'other', seed=1)
    full, lora, small = root / 'full', root / 'lora', root / 'small'
    train(root / 'data', full)
    train(
        root / 'data',
        lora,
        model__pretrained=str(full),
        tokenizer__path='',
        model__pad_vocab_to_multiple_of=32,
    )
    write_imported(small, root / 'other')
    shutil.copytree(full, root / 'elsewhere')
    run = run_folder.read_config(full)
    data = dataclasses.replace(run.data, path=str(root / 'other'))
    run_folder.write(
        root / 'elsewhere',
        dataclasses.replace(run, data=data),
        run_folder.read_run(full),
    )
    export.write(str(full), str(root / 'hf'), export_request.Request('hf'), step=6)
    data = f'--data={root / "data"}'
    run, out = f'--workdir={full}', f'--output={root}'
    return {
        'lora': call(f'--workdir={lora}', '--step=3', f'{out}/lora.json'),
        'steps': call(run, '--step=3', '--step=6', f'{out}/steps.json'),
        'base': call(
            f'--workdir={lora}', f'--pretrained={root / "hf"}', f'{out}/base.json'
        ),
        'both': call(run, f'--workdir={lora}', f'{out}/both.json'),
        'tokenizers': call(run, f'--workdir={small}', data, f'{out}/tokenizers.json'),
        'different': call(run, f'--workdir={root / "elsewhere"}'),
        'imported': call(f'--workdir={small}'),
        'trained on': call(
            f'--workdir={lora}', '--split=train', data, f'{out}/trained.json'
        ),
        'not known': call(f'--workdir={root / "elsewhere"}', data),
        'empty': call(run, '--split=test'),
        'no step': call(run, '--step=4'),
        'a run as pretrained': call(f'--pretrained={full}', data),
        'long': call(run, '--seq_len=65'),
        'moved': call(run, f'--data={root / "gone"}'),
        'flags': call('--step=1', '--seq_len=3', '--batch_size=-1', '--seed=-1'),
        'too many': call(run, run, run, '--step=1', out),
        'twice': call(run, f'--workdir={full}/../full'),
        'not ours': call(run, f'--output={full / "run.json"}'),
        'again': call(f'--workdir={lora}', '--step=3', f'{out}/lora.json'),
        'damaged': damaged(full, root / 'data', root / 'damaged'),
        'no data': call(f'--pretrained={root / "hf"}'),
    }


if __name__ == '__main__':
    json.dump(main(pathlib.Path(sys.argv[1])), sys.stdout)
