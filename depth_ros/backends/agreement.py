"""How far the answers of a graph are from the expected ones, as one figure.

Floating-point graphs are held to their worst pixel. Eight bits may move a depth edge by a pixel,
where the relative difference is anything: they are held to the mean. Networks answer in inverse
depth, and what rounding does to that does not vanish where it does: pixels beyond the median
depth of their picture are held to the inverse depth of that.
"""

from __future__ import annotations

import numpy as np

from depth_ros.model_folder.spec import MotionSpec, Precision


def depth_difference(depth: np.ndarray, expected: np.ndarray, precision: Precision) -> float:
    """Relative difference of inverse depths: of the worst pixel, in int8 of the mean one.

    Depths are [N,h,w]. NaN where one of the two knows no depth and the other does.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = np.reciprocal(expected)
        unit = np.maximum(inverse, _medians(inverse))
        difference = np.abs(np.reciprocal(depth) - inverse) / unit
    same = (depth == expected) | (np.isnan(depth) & np.isnan(expected))
    return _one_figure(np.where(same, 0.0, difference), precision)


def motion_difference(
    motion: np.ndarray, expected: np.ndarray, typical: MotionSpec, precision: Precision
) -> float:
    """Difference of motions [N,6] relative to their length, of the worse of turn and translation.

    Motions shorter than the typical one count as that long. The worst pair counts, in int8 the
    mean one.
    """
    parts = []
    for part, shortest in (
        (slice(0, 3), typical.rotation_rad),
        (slice(3, 6), typical.translation),
    ):
        error = np.linalg.norm(motion[:, part] - expected[:, part], axis=1)
        length = np.maximum(np.linalg.norm(expected[:, part], axis=1), shortest)
        parts.append(_one_figure(error / length, precision))
    return max(parts)


def _medians(inverse: np.ndarray) -> np.ndarray:
    """Of each picture [N,h,w], without what is unknown; [N,1,1]."""
    known = (picture[np.isfinite(picture)] for picture in inverse)
    medians = [np.median(values) if values.size else 0.0 for values in known]
    return np.array(medians, inverse.dtype)[:, None, None]


def _one_figure(differences: np.ndarray, precision: Precision) -> float:
    return float(np.mean(differences) if precision is Precision.INT8 else np.max(differences))
