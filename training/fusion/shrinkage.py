"""Least squares for weights, drawn to fewer numbers where images are few.

Every frequency has weights and a bias of its own, of which a fit on few images learns those
images' mean depth. So weights may be drawn to one convex combination of the candidates that all
frequencies share, and only a share of the bias be taken away. How far is chosen by
cross-validation (Stone, Cross-Validatory Choice and Assessment of Statistical Predictions, JRSS B
1974).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_ros.errors import ConfigError
from training.fusion.sums import SpectrumSums

RIDGES = (0.0, 0.003, 0.03, 0.3, 3.0, math.inf)
BIASES = (0.0, 0.25, 0.5, 0.75, 1.0)
_CUTOFF = 1e-6
"""Singular values below this share of the largest count as none."""
_STEPS = 2000


@dataclass(frozen=True)
class Shrinkage:
    """How far a fit is drawn.

    Attributes:
        ridge: how strongly weights are drawn to those that all frequencies share, as a share of
            the mean square of a candidate; inf: there are no others, 0: they are not drawn.
        bias: share of the candidates' mean errors that is taken away.
    """

    ridge: float = 0.0
    bias: float = 1.0

    def __post_init__(self) -> None:
        if not self.ridge >= 0:
            raise ConfigError(f'ridge {self.ridge} must be 0 or more')
        if not 0 <= self.bias <= 1:
            raise ConfigError(f'bias {self.bias} must be 0 to 1')


PAPER = Shrinkage()
"""Lee et al. fit on 795 images of hundreds of rooms, and draw nothing."""


class LeastSquares:
    """Weights [M,K] of candidates less a share of their bias, for any ridge."""

    def __init__(self, sums: SpectrumSums, bias_share: float, counted: np.ndarray) -> None:
        """counted: how much each of K values adds to the squared error of depth [K]."""
        self.bias = bias_share * sums.bias()
        products = sums.products(self.bias)
        self._gram, self._target = products[:, :-1, :-1], products[:, :-1, -1]
        self._shared = convex_weights(np.einsum('kij,k->ij', products, counted))
        self._eigenvalues, self._eigenvectors = np.linalg.eigh(self._gram)

    def weights(self, ridge: float) -> np.ndarray:
        """Solve: at 0 the pseudo-inverse's solution, of least norm."""
        count = len(self._shared)
        drawn_to = self._shared if ridge > 0 else np.zeros(count)
        if math.isinf(ridge):
            return np.repeat(drawn_to[:, None], len(self._gram), 1)
        values = self._eigenvalues
        # Singular values of the images' matrix are roots of those of its products.
        solvable = values > _CUTOFF**2 * values[:, -1:]
        drawn = ridge * values.mean(1, keepdims=True)
        inverse = np.divide(1.0, values + drawn, out=np.zeros_like(values), where=solvable)
        rest = self._target - self._gram @ drawn_to
        along = inverse * np.einsum('kji,kj->ki', self._eigenvectors, rest)
        return drawn_to[:, None] + np.einsum('kij,kj->ik', self._eigenvectors, along)


def choose_shrinkage(
    parts: Sequence[SpectrumSums],
    counted: np.ndarray,
    ridges: Sequence[float] = RIDGES,
    biases: Sequence[float] = BIASES,
) -> Shrinkage:
    """What is best on each part of the images when it is fitted on all other parts.

    Args:
        parts: of the images; those that resemble each other should be in the same.
        counted: see LeastSquares.
        ridges: to choose from.
        biases: to choose from.

    Returns:
        the most drawn of these where fewer than two parts hold images.
    """
    held = [part for part in parts if part.weight > 0]
    errors = {(ridge, bias): 0.0 for ridge in ridges for bias in biases}
    if len(held) < 2:
        return Shrinkage(max(ridges), min(biases))
    total = held[0]
    for part in held[1:]:
        total = total.merged(part)
    for part in held:
        rest = total.merged(part, -1)
        for bias in biases:
            solver = LeastSquares(rest, bias, counted)
            for ridge in ridges:
                weight = solver.weights(ridge)
                found = part.squared_errors(weight, (weight * solver.bias).sum(0))
                errors[ridge, bias] += float((found * counted).sum())
    return Shrinkage(*min(errors, key=errors.__getitem__))


def convex_weights(products: np.ndarray) -> np.ndarray:
    """Weights [M] of least squared error that are 0 or more and sum to one.

    By gradient steps with momentum, each projected onto the simplex (Beck and Teboulle, 2009;
    Duchi et al., 2008).

    Args:
        products: sums [M + 1,M + 1] of products of M candidates and, last, the truth.
    """
    # Of errors: what all candidates have in common with the truth does not slow the descent.
    errors = products[:-1, :-1] - products[:-1, -1:] - products[-1:, :-1] + products[-1, -1]
    weights = ahead = np.full(len(errors), 1.0 / len(errors))
    steepest = np.linalg.eigvalsh(errors)[-1]
    if not steepest > 0:
        return weights
    momentum = 1.0
    for _ in range(_STEPS):
        before, weights = weights, _on_simplex(ahead - errors @ ahead / steepest)
        next_momentum = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = weights + (momentum - 1.0) / next_momentum * (weights - before)
        momentum = next_momentum
    return weights


def _on_simplex(point: np.ndarray) -> np.ndarray:
    """The nearest point of no negative coordinate whose coordinates sum to one."""
    descending = np.sort(point)[::-1]
    surplus = (np.cumsum(descending) - 1.0) / np.arange(1, len(point) + 1)
    return np.maximum(point - surplus[np.flatnonzero(descending > surplus)[-1]], 0.0)
