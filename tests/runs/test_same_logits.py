"""A folder is compared with the run that it is of."""

import numpy as np
import pytest
from flax import nnx

from hax_jax.config import schema
from hax_jax.model import gpt2
from hax_jax.runs import same_logits

_MODEL = schema.ModelConfig(
    n_layer=1, n_head=2, n_embd=8, n_positions=80, vocab_size=20, attention='xla'
)


def make() -> gpt2.Gpt2:
    return gpt2.Gpt2(_MODEL, dtype=np.dtype('float32'), rngs=nnx.Rngs(0))


def test_models_are_compared_at_every_part_of_the_position_table() -> None:
    own = same_logits.probe(make())
    assert own.shape == (3, 64, 20)
    same = same_logits.compare(own, same_logits.probe(make()))
    assert same.largest == 0 and same.agrees
    for place, row in ((0, 0), (79, 1), (40, 2)):
        other = make()
        table = np.array(other.wpe.embedding[...])
        # Position 40 is among those of the third row: 79 * 32 / 63 = 40.1.
        table[place] += np.random.default_rng(1).standard_normal(8)
        other.wpe.embedding[...] = table
        found = same_logits.compare(own, same_logits.probe(other))
        assert not found.agrees
        changed = np.abs(own - same_logits.probe(other)).max((1, 2)) > 1e-3
        assert changed[row]


def test_a_difference_is_told_with_its_place() -> None:
    own = np.zeros((3, 4, 5), np.float32)
    own[2, 1, 3] = 5.0
    written = own.copy()
    written[2, 1, 3] = 5.25
    written[0, 0, 0] = 0.125
    found = same_logits.compare(own, written)
    assert found.largest == 0.25
    assert found.where == (
        'row 2, place 1 of the probe, logit of id 3 (5 in the run, 5.25 in the folder)'
    )


@pytest.mark.parametrize(
    ('logit', 'difference', 'agrees'),
    [
        (1.0, 0.9e-4, True),
        (1.0, 1.1e-4, False),
        (10.0, 1.1e-4, False),
        (-100.0, 0.9e-3, True),  # GPT-2's own logits are as large
        (-100.0, 1.1e-3, False),
        (1.0, float('nan'), False),
        (1.0, float('inf'), False),
    ],
)
def test_the_tolerance_grows_with_logits_over_ten(
    logit: float, difference: float, agrees: bool
) -> None:
    own = np.full((1, 2, 3), logit, np.float64)
    written = own.copy()
    written[0, 1, 2] += difference
    assert same_logits.compare(own, written).agrees == agrees
