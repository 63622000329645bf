"""Depth error metrics of one image, their mean over images, and the scale that comes before them.

The order is always: mask (`comparable_pixels`), scale, clamp (`DepthRange.clamp`), metrics.
Sources: the official evaluation code of Monodepth2 (Godard et al., ICCV 2019) and the KITTI depth
benchmark (SILog, iRMSE). Depths are z in metres, [H, W]; 0, NaN and infinity mean unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from depth_ros.errors import ConfigError


@dataclass(frozen=True)
class DepthRange:
    """Truth counts strictly inside (min_m, max_m); scaled predictions are clamped to it."""

    min_m: float = 1e-3
    max_m: float = 80.0

    def __post_init__(self):
        if not 0.0 < self.min_m < self.max_m < np.inf:
            raise ConfigError(f'depth range {self.min_m} to {self.max_m} m is not allowed: '
                              'need 0 < min < max, both finite')

    def clamp(self, depth_m: np.ndarray) -> np.ndarray:
        """Return depth limited to the range; NaN stays NaN."""
        return np.clip(depth_m, self.min_m, self.max_m)


@dataclass(frozen=True)
class DepthMetrics:
    """Errors of one image, or their mean over images; d1 to d3 are shares in 0..1.

    Units: sq_rel, rmse and mae in metres; irmse in 1/m (the KITTI server prints 1/km);
    rmse_log in natural logarithm; silog is 100 times the standard deviation of ln(p/g).
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    log10: float
    d1: float
    d2: float
    d3: float
    silog: float
    irmse: float
    mae: float


@dataclass(frozen=True)
class ScaleStability:
    """How one factor would do for all images: ratios are median(truth)/median(prediction)."""

    median_ratio: float
    relative_std: float
    """Standard deviation of ratio / median_ratio; 0 for a prediction off by one constant."""


def comparable_pixels(truth_m: np.ndarray, predicted_m: np.ndarray,
                      depth_range: DepthRange) -> np.ndarray:
    """Return bool [H, W]: truth inside the range and prediction finite and positive."""
    if truth_m.shape != predicted_m.shape:
        raise ValueError(f'truth {truth_m.shape} and prediction {predicted_m.shape}: '
                         'need equal sizes')
    with np.errstate(invalid='ignore'):
        known = (truth_m > depth_range.min_m) & (truth_m < depth_range.max_m)
        return known & np.isfinite(predicted_m) & (predicted_m > 0.0)


def garg_crop(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of the crop used on KITTI's Eigen split (Garg et al. 2016)."""
    return (slice(int(0.40810811 * height), int(0.99189189 * height)),
            slice(int(0.03594771 * width), int(0.96405229 * width)))


def depth_metrics(truth_m: np.ndarray, predicted_m: np.ndarray,
                  valid: np.ndarray) -> DepthMetrics | None:
    """Compare a scaled and clamped prediction with the truth where `valid`; None if nowhere."""
    if not valid.any():
        return None
    truth = truth_m[valid].astype(np.float64)
    predicted = predicted_m[valid].astype(np.float64)
    difference = predicted - truth
    log_ratio = np.log(predicted) - np.log(truth)
    worse_ratio = np.maximum(truth / predicted, predicted / truth)
    return DepthMetrics(
        abs_rel=float(np.mean(np.abs(difference) / truth)),
        sq_rel=float(np.mean(difference ** 2 / truth)),
        rmse=float(np.sqrt(np.mean(difference ** 2))),
        rmse_log=float(np.sqrt(np.mean(log_ratio ** 2))),
        log10=float(np.mean(np.abs(log_ratio)) / np.log(10.0)),
        d1=float(np.mean(worse_ratio < 1.25)),
        d2=float(np.mean(worse_ratio < 1.25 ** 2)),
        d3=float(np.mean(worse_ratio < 1.25 ** 3)),
        silog=float(100.0 * np.std(log_ratio)),
        irmse=float(np.sqrt(np.mean((1.0 / truth - 1.0 / predicted) ** 2))),
        mae=float(np.mean(np.abs(difference))),
    )


def mean_metrics(per_image: Sequence[DepthMetrics]) -> DepthMetrics | None:
    """Average over images, each counting the same; None for no images."""
    if not per_image:
        return None
    means = np.mean([astuple(metrics) for metrics in per_image], axis=0)
    return DepthMetrics(*(float(mean) for mean in means))


def median_scale(truth_m: np.ndarray, predicted_m: np.ndarray, valid: np.ndarray) -> float:
    """Return s = median(truth)/median(prediction) over `valid`, which must not be empty."""
    return float(np.median(truth_m[valid]) / np.median(predicted_m[valid]))


def scale_stability(ratios: Sequence[float]) -> ScaleStability | None:
    """Summarise the per-image scale ratios; None for no images."""
    if not ratios:
        return None
    median = float(np.median(ratios))
    return ScaleStability(median, float(np.std(np.asarray(ratios) / median)))
