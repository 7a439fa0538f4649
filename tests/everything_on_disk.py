"""One of everything that the project writes, tiny, and what uses each of it.

A `Unit` is a folder whose files are worth damaging, with its uses: functions of a copy
of the folder that give all that comes out, as JSON values. Equal bytes on the disk give
equal values.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import pathlib
import random
import re
import shutil
from collections.abc import Callable
from typing import Any

import answered_runs
import conftest
import numpy as np
import safetensors.numpy
import tiny_steps
import tokenizers

import hax_jax
from hax_jax import digests, sha256sums
from hax_jax.config import export_request, schema
from hax_jax.data import records, text, train_tokenizer
from hax_jax.evaluation import scoring
from hax_jax.formats import hf_folder, model_card, pretrained
from hax_jax.runs import export, import_model, restore

Use = Callable[[pathlib.Path], dict[str, Any]]
STEPS = 6  # of a resumed run; the runs on the disk have done 4
_LETTER = 'My brother visits.\n\nIs it rude?'
_GREEDY = schema.SamplingConfig(max_new_tokens=8, temperature=0.0)


@dataclasses.dataclass(frozen=True)
class Unit:
    """A folder, its uses, and where files of the same kinds lie.

    `twin` is a folder of the same form with other contents. `extras` are files to add:
    their path in the folder -> the file that is copied there. `groups` are folders that
    are swapped whole: with each other, and with the twin's.
    """

    name: str
    root: pathlib.Path
    uses: dict[str, Use]
    twin: pathlib.Path | None = None
    extras: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    groups: tuple[str, ...] = ()


def make(folder: pathlib.Path, *, short: bool = False) -> list[Unit]:
    """Fills an empty folder, or finds in it what an earlier call made.

    `short` makes a run, its packed rows and its export alone.
    """
    world = _World(folder)
    if not (folder / 'made').exists():
        world.make(short=short)
        (folder / 'made').touch()
    units = [world.full(), world.cache(), world.exported('hf')]
    if not short:
        units += [world.lora(), world.adapter()]
        units += [world.exported('merged'), world.exported('bpe')]
        units += [world.base(), world.base_run(), world.dataset()]
    return units


class _World:
    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder
        self.config = answered_runs.make_config(
            data__path=str(folder / 'none'),
            optimizer__schedule='constant',
            tokenizer__path=str(folder / 'spm'),
            train__num_steps=4,
            train__keep_last=2,
            train__num_sample_questions=1,
            train__sample_max_new_tokens=4,
        )

    def make(self, *, short: bool) -> None:
        root = self.path
        (root / 'spm').mkdir(parents=True)
        texts = [text.HEAD, text.TAIL, text.CUT, *conftest.LETTERS]
        model = train_tokenizer.of_texts(texts, vocab_size=320, model_type='bpe')
        (root / 'spm' / text.SENTENCEPIECE_FILE).write_bytes(model)
        tokenizer = text.load_tokenizer(str(root / 'spm'))
        numbers = range(0, 12)
        for name in ('cache',) if short else ('cache', 'cache2'):
            pairs = [answered_runs.pair(i) for i in numbers]
            answered_runs.write_cache(root / name, tokenizer, pairs)
            numbers = range(12, 26)
        config = self.config
        if short:
            quiet = dataclasses.replace(config.train, num_sample_questions=0)
            config = dataclasses.replace(config, train=quiet)
        hax_jax.train(config, str(root / 'full'), packed=str(root / 'cache'))
        export.write(str(root / 'full'), str(root / 'hf'), export_request.Request('hf'))
        if not short:
            self._make_more()

    def _make_more(self) -> None:
        root = self.path
        for name in ('full2', 'lora', 'lora_on_run', 'lora2'):
            run, packed = self.config_of(name), str(root / 'cache')
            hax_jax.train(run, str(root / name), packed=packed)
        export.write(
            str(root / 'lora'), str(root / 'peft'), export_request.Request('peft')
        )
        export.write(
            str(root / 'lora'), str(root / 'merged'), export_request.Request('merged')
        )
        export.write(
            str(root / 'full2'), str(root / 'hf2'), export_request.Request('hf')
        )
        export.write(
            str(root / 'lora2'), str(root / 'peft2'), export_request.Request('peft')
        )
        self._make_bpe()
        from data_pipeline import build, pack  # TensorFlow

        corpus = pathlib.Path(build.__file__).parent / 'sample_corpus'
        for name, kind in (('data', 'chat_*.md'), ('data2', 'reddit_*.md')):
            build.build([str(corpus / kind)], output=root / name, validation_share=0.2)
            run = self.config_on(root / name)
            tokenizer = pack.load_tokenizer(run.data, run.tokenizer, path='train')
            pack.ensure_packed(run.data, tokenizer)

    def _make_bpe(self) -> None:
        """A Hugging Face folder with a byte-level BPE, of random numbers."""
        trainer = tokenizers.ByteLevelBPETokenizer()
        trainer.train_from_iterator(
            conftest.LETTERS, vocab_size=320, special_tokens=['<|endoftext|>']
        )
        (self.path / 'bpe_files').mkdir()
        trainer.save_model(str(self.path / 'bpe_files'))
        tokenizer = text.load_tokenizer(str(self.path / 'bpe_files'))
        model = dataclasses.replace(self.config.model, vocab_size=tokenizer.vocab_size)
        parameters = tiny_steps.random_parameters(model, scale=0.1)
        card = model_card.make('bpe', {}, n_positions=model.n_positions)
        (self.path / 'bpe').mkdir()
        hf_folder.write(self.path / 'bpe', model, parameters, tokenizer, card=card)

    def config_of(self, name: str) -> schema.Config:
        """The config of the run `name`."""
        run = self.config
        if name.endswith('2'):
            train = dataclasses.replace(run.train, seed=1)
            run = dataclasses.replace(run, train=train)
        if not name.startswith('lora'):
            return run
        base = self.path / ('full' if name == 'lora_on_run' else 'hf')
        model = dataclasses.replace(run.model, pretrained=str(base))
        lora = dataclasses.replace(run.lora, rank=2, alpha=4.0)
        return dataclasses.replace(run, model=model, lora=lora)

    def config_on(self, data: pathlib.Path) -> schema.Config:
        """The settings with which the dataset at `data` is packed."""
        return schema.Config(
            data=schema.DataConfig(path=str(data), seq_len=160, long_answers='split'),
            tokenizer=schema.TokenizerConfig(path='train', vocab_size=400),
            model=dataclasses.replace(self.config.model, n_positions=160),
            train=self.config.train,
        )

    def full(self) -> Unit:
        return self._run('full', format='hf', twin=self.path / 'full2')

    def lora(self) -> Unit:
        return self._run('lora', format='peft', twin=self.path / 'lora2')

    def _run(self, name: str, *, format: str, twin: pathlib.Path) -> Unit:
        root = self.path / name
        config = self.config_of(name)

        def resume(run: pathlib.Path) -> dict[str, Any]:
            longer = dataclasses.replace(config.train, num_steps=STEPS)
            longer = dataclasses.replace(config, train=longer)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                hax_jax.train(longer, str(run), packed=str(self.path / 'cache'))
            print(printed.getvalue())
            begun = re.search(r'continuing from step (\d+)', printed.getvalue())
            rows = map(json.loads, (run / 'metrics.jsonl').read_text().splitlines())
            losses = {
                f'{row["kind"]} {row["step"]}': row.get('loss', row.get('eval_loss'))
                for row in rows
                if {'loss', 'eval_loss'} & row.keys() and row['step'] > STEPS - 2
            }
            assert begun is not None  # a longer run begins nothing anew
            return losses | _of_run(run, step=STEPS) | {'from': begun[1]}

        latest = max(
            (path for path in (root / 'checkpoints').iterdir()),
            key=lambda path: int(path.name),
        )
        return Unit(
            name,
            root,
            {
                'restore': _of_run,
                'sample': _samples,
                'evaluate': lambda run: _evaluation(
                    scoring.of_run(str(run)), self.path / 'cache'
                ),
                'export': lambda run: _exported(run, format),
                'resume': resume,
            },
            twin if twin.exists() else None,
            {
                'tokenizer/tokenizer.json': self.path / 'hf' / 'tokenizer.json',
                f'checkpoints/{latest.name}/params/extra': root / 'run.json',
                f'checkpoints/{STEPS}/half': root / 'run.json',
            },
            ('checkpoints/*', 'tokenizer'),
        )

    def base(self) -> Unit:
        """The Hugging Face folder on which a LoRA run stands."""
        run = str(self.path / 'lora')
        return dataclasses.replace(
            self.exported('hf'),
            name='base',
            uses={
                'restore': lambda base: _of_run(self.path / 'lora', base=str(base)),
                'sample': lambda base: _samples(self.path / 'lora', base=str(base)),
                'evaluate': lambda base: _evaluation(
                    scoring.of_run(run, base=str(base)), self.path / 'cache'
                ),
            },
        )

    def base_run(self) -> Unit:
        """The run on which a LoRA run stands."""
        run = self.path / 'lora_on_run'
        return dataclasses.replace(
            self.full(),
            name='base_run',
            uses={
                'restore': lambda base: _of_run(run, base=str(base)),
                'sample': lambda base: _samples(run, base=str(base)),
            },
        )

    def cache(self) -> Unit:
        def train(packed: pathlib.Path) -> dict[str, Any]:
            workdir = packed.parent / 'run'
            hax_jax.train(self.config, str(workdir), packed=str(packed))
            answers = (workdir / 'samples.jsonl').read_text()
            return _of_run(workdir) | {'answers': answers} | _samples(workdir)

        def evaluate(packed: pathlib.Path) -> dict[str, Any]:
            return _evaluation(scoring.of_run(str(self.path / 'full')), packed)

        spm = self.path / 'hf' / 'tokenizer.json'
        twin = self.path / 'cache2'
        return Unit(
            'cache',
            self.path / 'cache',
            {'train': train, 'evaluate': evaluate},
            twin if twin.exists() else None,
            {'tokenizer/tokenizer.json': spm, 'train/extra.npy': spm},
            ('*', 'tokenizer'),
        )

    def exported(self, name: str) -> Unit:
        def use(folder: pathlib.Path) -> dict[str, Any]:
            candidate = scoring.of_pretrained(str(folder), batch_size=2)
            return {
                'parameters': restore.load_base(str(folder)).hash,
                'model': dataclasses.asdict(candidate.run.model)
                | {'pretrained': ''},  # the copy's path
                **_tokens(candidate.tokenizer),
            } | (_evaluation(candidate, self.path / 'cache') if name != 'bpe' else {})

        root = self.path / name
        twin = self.path / ('hf' if name == 'bpe' else 'hf2')
        other = root / 'config.json'
        return Unit(
            name,
            root,
            {'pretrained': use},
            twin if twin.exists() else None,
            {
                'added_tokens.json': other,
                'tokenizer.model': self.path / 'spm' / text.SENTENCEPIECE_FILE,
                'model-00002-of-00002.safetensors': root / 'model.safetensors',
                'model.safetensors.index.json': other,
                'vocab.json': other,
            },
        )

    def adapter(self) -> Unit:
        def use(folder: pathlib.Path) -> dict[str, Any]:
            base = str(self.path / 'hf')
            found = import_model.peft(folder, base=base, tokenizer='')
            return {
                'parameters': pretrained.fingerprint(found.parameters),
                'settings': dataclasses.asdict(found.settings),
                **_tokens(text.load_tokenizer(str(folder))),
            }

        twin = self.path / 'peft2'
        return Unit(
            'peft',
            self.path / 'peft',
            {'import': use},
            twin if twin.exists() else None,
            {'adapter_model.bin': self.path / 'peft' / 'adapter_config.json'},
        )

    def dataset(self) -> Unit:
        from data_pipeline import dataset, pack  # TensorFlow

        def packed(data: pathlib.Path) -> dict[str, Any]:
            run = self.config_on(data)
            tokenizer = pack.load_tokenizer(run.data, run.tokenizer, path='train')
            cache = records.open_cache(pack.ensure_packed(run.data, tokenizer))
            cache.verify()
            return {
                'rows': cache.fingerprint,
                'features': {
                    split: digest(dict(cache.features(split)))
                    for split in records.SPLITS
                },
                'ledger': cache.meta['ledger'],
                **_tokens(tokenizer),
            }

        def packed_again(data: pathlib.Path) -> dict[str, Any]:
            shutil.rmtree(data / 'packed')
            return packed(data)

        def made_again(data: pathlib.Path) -> dict[str, Any]:
            shutil.rmtree(data / 'tokenizers')
            return packed_again(data)

        def read(data: pathlib.Path) -> dict[str, Any]:
            return {
                split: records.sha256(
                    [dataclasses.asdict(p) for p in dataset.read_pairs(data, split)]
                )
                for split in records.SPLITS
            }

        root = self.path / 'data'
        shard = next((root / 'tfds').rglob('*train*'))
        spm = self.path / 'spm' / text.SENTENCEPIECE_FILE
        return Unit(
            'dataset',
            root,
            {
                'packed': packed,
                'packed_again': packed_again,
                'made_again': made_again,
                'read': read,
            },
            self.path / 'data2',
            {str(shard.relative_to(root)).replace('00000-of', '00001-of'): spm},
            ('packed/*', 'tokenizers/*'),
        )


def _of_run(run: pathlib.Path, **where: Any) -> dict[str, Any]:
    return {'parameters': pretrained.fingerprint(restore.parameters(str(run), **where))}


def _samples(run: pathlib.Path, *, base: str = '') -> dict[str, Any]:
    answers = hax_jax.sample(str(run), [_LETTER], base=base, settings=_GREEDY)
    return {'sampled': [[each.text, each.token_ids] for each in answers]}


def _evaluation(candidate: scoring.Candidate, packed: pathlib.Path) -> dict[str, Any]:
    cache = records.open_cache(packed)
    cache.verify()
    found = scoring.score(candidate, cache, 'validation').evaluation
    return {'loss': found.loss, 'pairs': list(map(dataclasses.asdict, found.pairs))}


def _exported(run: pathlib.Path, format: str) -> dict[str, Any]:
    """The written files' digests, and the tensors'.

    safetensors writes its metadata in any order, so two files of the same tensors may
    differ.
    """
    output = run.parent / 'exported'
    export.write(str(run), str(output), export_request.Request(format))
    (weights,) = output.glob('*.safetensors')
    tensors = digest(safetensors.numpy.load_file(weights))
    varied = (weights.name, sha256sums.FILE)
    return {**digests.of_folder(output, leave_out=varied), weights.name: tensors}


def _tokens(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """Ids of texts and of runs of the tokenizer's pieces, and what it decodes to."""
    rng = random.Random(0)
    ids = [rng.choices(range(tokenizer.vocab_size), k=30) for _ in range(20)]
    texts = [*conftest.LETTERS, *map(tokenizer.decode, ids)]
    return {
        'ids': tokenizer.encode(texts),
        'decoded': texts,
        'pieces': [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)],
        'eos': tokenizer.eos_id,
    }


def digest(arrays: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f'{name} {array.dtype} {array.shape}'.encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
