"""Finds how to combine candidates of depth, from images whose true depth is known.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, section 3.4.
"""

from __future__ import annotations

import numpy as np

from depth_ros.errors import ConfigError
from training.fusion.combination import CombinationWeights
from training.fusion.corner_crops import Candidates

_CUTOFF = 1e-6
"""Singular values below this share of the largest count as none."""


class CombinationFit:
    """Least squares at every frequency, from sums: memory does not grow with the images.

    Sums are of differences from the first image, in float64: at the lowest frequency values are
    far from zero and little different.
    """

    def __init__(self, candidates: Candidates) -> None:
        """Begin with no image; the candidates are those that `add` will bring."""
        self._candidates = candidates
        rows, columns = candidates.sizes.grid
        self._half = (rows, columns // 2 + 1)
        count, bins = len(candidates), 2 * self._half[0] * self._half[1]
        self.images = 0
        self._origin = np.zeros((count + 1, bins))
        # Of candidates and, last, truth.
        self._sum = np.zeros((count + 1, bins))
        self._products = np.zeros((bins, count + 1, count + 1))

    def restricted(self, ratios: tuple[float, ...]) -> CombinationFit:
        """The same images, with the candidates of some of the ratios alone.

        Raises:
            ConfigError: one was not among the ratios, or 1 is not the first.
        """
        mine = self._candidates
        if missing := set(ratios) - set(mine.ratios):
            raise ConfigError(f'ratios {sorted(missing)} are not among {mine.ratios}')
        each = 2 if mine.mirrored else 1
        kept = [
            each * mine.ratios.index(ratio) + number for ratio in ratios for number in range(each)
        ]
        rows = [*kept, len(mine)]
        fit = CombinationFit(Candidates(ratios, mine.mirrored, mine.sizes))
        fit.images = self.images
        fit._origin, fit._sum = self._origin[rows], self._sum[rows]
        fit._products = self._products[:, rows][:, :, rows]
        return fit

    def add(self, candidates: np.ndarray, truth_m: np.ndarray) -> None:
        """Take in one image.

        Args:
            candidates: [M,N1,N2] of its depth.
            truth_m: [N1,N2], known everywhere (see training.fusion.filling).

        Raises:
            ConfigError: a shape is another, or a value is not finite.
        """
        need = (len(self._candidates), *self._candidates.sizes.grid)
        if candidates.shape != need or truth_m.shape != need[1:]:
            raise ConfigError(
                f'candidates are {candidates.shape} and truth {truth_m.shape}; need {need} '
                f'and {need[1:]}'
            )
        maps = np.concatenate([candidates, truth_m[None]]).astype(np.float64)
        if not np.isfinite(maps).all():
            raise ConfigError('candidates or truth are not finite everywhere')
        spectra = np.fft.rfft2(maps).reshape(len(maps), -1)
        values = np.concatenate([spectra.real, spectra.imag], 1)
        if self.images == 0:
            self._origin = values
        values = values - self._origin
        self.images += 1
        self._sum += values
        self._products += np.einsum('ik,jk->kij', values, values)

    def weights(self, max_bins: int | None = None, ridge: float = 0.0) -> CombinationWeights:
        """Solve.

        Args:
            max_bins: only so many of the lowest frequencies are fitted, by k1^2 + k2^2; None: all.
            ridge: how much weights are drawn to those of the candidates' mean, as a share of the
                mean of the diagonal: steadies few images and candidates that are nearly the same.

        Raises:
            ConfigError: no image was added, or max_bins or ridge is below 0.
        """
        if self.images == 0:
            raise ConfigError('no image with true depth was added to fit the combination on')
        if (max_bins is not None and max_bins < 0) or not ridge >= 0:
            raise ConfigError(f'max_bins {max_bins} and ridge {ridge} must not be below 0')
        mean = self._origin + self._sum / self.images
        bias = mean[:-1] - mean[-1]
        centred = self._products - np.einsum('ik,jk->kij', self._sum, self._sum) / self.images
        # Without their bias, candidates have the mean of the truth.
        level = (self.images * mean[-1] ** 2)[:, None]
        gram = centred[:, :-1, :-1] + level[:, :, None]
        target = centred[:, :-1, -1] + level
        if ridge > 0:
            candidates = gram.shape[1]
            drawn = ridge * np.trace(gram, axis1=1, axis2=2) / candidates
            gram += drawn[:, None, None] * np.eye(candidates)
            target += drawn[:, None] / candidates
        # (T'T)^+ T't is pinv(T) t; singular values of T are roots of those of T'T.
        inverse = np.linalg.pinv(gram, rcond=_CUTOFF**2, hermitian=True)
        weight = np.einsum('kij,kj->ik', inverse, target)
        chosen = self._chosen(max_bins)
        planes = self._half[0] * self._half[1]
        parts = {
            'weight_real': self._paired(weight[:, :planes], 1.0),
            'weight_imaginary': self._paired(weight[:, planes:], 1.0),
            'bias_real': self._paired(bias[:, :planes], 1.0),
            'bias_imaginary': self._paired(bias[:, planes:], -1.0),
        }
        # Bins that are their own conjugates have no imaginary part, what is fitted is rounding.
        for name in ('weight_imaginary', 'bias_imaginary'):
            parts[name].reshape(-1, *self._half)[:, self._own_conjugates] = 0.0
        candidates = self._candidates
        return CombinationWeights(
            ratios=candidates.ratios,
            mirrored=candidates.mirrored,
            image=candidates.sizes.image,
            grid=candidates.sizes.grid,
            bins=chosen,
            images=self.images,
            **{name: part[:, chosen].astype(np.float32) for name, part in parts.items()},
        )

    def rmse_m(self, weights: CombinationWeights) -> float:
        """Root of the mean squared error of the combination over all images so far."""
        found = [weights.everywhere(part) for part in ('real', 'imaginary')]
        return self._rmse_m(*(np.concatenate(pair, -1) for pair in zip(*found)))

    def candidate_rmse_m(self) -> tuple[float, ...]:
        """The same of every candidate alone."""
        bins = self._sum.shape[1]
        return tuple(
            self._rmse_m(np.repeat(one[:, None], bins, 1), np.zeros(bins))
            for one in np.eye(len(self._candidates))
        )

    def _rmse_m(self, weight: np.ndarray, taken: np.ndarray) -> float:
        """Of any weights [M,bins] and what is taken away [bins], by Parseval's theorem."""
        origin, total, products = self._origin, self._sum, self._products
        shift = taken + origin[-1] - (weight * origin[:-1]).sum(0)
        squares = (
            products[:, -1, -1]
            - 2.0 * np.einsum('ik,ki->k', weight, products[:, :-1, -1])
            + np.einsum('ik,kij,jk->k', weight, products[:, :-1, :-1], weight)
            + 2.0 * shift * (total[-1] - (weight * total[:-1]).sum(0))
            + self.images * shift**2
        )
        counted = np.full(self._half, 2.0)
        counted[:, self._outer_columns] = 1.0
        rows, columns = self._candidates.sizes.grid
        power = (squares.reshape(2, -1) * counted.ravel()).sum() / (rows * columns)
        return float(np.sqrt(max(power, 0.0) / (self.images * rows * columns)))

    @property
    def _outer_columns(self) -> list[int]:
        """Columns of the half plane that hold bins beside their conjugates."""
        columns = self._candidates.sizes.grid[1]
        return [0, columns // 2] if columns % 2 == 0 else [0]

    @property
    def _own_conjugates(self) -> np.ndarray:
        own = np.zeros(self._half, bool)
        rows = self._half[0]
        for row in [0, rows // 2] if rows % 2 == 0 else [0]:
            own[row, self._outer_columns] = True
        return own

    def _chosen(self, max_bins: int | None) -> np.ndarray:
        """Places of the lowest frequencies in the flattened half plane, ascending.

        A bin and its conjugate count as one, and come together.
        """
        rows, half = self._half
        signed = (np.arange(rows) + rows // 2) % rows - rows // 2
        squares = signed[:, None] ** 2 + np.arange(half)[None] ** 2
        twin = np.zeros(self._half, bool)
        twin[rows // 2 + 1 :, self._outer_columns] = True
        places = np.flatnonzero(~twin)
        order = np.argsort(squares.ravel()[places], kind='stable')
        kept = np.zeros(rows * half, bool)
        kept[places[order[: len(order) if max_bins is None else max_bins]]] = True
        kept = kept.reshape(self._half)
        later = np.arange(rows // 2 + 1, rows)
        for column in self._outer_columns:
            kept[later, column] = kept[rows - later, column]
        return np.flatnonzero(kept)

    def _paired(self, values: np.ndarray, sign: float) -> np.ndarray:
        """Values [M,bins] whose bins in the outer columns are those of their conjugates.

        Both are fitted on the same numbers; that they are equal to the last bit keeps depth real.
        """
        paired = values.reshape(-1, *self._half).copy()
        rows = self._half[0]
        later = np.arange(rows // 2 + 1, rows)
        for column in self._outer_columns:
            paired[:, later, column] = sign * paired[:, rows - later, column]
        return paired.reshape(values.shape)
