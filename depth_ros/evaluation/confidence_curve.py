"""Whether depth is better where the pipeline is more confident of it: error by confidence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.evaluation.depth_scores import resized_depth
from depth_ros.evaluation.protocol import DepthProtocol, Scaling

_BINS = 2000
"""Of confidence 0 to 1. Parts are cut between bins in proportion, which moves no figure shown."""
FIFTHS, TENTHS = 5, 10


@dataclass(frozen=True)
class ConfidenceBand:
    """An equal part of the judged pixels, by their confidence."""

    lowest: float
    """Confidence at which it begins."""
    highest: float
    median_scaled_abs_rel: float
    """Over its pixels, each image at its own median scale."""
    unscaled_abs_rel: float

    def abs_rel(self, scaling: Scaling) -> float:
        """The error under one of the two."""
        median = scaling is Scaling.MEDIAN
        return self.median_scaled_abs_rel if median else self.unscaled_abs_rel


@dataclass(frozen=True)
class ConfidenceCurve:
    """Error by confidence, over all pixels with truth of all frames; least confident first."""

    judged: float
    """Share of the compared pixels that have a confidence."""
    fifths: tuple[ConfidenceBand, ...]
    tenths: tuple[ConfidenceBand, ...]
    rest_median_scaled_abs_rel: float | None
    """Of the pixels without a confidence; None where there are none."""


class ConfidenceScorer:
    """Sums errors by confidence: memory does not grow with the frames."""

    def __init__(self, protocol: DepthProtocol) -> None:
        """Begin with nothing.

        Args:
            protocol: which pixels count, and the range that depths are clamped to.
        """
        self._protocol = protocol
        self._counts = np.zeros(_BINS)
        self._errors = np.zeros((2, _BINS))
        self._rest_count = 0
        self._rest_error = 0.0

    def add(
        self,
        truth_m: np.ndarray,
        predicted_m: np.ndarray,
        confidence: np.ndarray | None,
        ratio: float,
    ) -> None:
        """Take in one frame.

        Args:
            truth_m: float [H,W], 0 or NaN where unknown.
            predicted_m: float [h,w].
            confidence: float [h,w] in 0..1, NaN where it cannot be judged; None for a frame that
                cannot be judged at all, which is left out.
            ratio: the frame's median scale.
        """
        if confidence is None:
            return
        predicted_m = resized_depth(predicted_m, *truth_m.shape)
        counted = self._protocol.counted(truth_m, predicted_m)
        truth, predicted = truth_m[counted], predicted_m[counted]
        median_scaled_error, unscaled_error = (
            np.abs(self._protocol.depth_range.clamp(factor * predicted) / truth - 1.0)
            for factor in (ratio, 1.0)
        )
        height, width = counted.shape
        if confidence.shape != counted.shape:
            confidence = cv2.resize(confidence, (width, height), interpolation=cv2.INTER_NEAREST)
        values = confidence[counted]
        known = np.isfinite(values)
        bins = np.minimum((values[known] * _BINS).astype(np.int64), _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)
        for sums, errors in zip(self._errors, (median_scaled_error, unscaled_error)):
            sums += np.bincount(bins, weights=errors[known], minlength=_BINS)
        self._rest_count += int((~known).sum())
        self._rest_error += float(median_scaled_error[~known].sum())

    def curve(self) -> ConfidenceCurve | None:
        """What the frames came to; None where nothing could be judged."""
        judged = float(self._counts.sum())
        if judged == 0:
            return None
        return ConfidenceCurve(
            judged=judged / (judged + self._rest_count),
            fifths=self._bands(FIFTHS),
            tenths=self._bands(TENTHS),
            rest_median_scaled_abs_rel=(
                self._rest_error / self._rest_count if self._rest_count else None
            ),
        )

    def _bands(self, parts: int) -> tuple[ConfidenceBand, ...]:
        """Equal parts of the pixels; a bin between two parts belongs to both in proportion."""
        below = np.concatenate([[0.0], np.cumsum(self._counts)])
        cuts = np.linspace(0.0, below[-1], parts + 1)
        used = np.flatnonzero(self._counts)
        # Through the bins that hold pixels, both confidence and error are monotone in the count.
        counts = np.concatenate([[0.0], below[used + 1]])
        edges = np.interp(cuts, counts, np.concatenate([[used[0]], used + 1])) / _BINS
        errors = [
            np.diff(np.interp(cuts, below, np.concatenate([[0.0], np.cumsum(sums)])))
            / np.diff(cuts)
            for sums in self._errors
        ]
        return tuple(
            ConfidenceBand(float(lowest), float(highest), float(scaled), float(unscaled))
            for lowest, highest, scaled, unscaled in zip(edges, edges[1:], *errors)
        )
