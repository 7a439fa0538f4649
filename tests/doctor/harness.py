"""Runs on the sample corpus, healthy or with a planted fault, and their doctor.

Nothing here needs TensorFlow: the corpus is read and packed in this process, so a patch
of any function of packing, model or training acts on the run.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from hax_jax import files
from hax_jax.config import convert, schema
from hax_jax.data import packing, records, text, train_tokenizer
from hax_jax.training import run_setup, train_loop

CORPUS = pathlib.Path(__file__).parents[2] / 'data_pipeline' / 'sample_corpus'
SEQ_LEN = 512


@dataclasses.dataclass(frozen=True)
class Setting:
    """The base's files, tokenizer and size, and the files that runs on it learn.

    `files` has other patterns for those that the faults name.
    """

    base: str = '[rc][eh]*.md'
    files: tuple[tuple[str, str], ...] = ()
    vocab_size: int = 2048
    model_type: str = 'bpe'
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 64
    rate: float = 1e-3  # of runs on the base

    def pattern(self, given: str) -> str:
        return dict(self.files).get(given, given)


FIRST = Setting()
SECOND = Setting(
    base='c[oh]*.md',
    files=(('column_*.md', 'reddit_*.md'), ('[rc][eh]*.md', 'c*.md')),
    vocab_size=1200,
    model_type='unigram',
    n_layer=3,
    n_head=3,
    n_embd=48,
    rate=2e-3,
)
SETTINGS = {'first': FIRST, 'second': SECOND}
Splits = dict[str, list[records.QaPair]]
_PAIR = re.compile(
    r'^QUESTION: (.*?)^ANSWER: (.*?)(?=^QUESTION: |^Post has |^=====|\Z)',
    re.MULTILINE | re.DOTALL,
)


def pairs(pattern: str) -> list[records.QaPair]:
    """The corpus's pairs of the files that match, in order."""
    found: list[records.QaPair] = []
    for path in sorted(CORPUS.glob(pattern)):
        content = path.read_text(encoding='utf-8')
        for number, match in enumerate(_PAIR.finditer(content)):
            question, answer = (part.strip() for part in match.groups())
            question = question.split('\navatar')[0].strip()
            name = f'{path.stem}-{number}'
            found.append(
                records.QaPair(
                    id=name,
                    group=name,
                    source=path.stem.partition('_')[0] + ':' + path.stem,
                    file=path.name,
                    line=number,
                    topic='',
                    time='',
                    question=question,
                    answer=answer,
                )
            )
    return found


def splits(pattern: str, *, most: int | None = None) -> Splits:
    """Every fifth pair is for validation; the test split is as that one."""
    found = pairs(pattern)[:most]
    held = found[::5]
    return {
        'train': [pair for i, pair in enumerate(found) if i % 5],
        'validation': held,
        'test': held,
    }


def tokenizer(folder: pathlib.Path, setting: Setting = FIRST) -> text.Tokenizer:
    """A SentencePiece model of all the corpus; made once."""
    if not folder.exists():
        said = [part for pair in pairs('*.md') for part in (pair.question, pair.answer)]
        said += [text.HEAD, text.TAIL, text.CUT]
        model = train_tokenizer.of_texts(
            said, vocab_size=setting.vocab_size, model_type=setting.model_type
        )
        with files.new_folder(folder) as new:
            (new / text.SENTENCEPIECE_FILE).write_bytes(model)
    return text.load_tokenizer(str(folder))


def cache(
    folder: pathlib.Path,
    made: Splits,
    words: text.Tokenizer,
    run: schema.DataConfig,
    edits: Sequence[Callable[[dict[str, np.ndarray], int, int], None]] = (),
) -> records.PackedCache:
    """The packed cache of some splits, as `data_pipeline.pack` writes it.

    `edits` change the packed rows: (rows, EOS, size of the vocabulary).
    """
    packed, counts, ledger = {}, {}, {}
    for name, content in made.items():
        tokenized = packing.tokenize(
            content, words, seq_len=run.seq_len, long_answers=run.long_answers
        )
        packed[name] = packing.pack(
            tokenized.pairs, seq_len=run.seq_len, question_weight=run.question_weight
        )
        for edit in edits:
            edit(packed[name].features, words.eos_id, words.vocab_size)
        counts[name] = packing.count_positions(packed[name])
        ledger[name] = {
            'tokens': tokenized.counts,
            'dropped_ids': tokenized.dropped_ids,
            'shortened_ids': tokenized.shortened_ids,
            'split_ids': tokenized.split_ids,
        }
    meta = {
        'tokenizer': words.fingerprint,
        'template': text.TEMPLATE_VERSION,
        'seq_len': run.seq_len,
        'question_weight': run.question_weight,
        'long_answers': run.long_answers,
        'splits': counts,
        'ledger': ledger,
        'eos_id': words.eos_id,
        'vocab_size': words.vocab_size,
    }
    with files.new_folder(folder) as new:
        (new / records.TOKENIZER).mkdir()
        words.save(new / records.TOKENIZER)
        records.write_cache(new, packed, meta)
    return records.open_cache(folder)


def config(setting: Setting = FIRST, **changes: object) -> schema.Config:
    """A config of the setting; `changes` are `section__field=value`."""
    draft = convert.draft()
    draft.data.update(path='sample', seq_len=SEQ_LEN, reader='numpy')
    draft.data.question_weight = 0.5
    draft.tokenizer.path = 'sample'
    draft.model.update(
        n_layer=setting.n_layer,
        n_head=setting.n_head,
        n_embd=setting.n_embd,
        n_positions=SEQ_LEN,
        vocab_size=setting.vocab_size,
    )
    draft.optimizer.update(learning_rate=2e-3, warmup_steps=5)
    draft.train.update(
        num_steps=50,
        batch_size=4,
        log_every_steps=1,
        eval_every_steps=10,
        checkpoint_every_steps=50,
        num_sample_questions=2,
        sample_max_new_tokens=16,
        layer_metrics_every_steps=10,
        tensorboard=False,
    )
    for name, value in changes.items():
        section, _, field = name.partition('__')
        draft[section][field] = value
    return convert.freeze(draft)


def lora(run: schema.Config, **changes: object) -> schema.Config:
    settings = {'rank': 8, 'alpha': 16.0, **changes}
    return dataclasses.replace(run, lora=dataclasses.replace(run.lora, **settings))


def on(run: schema.Config, base: pathlib.Path) -> schema.Config:
    """The config as a run that starts from the run at `base`."""
    return dataclasses.replace(
        run, model=dataclasses.replace(run.model, pretrained=str(base))
    )


def base(
    folder: pathlib.Path,
    words: text.Tokenizer,
    setting: Setting = FIRST,
    *,
    num_steps: int = 300,
) -> pathlib.Path:
    """A run on the setting's other files; it is trained once, in a minute."""
    workdir = folder / f'base-{num_steps}'
    if not (workdir / 'doctor.json').exists():
        run = config(setting, train__num_steps=num_steps, train__eval_every_steps=100)
        made = cache(folder / 'base-rows', splits(setting.base), words, run.data)
        train(run, made, workdir)
    return workdir


def train(
    run: schema.Config, rows: records.PackedCache, workdir: pathlib.Path
) -> pathlib.Path:
    train_loop.train(run_setup.prepare(run, rows), workdir, allow_change=[])
    return workdir
