"""How far the answers of a graph are from the expected ones, as one figure.

Floating-point graphs are held to their worst pixel. Eight bits may move a depth edge by a pixel,
where the relative difference is anything: they are held to the mean.
"""

from __future__ import annotations

import numpy as np

from depth_ros.model_spec import MotionSpec, Precision


def depth_difference(depth: np.ndarray, expected: np.ndarray, precision: Precision) -> float:
    """Relative difference of depths [N,h,w]: of the worst pixel, in int8 of the mean one.

    NaN where one of the two knows no depth and the other does.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        difference = np.abs(depth / expected - 1.0)
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


def _one_figure(differences: np.ndarray, precision: Precision) -> float:
    return float(np.mean(differences) if precision is Precision.INT8 else np.max(differences))
