"""Depth scores of a model or a guess over the frames of a bag."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.evaluation.metrics import (
    DepthMetrics,
    DepthRange,
    ScaleStability,
    comparable_pixels,
    depth_metrics,
    mean_metrics,
    median_scale,
    scale_stability,
)


@dataclass(frozen=True)
class DepthScores:
    """Metrics averaged over `images`, with the per-image median scale and without any."""

    name: str
    images: int
    coverage: float
    """Share of the pixels with truth that have a prediction; the metrics are over those."""
    unscaled: DepthMetrics | None
    """None for what has no unit, such as a constant."""
    median_scaled: DepthMetrics
    stability: ScaleStability


class DepthScorer:
    """Collects the scores of one source of depth, an image at a time."""

    def __init__(self, name: str, depth_range: DepthRange, *, has_unit: bool = True):
        self._name = name
        self._range = depth_range
        self._has_unit = has_unit
        self._unscaled: list[DepthMetrics] = []
        self._scaled: list[DepthMetrics] = []
        self._ratios: list[float] = []
        self._compared = 0
        self._known = 0

    def add(self, truth_m: np.ndarray, predicted_m: np.ndarray) -> None:
        """Compare depths [H, W] and [h, w]; the prediction is brought to the truth's size.

        An image in which nothing can be compared only lowers the coverage.
        """
        predicted_m = resized_depth(predicted_m, *truth_m.shape)
        valid = comparable_pixels(truth_m, predicted_m, self._range)
        self._known += int(comparable_pixels(truth_m, np.ones_like(truth_m), self._range).sum())
        self._compared += int(valid.sum())
        if not valid.any():
            return
        ratio = median_scale(truth_m, predicted_m, valid)
        self._ratios.append(ratio)
        self._scaled += self._metrics(truth_m, ratio * predicted_m, valid)
        if self._has_unit:
            self._unscaled += self._metrics(truth_m, predicted_m, valid)

    def scores(self) -> DepthScores | None:
        """Return the means over the images so far; None where nothing could be compared."""
        scaled, stability = mean_metrics(self._scaled), scale_stability(self._ratios)
        if scaled is None or stability is None:
            return None
        return DepthScores(self._name, len(self._scaled), self._compared / self._known,
                           mean_metrics(self._unscaled), scaled, stability)

    def _metrics(self, truth_m: np.ndarray, scaled_m: np.ndarray,
                 valid: np.ndarray) -> list[DepthMetrics]:
        metrics = depth_metrics(truth_m, self._range.clamp(scaled_m), valid)
        return [metrics] if metrics is not None else []


def resized_depth(depth_m: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return depth [height, width], interpolated bilinearly as inverse depth; NaN spreads."""
    if depth_m.shape == (height, width):
        return depth_m
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = np.where(depth_m > 0.0, 1.0 / depth_m, np.nan).astype(np.float32)
        return 1.0 / cv2.resize(inverse, (width, height), interpolation=cv2.INTER_LINEAR)
