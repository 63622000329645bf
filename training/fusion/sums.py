"""What a fit keeps of any number of images: sums of products of their spectra."""

from __future__ import annotations

import numpy as np


class SpectrumSums:
    """Weighted sums over images, in float64, of M candidates and the truth, which is the last.

    They are of differences from one image that all sums of a fit share: at the lowest frequency
    values are far from zero and little different.
    """

    def __init__(self, origin: np.ndarray) -> None:
        """Begin with no image; origin: values [M + 1,K] of the one that others are compared with,
        K being real and imaginary parts of frequencies."""
        self.weight = 0.0
        self._origin = origin
        self._sum = np.zeros_like(origin)
        self._products = np.zeros((origin.shape[1], len(origin), len(origin)))

    def add(self, values: np.ndarray, weight: float) -> None:
        """Take in one image, [M + 1,K], as much as its weight says."""
        values = values - self._origin
        self.weight += weight
        self._sum += weight * values
        self._products += np.einsum('ik,jk->kij', weight * values, values)

    def merged(self, other: SpectrumSums, sign: int = 1) -> SpectrumSums:
        """Of the images of both, or, with the sign -1, without those of the other."""
        result = SpectrumSums(self._origin)
        result.weight = self.weight + sign * other.weight
        result._sum = self._sum + sign * other._sum
        result._products = self._products + sign * other._products
        return result

    def of_candidates(self, kept: list[int]) -> SpectrumSums:
        """The same images with some of the candidates alone."""
        rows = [*kept, len(self._origin) - 1]
        result = SpectrumSums(self._origin[rows])
        result.weight, result._sum = self.weight, self._sum[rows]
        result._products = self._products[:, rows][:, :, rows]
        return result

    def bias(self) -> np.ndarray:
        """Mean error of each candidate [M,K]."""
        mean = self._origin + self._sum / self.weight
        return mean[:-1] - mean[-1]

    def products(self, taken: np.ndarray) -> np.ndarray:
        """Sums of products [K,M + 1,M + 1] of candidates, less what is taken [M,K] of each, and
        truth."""
        level = self._origin + self._sum / self.weight
        level[:-1] -= taken
        centred = self._products - np.einsum('ik,jk->kij', self._sum, self._sum) / self.weight
        return centred + self.weight * np.einsum('ik,jk->kij', level, level)

    def squared_errors(self, weight: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Sum [K] over images of the squared errors of candidates weighted by [M,K], less [K]."""
        total, products = self._sum, self._products
        shift = taken + self._origin[-1] - (weight * self._origin[:-1]).sum(0)
        return (
            products[:, -1, -1]
            - 2.0 * np.einsum('ik,ki->k', weight, products[:, :-1, -1])
            + np.einsum('ik,kij,jk->k', weight, products[:, :-1, :-1], weight)
            + 2.0 * shift * (total[-1] - (weight * total[:-1]).sum(0))
            + self.weight * shift**2
        )
