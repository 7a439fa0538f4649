"""Every record that passes between the rooms, and the packed cache's schema on disk.

A packed cache is one folder, `<data>/packed/<key>/`, written whole or not at all:

    meta.json                 what made it, the counts that add up, a fingerprint
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
from typing import Any

import numpy as np

SPLITS = ('train', 'validation', 'test')
FEATURES = ('inputs', 'targets', 'loss_weights', 'segment_ids', 'positions')


@dataclasses.dataclass(frozen=True)
class QaPair:
    """One cleaned question with its answer, as it stands in the dataset.

    `group` is what the split keeps together (a Reddit post's id, a chat file's name).
    `score` is the source's vote count, 0 where it has none; `time` is the source's own
    time stamp as text, '' where it has none; `flags` name what is unusual about it.
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


@dataclasses.dataclass(frozen=True)
class TokenizedPair:
    """One training sequence: prompt, answer, then EOS unless a later part follows.

    `ids[:prompt_length]` is context that teaches nothing about answers: the prompt and,
    in the later parts of a split answer, the end of the part before.
    """

    ordinal: int
    id: str
    source: str
    ids: np.ndarray
    prompt_length: int
    question_bytes: int
    answer_bytes: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """Where one `TokenizedPair` lies in the packed rows.

    Targets at [start, prompt_end) are prompt tokens, those at [prompt_end, end) are
    answer tokens and EOS, all within row `row`. `question_bytes` and `answer_bytes` are
    the UTF-8 lengths of the texts that those targets spell.
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


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 left as it is."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(',', ':'),
        ensure_ascii=False,
        allow_nan=False,
    )


def sha256(value: Any) -> str:
    """Hex sha256 over `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
