"""The records that pass between folders, and the packed cache on disk.

A packed cache is one folder, `<data>/packed/<key>/`, written whole or not at all:

    meta.json                 its tokenizer and lengths, counts, a fingerprint, the
                              digests of all other files; sealed by its own digest
    tokenizer/                the files of the tokenizer that made the ids
    <split>/inputs.npy        [R, T] token ids
    <split>/targets.npy       [R, T] token ids, shifted once, before packing
    <split>/loss_weights.npy  [R, T] float32, 0.0 where nothing is learned
    <split>/segment_ids.npy   [R, T] 1, 2, ... within a row, 0 is padding
    <split>/positions.npy     [R, T] restart at 0 in each segment
    <split>/segments.jsonl    one `Segment` a line, in row order
"""

import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hax_jax import digests, errors, files, near_names

SPLITS = ('train', 'validation', 'test')
CACHE_SCHEMA = 1
TOKENIZER = 'tokenizer'
_META = 'meta.json'
FEATURES = ('inputs', 'targets', 'loss_weights', 'segment_ids', 'positions')


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A question with its answer, whose weight in the loss is 0.0 if it is context."""

    question: str
    answer: str
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class QaPair:
    """One cleaned question with its answer, or a conversation that begins with them.

    Pairs of one `group` stay in one split (a Reddit post's id, a chat file's name).
    `score` is the source's vote count, 0 without one; `time` is the source's own time
    stamp as text, '' without one; `flags` name oddities. `weight` says how often the
    source wants the pair seen in training, by default 1.0.

    `more` has the later turns of a conversation: question, answer, question, answer.
    `answer_weights` has the weight of each answer in the loss, in order; () where all
    are 1.0. The last answer's is never 0.0. `exchanges` and `with_exchanges` read and
    write the turns.
    """

    id: str
    group: str
    source: str
    file: str
    line: int
    topic: str
    time: str
    question: str
    answer: str
    score: int = 0
    flags: tuple[str, ...] = ()
    weight: float = 1.0
    more: tuple[str, ...] = ()
    answer_weights: tuple[float, ...] = ()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All turns, two by two."""
        texts = (self.question, self.answer, *self.more)
        weights = self.answer_weights or (1.0,) * (len(texts) // 2)
        return tuple(map(Exchange, texts[::2], texts[1::2], weights))

    def with_exchanges(self, exchanges: Sequence[Exchange]) -> 'QaPair':
        """The same pair with these turns, one exchange at least."""
        texts = [text for each in exchanges for text in (each.question, each.answer)]
        weights = tuple(each.weight for each in exchanges)
        return dataclasses.replace(
            self,
            question=texts[0],
            answer=texts[1],
            more=tuple(texts[2:]),
            answer_weights=() if set(weights) == {1.0} else weights,
        )

    def as_one(self) -> 'QaPair':
        """A conversation as a single pair: its questions joined, and its answers."""
        if not self.more:
            return self
        question = '\n\n'.join((self.question, *self.more[::2]))
        answer = '\n\n'.join((self.answer, *self.more[1::2]))
        return dataclasses.replace(
            self, question=question, answer=answer, more=(), answer_weights=()
        )


OF_CONVERSATIONS = ('more', 'answer_weights')  # left out of rows where empty


def as_row(pair: QaPair) -> dict[str, Any]:
    """The pair's fields; a pair of one exchange has the fields it always had."""
    values = vars(pair)
    if pair.more or pair.answer_weights:
        return values
    return {name: values[name] for name in values if name not in OF_CONVERSATIONS}


def kind(source: str) -> str:
    """The kind of a source: 'reddit:relationships' -> 'reddit', 'chat' -> 'chat'."""
    return source.partition(':')[0]


@dataclasses.dataclass(frozen=True)
class TokenizedPair:
    """One training sequence: prompt, answer, then EOS unless a later part follows.

    `ids[:prompt_length]` is context without answer tokens to learn: the prompt and, in
    the later parts of a split answer, the end of the part before. A conversation goes
    on with its next prompt; its `answers` are the places [start, end) in `ids` of each
    answer with EOS, and its weight, 0.0 for context. They are () where one answer of
    weight 1.0 is all that follows the prompt.
    """

    ordinal: int
    id: str
    source: str
    ids: np.ndarray
    prompt_length: int
    question_bytes: int
    answer_bytes: int
    answers: tuple[tuple[int, int, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Segment:
    """Where one `TokenizedPair` lies in the packed rows.

    Targets at [start, prompt_end) are prompt tokens, those at [prompt_end, end) are
    answer tokens and EOS, all within row `row`. `question_bytes` and `answer_bytes` are
    the UTF-8 lengths of the texts that those targets spell.

    Of a conversation, `answers` has the targets [start, end) of each answer that is
    learned; all others, such as later questions and answers of weight 0.0, are prompt.
    It is () where [prompt_end, end) is the one answer. `learned` has them in any case.
    """

    ordinal: int
    id: str
    source: str
    row: int
    start: int
    prompt_end: int
    end: int
    question_bytes: int
    answer_bytes: int
    answers: tuple[tuple[int, int], ...] = ()

    @property
    def learned(self) -> tuple[tuple[int, int], ...]:
        return self.answers or ((self.prompt_end, self.end),)

    def as_row(self) -> dict[str, Any]:
        """Its line in segments.jsonl; that of a pair has no `answers`."""
        values = dict(vars(self))
        if not self.answers:
            del values['answers']
        return values


def _segment(row: Any) -> Segment:
    values = {**row}
    answers = tuple((start, end) for start, end in values.pop('answers', ()))
    return Segment(**values, answers=answers)


@dataclasses.dataclass(frozen=True)
class PackedSplit:
    """A split's packed rows: the five `FEATURES`, each [R, T], and its segments."""

    features: dict[str, np.ndarray]
    segments: list[Segment]

    @property
    def num_rows(self) -> int:
        return self.features['inputs'].shape[0]

    @property
    def length(self) -> int:
        return self.features['inputs'].shape[1]


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(',', ':'), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 left as it is."""
    return _CANONICAL.encode(value)


def sha256(value: Any) -> str:
    """Hex sha256 over `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class PackedCache:
    """An opened packed cache; `meta` is its meta.json.

    What was read once stays open: a build that replaces the dataset meanwhile does not
    end a run that trains on it.
    """

    path: pathlib.Path
    meta: dict[str, Any]
    _open: dict[str, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def fingerprint(self) -> str:
        """Sha256 over every row and segment: equal data, equal fingerprint."""
        return self.meta['fingerprint']

    @property
    def seq_len(self) -> int:
        return self.meta['seq_len']

    def num_rows(self, split: str) -> int:
        return self.meta['splits'][split]['rows']

    def features(self, split: str) -> dict[str, np.ndarray]:
        """The five features, each [R, T], memory-mapped."""
        if split not in self._open:
            self._open[split] = self._features(split)
        return self._open[split]

    def _features(self, split: str) -> dict[str, np.ndarray]:
        folder = self.path / split
        shape = (self.num_rows(split), self.seq_len)
        features = {}
        for name in FEATURES:
            try:
                features[name] = np.load(folder / f'{name}.npy', mmap_mode='r')
            except Exception as error:  # numpy raises many kinds on a damaged header
                if errors.is_of_machine(error):
                    raise
                raise self.damaged(f'{split}/{name}.npy: {error}') from error
            if features[name].shape != shape:
                raise self.damaged(
                    f'{split}/{name}.npy has shape {features[name].shape}, '
                    f'meta.json says {shape}'
                )
        return features

    def segments(self, split: str) -> list[Segment]:
        """The segments of a split, in order; those of train, many, are not kept."""
        if split == 'train':
            return self._segments(split)
        name = f'{split} segments'
        if name not in self._open:
            self._open[name] = self._segments(split)
        return self._open[name]

    def _segments(self, split: str) -> list[Segment]:
        path = self.path / split / 'segments.jsonl'
        try:
            with open(path, encoding='utf-8') as file:
                segments = [_segment(json.loads(line)) for line in file]
        except (OSError, ValueError, TypeError) as error:
            raise self.damaged(
                f'{split}/segments.jsonl: {errors.cause(error)}'
            ) from error
        expected = self.meta['splits'][split]['segments']
        if len(segments) != expected:
            raise self.damaged(
                f'{split}/segments.jsonl has {len(segments)} lines, '
                f'meta.json says {expected}'
            )
        return segments

    def verify(self) -> None:
        """Raises InputError if a file is not what was written.

        Call it once in each program, before a row is used. Of a cache that has no
        digests yet, verifies the rows and segments, and says so.
        """
        if digests.SEAL in self.meta:
            if problems := list(self._problems()):
                raise self.damaged(', '.join(problems))
            return
        digest = hashlib.sha256()
        try:
            for name in sorted(self.meta['splits']):
                _digest_split(digest, name, self.features(name), self.segments(name))
        except (KeyError, TypeError, AttributeError) as error:
            raise self.damaged(f'{_META} does not describe it ({error!r})') from error
        if digest.hexdigest() != self.fingerprint:
            raise self.damaged('its rows do not have the fingerprint in meta.json')
        print(
            f'note: {self.path} was packed by a version without digests: its rows are '
            'what was written; its counts and tokenizer/ are read as they are',
            file=sys.stderr,
            flush=True,
        )

    def _problems(self) -> Iterator[str]:
        """The files that are not as written. Beside the rows others may lie."""
        expected = self.meta['files']
        found = digests.of_folder(self.path, leave_out=(_META,))
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                yield f'{name} is missing'
            elif name in expected and found[name] != expected[name]:
                yield f'{name} has other bytes than were written'
            elif name not in expected and name.startswith(f'{TOKENIZER}/'):
                yield f'{name} was added'

    def damaged(self, what: str) -> errors.InputError:
        """The error to raise where the cache is not what was written."""
        return _damaged(self.path, what)


def write_cache(
    folder: pathlib.Path, splits: dict[str, PackedSplit], meta: dict[str, Any]
) -> None:
    """Fills a folder of `files.new_folder` with a cache, its tokenizer there already.

    Adds to meta the fingerprint of the rows and the digests of all files.
    """
    digest = hashlib.sha256()
    for name, split in sorted(splits.items()):
        (folder / name).mkdir()
        stored = {feature: _small(array) for feature, array in split.features.items()}
        for feature, array in stored.items():
            np.save(folder / name / f'{feature}.npy', array)
        rows = [segment.as_row() for segment in split.segments]
        files.write_json_lines(folder / name / 'segments.jsonl', rows)
        _digest_split(digest, name, stored, split.segments)
    meta = {
        **meta,
        'schema': CACHE_SCHEMA,
        'fingerprint': digest.hexdigest(),
        'files': digests.of_folder(folder),
    }
    files.write_json(folder / _META, digests.sealed(meta))


def _small(array: np.ndarray) -> np.ndarray:
    """In 16 bits where they do: any id under 65,536 and any place in a row."""
    if array.dtype.kind == 'f' or array.max(initial=0) >= 2**16:
        return array
    return array.astype(np.uint16)


def _digest_split(
    digest: Any, name: str, features: dict[str, np.ndarray], segments: list[Segment]
) -> None:
    for feature in FEATURES:
        array = features[feature]
        digest.update(f'{name}/{feature}/{array.dtype}/{array.shape}\n'.encode())
        digest.update(np.ascontiguousarray(array).data)
    rows = [segment.as_row() for segment in segments]
    digest.update(canonical_json(rows).encode())


def open_cache(path: str | pathlib.Path) -> PackedCache:
    """Opens a packed cache.

    Raises:
      InputError: there is none at `path`, its meta.json is damaged, or it was made by
        another version.
    """
    path = pathlib.Path(path)
    try:
        meta = files.read_json_object(path / _META)
    except (OSError, ValueError) as error:
        if errors.is_of_machine(error):
            raise
        if any((path / name).is_dir() for name in (TOKENIZER, *SPLITS)):
            raise _damaged(path, f'{_META}: {errors.cause(error)}') from error
        raise errors.InputError(
            f'{path} is not a packed cache ({errors.cause(error)}); '
            'launch.train makes one from a dataset folder.' + near_names.meant(path)
        ) from error
    if digests.SEAL in meta and not digests.is_sealed(meta):
        raise _damaged(path, f'{_META} has other contents than were written')
    schema = meta.get('schema')
    if schema != CACHE_SCHEMA:
        raise errors.InputError(
            f'packed cache {path} has schema {schema}, this version reads '
            f'{CACHE_SCHEMA}; delete that folder and run launch.train again.'
        )
    return PackedCache(path, meta)


def _damaged(path: pathlib.Path, what: str) -> errors.InputError:
    if not path.exists():
        return errors.InputError(
            f'packed cache {path} is gone: a build has replaced its dataset meanwhile, '
            'or someone deleted it. The same command packs the rows again, of the '
            'dataset that is there now.'
        )
    return errors.InputError(
        f'packed cache {path} is damaged: {what}. Delete that folder; launch.train '
        'makes it again from the dataset.'
    )
