"""L(D) = E + A D^-alpha: the loss that so much training data gives.

Source: Hestness et al. 2017, Deep Learning Scaling is Predictable, Empirically,
arXiv:1712.00409 (the form); Hoffmann et al. 2022, arXiv:2203.15556, D.3 (E as the part
that no data takes away).
"""

import dataclasses

import numpy as np

# Exponents of language models lie near 0.1 (Hestness et al.); 2 is nearly a step.
_ALPHAS = np.geomspace(0.02, 2.0, 200)


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """`E` and `A` >= 0, nats per token; `A` is in units of `size` ** alpha.

    The fields are numbers, or arrays [R] of R resamples.
    """

    E: np.ndarray
    A: np.ndarray
    alpha: np.ndarray
    size: float  # of all the data: D = size gives E + A

    def at(self, times: float) -> np.ndarray:
        """The loss with `times` as much data as `size`."""
        return self.E + self.A * times**-self.alpha

    def gain(self, times: float) -> np.ndarray:
        """How far the loss falls with `times` as much data."""
        return self.at(1.0) - self.at(times)


def fit(sizes: np.ndarray, losses: np.ndarray) -> PowerLaw:
    """The law of least squared error through (sizes [S], losses [R, S]), for each R.

    For each alpha of a grid E and A are linear, and solved for with E, A >= 0; the best
    alpha is taken. Losses that do not fall give A = 0: a flat line.
    """
    size = float(np.max(sizes))
    x = (np.asarray(sizes, np.float64) / size) ** -_ALPHAS[:, None]  # [alphas, S]
    y = np.atleast_2d(np.asarray(losses, np.float64))  # [R, S]
    x_mean, y_mean = x.mean(1), y.mean(1)
    spread = ((x - x_mean[:, None]) ** 2).sum(1)
    A = (y - y_mean[:, None]) @ (x - x_mean[:, None]).T / spread  # [R, alphas]
    A = np.maximum(A, 0)
    E = y_mean[:, None] - A * x_mean
    through_zero = y @ x.T / (x**2).sum(1)
    A = np.where(E < 0, through_zero, A)
    E = np.maximum(E, 0)
    error = ((E[..., None] + A[..., None] * x - y[:, None]) ** 2).sum(-1)
    # Of a flat line every alpha is equally good: the first.
    best = np.argmin(np.round(error, 14), 1)
    rows = np.arange(len(y))
    return PowerLaw(E[rows, best], A[rows, best], _ALPHAS[best], size)
