"""Depth maps and their errors as pictures with captions, for report pages."""

from __future__ import annotations

import cv2
import numpy as np

from depth_ros.colorize import colorize_depth, depth_range
from depth_ros.evaluation.report import Picture

LARGEST_SHOWN_ERROR = 0.5
"""Relative error that is drawn in full colour."""
LARGEST_SHOWN_CHANGE = 0.2
"""Change of relative error that is drawn in full colour."""
_SPARSE = 0.5
_DIM = 0.35
"""Brightness of the picture behind what is drawn over it."""
_WORSE, _BETTER = np.array([214.0, 39.0, 40.0]), np.array([31.0, 119.0, 220.0])
_MARKED = (255, 176, 32)

Limits = tuple[float, float]


def shown_range(truth_m: np.ndarray) -> Limits | None:
    """The depths that the ends of the colours stand for, of all known pixels alike."""
    known = truth_m[np.isfinite(truth_m) & (truth_m > 0.0)]
    return depth_range(np.repeat(known[None], 4, axis=1)) if known.size else None


def depth_picture(depth_m: np.ndarray, limits: Limits | None, caption: str) -> Picture:
    """A depth map in colours; without limits, in those of its own range."""
    limits = limits or depth_range(depth_m)
    if limits is not None:
        caption += f', red {limits[0]:.2f} to blue {limits[1]:.2f}'
    return Picture(_coloured(depth_m, limits), caption)


def truth_picture(truth_m: np.ndarray, limits: Limits | None, image: np.ndarray) -> Picture:
    """The truth in colours; points of a LiDAR over the dimmed image."""
    known = np.isfinite(truth_m) & (truth_m > 0.0)
    if known.mean() >= _SPARSE:
        return Picture(_coloured(truth_m, limits), 'truth')
    return Picture(_over(image, _coloured(truth_m, limits), known), 'truth: points of the LiDAR',
                   lossless=True)


def error_picture(error: np.ndarray, image: np.ndarray, caption: str) -> Picture:
    """Relative errors [h,w], NaN where unknown, over the dimmed image: black none, white much."""
    level = np.nan_to_num(255.0 * error / LARGEST_SHOWN_ERROR)
    colours = cv2.applyColorMap(np.clip(level, 0.0, 255.0).astype(np.uint8), cv2.COLORMAP_HOT)
    known = np.isfinite(error)
    return Picture(_over(image, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), known), caption,
                   lossless=bool(known.mean() < _SPARSE))


def change_picture(before: np.ndarray, after: np.ndarray, image: np.ndarray,
                   caption: str) -> Picture:
    """Where relative errors [h,w] grew (red) and shrank (blue), grey where they did not change."""
    change = np.clip((after - before) / LARGEST_SHOWN_CHANGE, -1.0, 1.0)[..., None]
    known = np.isfinite(change[..., 0])
    target = np.where(change > 0.0, _WORSE, _BETTER)
    colours = 235.0 + np.abs(change) * (target - 235.0)
    colours = np.nan_to_num(colours).astype(np.uint8)
    return Picture(_over(image, colours, known), caption, lossless=bool(known.mean() < _SPARSE))


def mask_picture(mask: np.ndarray, image: np.ndarray, caption: str) -> Picture:
    """A mask [h,w] in colour over the dimmed image."""
    colours = np.full((*mask.shape, 3), _MARKED, np.uint8)
    return Picture(_over(image, colours, mask), caption, lossless=bool(mask.mean() < _SPARSE))


def relative_error(scaled_m: np.ndarray, truth_m: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """|prediction - truth| / truth where counted, NaN elsewhere: float32 [h,w]."""
    error = np.full(truth_m.shape, np.nan, np.float32)
    error[counted] = np.abs(scaled_m[counted] - truth_m[counted]) / truth_m[counted]
    return error


def _coloured(depth_m: np.ndarray, limits: Limits | None) -> np.ndarray:
    return cv2.cvtColor(colorize_depth(depth_m, limits), cv2.COLOR_BGR2RGB)


def _over(image: np.ndarray, colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours uint8 [h,w,3] where known, the dimmed image elsewhere.

    Sparse points are drawn two pixels wide, that they be seen.
    """
    height, width = known.shape
    base = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    picture = (_DIM * cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)).astype(np.uint8)
    picture = np.repeat(picture[..., None], 3, axis=2)
    if known.mean() < _SPARSE:
        v, u = np.nonzero(known)
        for dv, du in ((1, 1), (1, 0), (0, 1)):
            picture[np.minimum(v + dv, height - 1), np.minimum(u + du, width - 1)] = colours[v, u]
    picture[known] = colours[known]
    return picture
