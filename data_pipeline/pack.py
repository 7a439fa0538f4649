"""The packed rows of a dataset, which a run reads: made once and kept.

The key of `<data>/packed/<key>/` follows from the manifest, the tokenizer, the template
and the lengths. A machine with a copy of the folder needs no TensorFlow and no TFDS
files.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Set
from typing import Any

from data_pipeline import dataset
from hax_jax import counted, errors, files, sha256sums
from hax_jax.config import schema
from hax_jax.data import dataset_folder, packing, records, text, train_tokenizer

_MADE_FROM = 'made_from.json'
_NAMED = 5  # ids printed of each kind; the cache's meta.json has all


def load_tokenizer(
    data: schema.DataConfig, settings: schema.TokenizerConfig, *, path: str
) -> text.Tokenizer:
    """The tokenizer at `path`, or for 'train' SentencePiece on the train split.

    Trains it once and keeps it in `<data>/tokenizers/<key>/`. `settings.add_tokens`
    come on top of it.

    Raises:
      InputError: there is none at `path`, or the one of the key is damaged, or a token
        can't be added.
    """
    if path != 'train':
        return text.with_tokens(text.load_tokenizer(path), settings.add_tokens)
    folder, made_from = dataset_folder.tokenizer_of(data, settings)
    model = folder / text.SENTENCEPIECE_FILE
    if not model.is_file():
        with _only_maker(folder, data):
            if not model.is_file():
                _train_tokenizer(folder, data, settings, made_from)
    _check_made_from(folder / _MADE_FROM, made_from)
    return text.with_tokens(text.load_tokenizer(str(folder)), settings.add_tokens)


def _train_tokenizer(
    folder: pathlib.Path,
    data: schema.DataConfig,
    settings: schema.TokenizerConfig,
    made_from: dict[str, Any],
) -> None:
    if folder.exists():
        print(f'{folder} has lost its {text.SENTENCEPIECE_FILE}', flush=True)
    print(f'training a SentencePiece tokenizer: {folder}', flush=True)
    texts = (
        part
        for pair in dataset.read_pairs(data.path, 'train')
        for turn in pair.exchanges
        for part in (text.HEAD + turn.question + text.TAIL, turn.answer)
    )
    model = train_tokenizer.of_texts(
        texts, vocab_size=settings.vocab_size, model_type=settings.model_type
    )
    with files.new_folder(folder, replace=True) as new:
        path = new / text.SENTENCEPIECE_FILE
        path.write_bytes(model)
        size = text.load_tokenizer(str(path)).vocab_size
        if size < settings.vocab_size:
            print(
                f'its vocabulary has {size:,} pieces, as the text gives no more: '
                f'tokenizer.vocab_size={settings.vocab_size} is the most that it may '
                'have',
                flush=True,
            )
        files.write_json(new / _MADE_FROM, made_from)
        sha256sums.write(new)


@contextlib.contextmanager
def _only_maker(folder: pathlib.Path, data: schema.DataConfig) -> Iterator[None]:
    """Holds the lock of a folder that is made beside a dataset's pairs.

    Raises:
      InputError: the dataset can't be written to.
    """
    try:
        with files.locked(folder.with_suffix('.lock'), wait=True):
            yield
    except OSError as error:
        if not errors.is_forbidden(error):
            raise
        raise errors.InputError(
            f'--config.data.path={data.path} can not be written to '
            f'({errors.cause(error)}), and its tokenizer and packed rows are made in '
            f'its own folder: copy it first (cp -r {data.path} FOLDER) and give '
            '--config.data.path=FOLDER.'
        ) from error


def _check_made_from(path: pathlib.Path, expected: dict[str, Any]) -> None:
    """Raises InputError if a tokenizer's folder is that of another dataset.

    Folders of earlier versions do not say what they were made from.
    """
    if not path.exists():
        return
    try:
        found = files.read_json_object(path)
    except ValueError as error:
        found = {'damaged': str(error)}
    if found != expected:
        raise errors.InputError(
            f'{path} is not of this dataset and these settings ({found}); delete '
            f'{path.parent}, and the tokenizer is made again.'
        )


def ensure_packed(data: schema.DataConfig, tokenizer: text.Tokenizer) -> pathlib.Path:
    """The folder of the packed rows, made now if its key is new.

    If several processes share a filesystem, one packs and the others wait.

    Raises:
      InputError: there is no dataset, no pair of a split fits, or the folder of the key
        has other rows.
    """
    folder, what = dataset_folder.rows_of(data, tokenizer)
    return _ensured(folder, data, tokenizer, what)


def pack_part(
    folder: pathlib.Path,
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    *,
    groups: Set[str],
) -> pathlib.Path:
    """`folder`, with the packed rows whose train split has these groups' pairs alone.

    Other splits are whole. Rows that are there are used.

    Raises:
      InputError: as `ensure_packed`.
    """
    _, what = dataset_folder.rows_of(data, tokenizer)
    what['train_groups'] = records.sha256(sorted(groups))
    return _ensured(folder, data, tokenizer, what, groups=groups)


def _ensured(
    folder: pathlib.Path,
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    what: dict[str, Any],
    *,
    groups: Set[str] | None = None,
) -> pathlib.Path:
    """`folder` with its rows, made now if it is missing; compared with `what`."""
    if not folder.exists():  # the rows of a read-only disk need no lock
        with _only_maker(folder, data):
            if not folder.exists():
                _write(folder, data, tokenizer, what, groups)
    cache = records.open_cache(folder)
    for name, value in what.items():
        if cache.meta.get(name) != value:
            raise cache.damaged(
                f'its {name} is {cache.meta.get(name)!r}, and its key is of {value!r}'
            )
    return folder


def _write(
    folder: pathlib.Path,
    data: schema.DataConfig,
    tokenizer: text.Tokenizer,
    what: dict[str, Any],
    groups: Set[str] | None,
) -> None:
    """Packs a dataset; with `groups`, of the train split their pairs alone."""
    print(f'packing {data.path} into rows of {data.seq_len}: {folder}', flush=True)
    packed, counts, ledgers = {}, {}, {}
    for split in records.SPLITS:
        pairs = dataset.shown_pairs(data.path, split)
        if groups is not None and split == 'train':
            pairs = (pair for pair in pairs if pair.group in groups)
        tokenized = packing.tokenize(
            pairs, tokenizer, seq_len=data.seq_len, long_answers=data.long_answers
        )
        packed[split] = packing.pack(
            tokenized.pairs, seq_len=data.seq_len, question_weight=data.question_weight
        )
        counts[split] = packing.count_positions(packed[split])
        ledgers[split] = {
            'tokens': tokenized.counts,
            'dropped_ids': tokenized.dropped_ids,
            'shortened_ids': tokenized.shortened_ids,
            'split_ids': tokenized.split_ids,
            'forgotten_ids': tokenized.forgotten_ids,
            'cut_off_ids': tokenized.cut_off_ids,
        }
        print(_summary(split, tokenized, counts[split]), flush=True)
    for split in ('train', 'validation'):
        if not packed[split].num_rows:
            raise packing.NothingFits(
                f'no pair of the {split} split of {data.path} fits in data.seq_len='
                f'{data.seq_len}; raise it, or keep long answers with '
                "data.long_answers='split'."
            )
    meta = {
        **what,
        'splits': counts,
        'ledger': ledgers,
        'eos_id': tokenizer.eos_id,
        'vocab_size': tokenizer.vocab_size,
    }
    with files.new_folder(folder) as new:
        (new / 'tokenizer').mkdir()
        tokenizer.save(new / 'tokenizer')
        records.write_cache(new, packed, meta)


def _summary(split: str, tokenized: packing.Tokenized, counts: dict[str, int]) -> str:
    tokens = tokenized.counts
    positions = counts['positions']
    lines = [
        f'  {split}: {counted.of(tokens["pairs_read"], "pairs")}, '
        f'{counted.of(counts["segments"], "segments")} in '
        f'{counted.of(counts["rows"], "rows")}'
    ]
    if positions:
        lines[0] += (
            f'; {1 - counts["padding"] / positions:.1%} of positions filled, '
            f'{counts["answer"] / positions:.1%} answers'
        )
    for ids, what in (
        (tokenized.dropped_ids, 'dropped: the answer leaves no room for a question'),
        (tokenized.shortened_ids, 'shortened: the question lost text from its middle'),
        (tokenized.split_ids, 'split: the answer goes over several segments'),
        (
            tokenized.forgotten_ids,
            'cut: no room for their '
            f'{counted.of(tokens["exchanges_forgotten"], "oldest exchanges")}',
        ),
        (
            tokenized.cut_off_ids,
            'cut: no room for a question before the answers of their '
            f'{counted.of(tokens["exchanges_cut_off"], "last exchanges")}',
        ),
    ):
        if ids:
            named = ', '.join(ids[:_NAMED]) + (', ...' if len(ids) > _NAMED else '')
            lines.append(f'    {len(ids)} {what} ({named})')
    if tokens['added'] or any(tokens[name] for name in packing.LOST):
        forgotten, cut_off = tokens['forgotten'], tokens['cut_off']
        oldest = f'{forgotten} of oldest exchanges, ' if forgotten else ''
        oldest += f'{cut_off} of last exchanges, ' if cut_off else ''
        lines.append(
            f'    tokens: {tokens["read"]} read, {tokens["dropped"]} dropped, {oldest}'
            f'{tokens["shortened"]} cut from questions, {tokens["added"]} added (cut '
            'marks, repeated context)'
        )
    if tokens['replaced_characters']:
        lines.append(f'    {tokens["replaced_characters"]} characters U+2581 became _')
    return '\n'.join(lines)
