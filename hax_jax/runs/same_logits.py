"""Two models' logits on the same rows, compared to float32's own noise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hax_jax.model import gpt2

_NUM_ROWS = 3
_LENGTH = 64


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The largest difference between two models' logits on the probe rows."""

    largest: float
    tolerance: float
    where: str

    @property
    def agrees(self) -> bool:
        return self.largest <= self.tolerance


def probe(model: gpt2.Gpt2) -> Float[np.ndarray, 'B T V']:
    """A model's float32 logits on rows of random ids.

    The rows have the first positions, the last, and positions spread over all.
    """
    sizes = model.model
    length = min(_LENGTH, sizes.n_positions)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, sizes.vocab_size, (_NUM_ROWS, length))
    positions = np.stack(
        [
            np.arange(length),
            np.arange(sizes.n_positions - length, sizes.n_positions),
            np.linspace(0, sizes.n_positions - 1, length).astype(int),
        ]
    )
    with jax.default_matmul_precision('highest'):  # not bfloat16 or TF32
        hidden = model(
            jnp.asarray(ids), jnp.asarray(positions), jnp.ones(ids.shape, jnp.int32)
        )
        features, table = model.head(hidden)
        return np.asarray(features @ table.T, np.float32)


def compare(
    own: Float[np.ndarray, 'B T V'], written: Float[np.ndarray, 'B T V']
) -> Comparison:
    """Compares logits to within 1e-4, or 1e-5 of the largest logit if that is more.

    float32 keeps 24 bits, and merging changes the rounding in each layer, in proportion
    to the numbers: with GPT-2's 124M sizes, rank 16 and random numbers, logits up to 7
    differed by 1.6e-5 and logits up to 88, as GPT-2 has, by 2.0e-4. A wrong layout or
    scale or a lost adapter differs by far more. Logits that are not finite never agree.
    """
    difference = np.abs(own - written)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    row, place, token = np.unravel_index(np.argmax(difference), difference.shape)
    return Comparison(
        largest=float(difference[row, place, token]),
        tolerance=max(1e-4, 1e-5 * float(np.nan_to_num(np.abs(own)).max())),
        where=f'row {row}, place {place} of the probe, logit of id {token} '
        f'({own[row, place, token]:.6g} in the run, '
        f'{written[row, place, token]:.6g} in the folder)',
    )
