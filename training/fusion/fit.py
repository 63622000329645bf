"""Finds how to combine candidates of depth, from images whose true depth is known.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, section 3.4.
"""

from __future__ import annotations

import math

import numpy as np

from depth_ros.errors import ConfigError
from training.fusion.combination import CombinationWeights
from training.fusion.corner_crops import Candidates
from training.fusion.shrinkage import (
    BIASES,
    PAPER,
    RIDGES,
    LeastSquares,
    Shrinkage,
    choose_shrinkage,
)
from training.fusion.sums import SpectrumSums

PARTS = 4
"""Of the images, each held out once to choose the shrinkage."""
_JUDGED_BINS = 1605
"""Lowest frequencies that the shrinkage is chosen by: nearly all of depth's power, and as many as
the authors' release fits. Sums of each part are kept of these alone."""


class CombinationFit:
    """Least squares at every frequency, from sums: memory does not grow with the images."""

    def __init__(self, candidates: Candidates) -> None:
        """Begin with no image; the candidates are those that `add` will bring."""
        self._candidates = candidates
        rows, columns = candidates.sizes.grid
        self._half = (rows, columns // 2 + 1)
        planes = self._half[0] * self._half[1]
        chosen = self._chosen(_JUDGED_BINS)
        self._judged = np.concatenate([chosen, planes + chosen])
        # By Parseval's theorem, of the mean squared error of depth.
        counted = np.full(self._half, 2.0)
        counted[:, self._outer_columns] = 1.0
        self._counted = np.tile(counted.ravel(), 2) / (rows * columns) ** 2
        self.images = 0
        self._all: SpectrumSums | None = None
        self._parts: tuple[SpectrumSums, ...] = ()

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
        fit = CombinationFit(Candidates(ratios, mine.mirrored, mine.sizes))
        if self._all is not None:
            fit.images = self.images
            fit._all = self._all.of_candidates(kept)
            fit._parts = tuple(part.of_candidates(kept) for part in self._parts)
        return fit

    def add(
        self,
        candidates: np.ndarray,
        truth_m: np.ndarray,
        place: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        """Take in one image.

        Args:
            candidates: [M,N1,N2] of its depth.
            truth_m: [N1,N2], known everywhere (see training.fusion.filling).
            place: 0 to 1, where the image comes in all of them: neighbours resemble each other,
                and are held out together.
            weight: how much its squared errors count.

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
        if self._all is None:
            self._all = SpectrumSums(values)
            self._parts = tuple(SpectrumSums(values[:, self._judged]) for _ in range(PARTS))
        self.images += 1
        self._all.add(values, weight)
        self._parts[min(int(PARTS * place), PARTS - 1)].add(values[:, self._judged], weight)

    def shrinkage(
        self,
        max_bins: int | None = None,
        ridge: float | None = None,
        bias: float | None = None,
    ) -> Shrinkage:
        """What cross-validation over the images chooses, of what is not given.

        Args:
            max_bins: that `weights` will fit.
            ridge, bias: see Shrinkage; None: chosen.
        """
        places = self._judged % (len(self._counted) // 2)
        fitted = np.isin(places, self._chosen(max_bins))
        return choose_shrinkage(
            self._parts,
            np.where(fitted, self._counted[self._judged], 0.0),
            RIDGES if ridge is None else (ridge,),
            BIASES if bias is None else (bias,),
        )

    def weights(
        self, max_bins: int | None = None, shrinkage: Shrinkage = PAPER
    ) -> CombinationWeights:
        """Solve.

        Args:
            max_bins: only so many of the lowest frequencies are fitted, by k1^2 + k2^2; None: all.
            shrinkage: how far the fit is drawn.

        Raises:
            ConfigError: no image was added, or max_bins is below 0.
        """
        sums = self._known
        if max_bins is not None and max_bins < 0:
            raise ConfigError(f'max_bins {max_bins} must not be below 0')
        solver = LeastSquares(sums, shrinkage.bias, self._counted)
        weight, bias = solver.weights(shrinkage.ridge), solver.bias
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
        """Root of the weighted mean squared error of the combination over all images so far."""
        found = [weights.everywhere(part) for part in ('real', 'imaginary')]
        return self._rmse_m(*(np.concatenate(pair, -1) for pair in zip(*found)))

    def candidate_rmse_m(self) -> tuple[float, ...]:
        """The same of every candidate alone."""
        bins = len(self._counted)
        return tuple(
            self._rmse_m(np.repeat(one[:, None], bins, 1), np.zeros(bins))
            for one in np.eye(len(self._candidates))
        )

    def _rmse_m(self, weight: np.ndarray, taken: np.ndarray) -> float:
        """Of any weights [M,bins] and what is taken away [bins]."""
        sums = self._known
        squares = float((sums.squared_errors(weight, taken) * self._counted).sum())
        return math.sqrt(max(squares, 0.0) / sums.weight)

    @property
    def _known(self) -> SpectrumSums:
        if self._all is None:
            raise ConfigError('no image with true depth was added to fit the combination on')
        return self._all

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
