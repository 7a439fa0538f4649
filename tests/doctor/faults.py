"""The faults that are planted: each by a small patch, another config or other data.

`plants` has what they do. `expected` says what counts as naming the cause: the cause of
a finding that is no 'ok' must hold one of the words.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import harness
import plants
import pytest

from hax_jax.config import schema


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    plant: Callable[[plants.Plant], None]
    expected: tuple[str, ...]
    before: bool  # it must be named before step 1
    kind: str = 'full'  # 'full' and 'lora' start from the base, 'scratch' does not
    strengths: tuple[float, ...] = (1.0,)  # the last is the full one
    data: str = 'column_*.md'  # files of the corpus


FAULTS = (
    Fault('targets are ids[2:]', plants.shifted_twice, ('shifted twice',), True),
    Fault(
        'targets are the inputs',
        plants.targets_are_inputs,
        ('inputs themselves',),
        True,
    ),
    Fault('targets permuted', plants.targets_permuted, ('permuted',), True),
    Fault(
        'answers swapped',
        plants.answers_swapped,
        ('swapped',),
        False,
        strengths=(0.5, 0.8, 1),
        data='*.md',
    ),
    Fault('EOS weight 0', plants.eos_weight, ('EOS has no loss weight',), True),
    Fault(
        'loss weights inverted',
        plants.weights_inverted,
        ('weights are inverted',),
        True,
    ),
    Fault(
        'positions not restarted',
        plants.positions_not_restarted,
        ('not restarted',),
        True,
    ),
    Fault(
        'all segments 1', plants.one_segment, ('one segment id', 'see each other'), True
    ),
    Fault('no causal mask', plants.no_causal_mask, ('no causal mask',), True),
    Fault('token ids permuted', plants.ids_permuted, ('permuted',), True),
    Fault(
        'another template in sampling',
        plants.other_template,
        ('another template',),
        False,
    ),
    Fault(
        'validation copied into train',
        plants.validation_copied,
        ('copied into training',),
        True,
        strengths=(0.2, 0.5, 1),
    ),
    Fault(
        'one source many times',
        plants.one_source_often,
        ('times as often',),
        True,
        strengths=(5, 10, 30),
        data='*.md',
    ),
    Fault(
        'rows too short',
        plants.too_short,
        ('seq_len is too short',),
        True,
        strengths=(208, 192, 160),  # the answers have 30 to 170 tokens
        data='*.md',
    ),
    Fault('mojibake', plants.mojibake, ('mojibake',), True, strengths=(0.1, 0.25, 0.5)),
    Fault('weights drawn', plants.weights_drawn, ('drawn',), True),
    Fault(
        'one c_proj transposed',
        plants.c_proj_transposed,
        ('transposed',),
        True,
        strengths=(1, 2),
    ),
    Fault('wpe zero', plants.wpe_zero, ('(wpe) are zero',), True),
    Fault('head untied and random', plants.head_random, ('head is untied',), True),
    Fault(
        'rate too high',
        plants.rate_high,
        ('rate is too high',),
        False,
        strengths=(30, 300, 100),
    ),
    Fault(
        'rate too low',
        plants.rate_low,
        ('rate is too low',),
        False,
        strengths=(300, 3000, 1000),
    ),
    Fault(
        'schedule by microbatch',
        plants.schedule_by_microbatch,
        ('once a microbatch',),
        False,
        strengths=(2, 4),
    ),
    Fault(
        'warm-up longer than the run',
        plants.long_warmup,
        ('warm-up is longer',),
        True,
        strengths=(1, 2, 10),
    ),
    Fault(
        'decay on all', plants.decay_on_all, ('decay',), False, strengths=(0.1, 1, 10)
    ),
    Fault(
        'gradients clipped away',
        plants.clipped_away,
        ('clip_norm cuts',),
        False,
        strengths=(1e-2, 1e-3, 1e-4),
    ),
    Fault(
        'mean of microbatch means',
        plants.mean_of_means,
        ("microbatches' means",),
        False,
        strengths=(2, 4),
    ),
    Fault('LoRA A and B zero', plants.lora_all_zero, ('both zero',), True, kind='lora'),
    Fault(
        'LoRA under stop_gradient',
        plants.lora_stopped,
        ('stop_gradient',),
        True,
        'lora',
    ),
)


@contextlib.contextmanager
def planted(
    fault: Fault, made: harness.Splits, run: schema.Config, strength: float
) -> Iterator[plants.Plant]:
    """A plant after the fault; its patches hold in the block."""
    with pytest.MonkeyPatch.context() as patch:
        copied = {name: list(content) for name, content in made.items()}
        plant = plants.Plant(patch, copied, run, strength, [])
        fault.plant(plant)
        yield plant
