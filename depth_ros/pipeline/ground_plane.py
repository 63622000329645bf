"""The camera's height above the ground it sees, in the unit of the depth map.

Xue et al., Toward Hierarchical Self-Supervised Monocular Absolute Depth Estimation for Autonomous
Driving Applications (DNet), IROS 2020, with its checks made stricter for robots: the ground must
fill a share of the image and lie in one plane.
"""

from __future__ import annotations

import math

import numpy as np

MAX_TILT_RAD = math.radians(5.0)
"""A surface belongs to the ground when its normal is within this angle of the vertical."""
MIN_SHARE = 0.02
"""Share of the image that the ground must fill."""
MAX_SPREAD = 0.2
"""Interquartile range of the heights over their median, above which it is no one plane."""
LEVEL = (0.0, 1.0, 0.0)
"""Gravity's direction in the optical frame of a level camera."""

Direction = tuple[float, float, float]
"""Unit vector in a camera's optical frame."""

_SAMPLES_ACROSS = 96

_LEFT, _RIGHT, _UP, _DOWN = (0, -1), (0, 1), (-1, 0), (1, 0)
_TURNS = (
    (_LEFT, _DOWN),
    (_RIGHT, _UP),
    ((-1, -1), (1, -1)),
    ((1, 1), (-1, 1)),
)
"""Pairs of neighbours (row, column), each a quarter turn in the same sense."""


def down_of(base_T_cam: np.ndarray) -> Direction:
    """Gravity's direction in the optical frame of a camera on a body that stands upright.

    Args:
        base_T_cam: float64 [4,4], the optical frame in the body's frame, whose z is up.
    """
    x, y, z = (-base_T_cam[2, :3]).tolist()
    return x, y, z


def height_above_ground(
    depth: np.ndarray, rays: np.ndarray, down: Direction = LEVEL
) -> float | None:
    """Median distance of the ground's surface from the camera, measured along its normals.

    Args:
        depth: float32 [H,W] along the optical axis, in any unit; NaN where unknown.
        rays: float32 [H,W,2] x and y at depth 1, Intrinsics.rays() of the same grid.
        down: unit vector of gravity in the camera's optical frame.

    Returns:
        The height in the unit of `depth`; None where no sufficient plane is seen.
    """
    step = max(1, depth.shape[1] // _SAMPLES_ACROSS)
    half = depth.shape[0] // 2
    z = depth[half::step, ::step]
    points = np.empty((3, *z.shape), np.float32)
    points[2] = z
    np.multiply(z, rays[half::step, ::step, 0], out=points[0])
    np.multiply(z, rays[half::step, ::step, 1], out=points[1])
    normals = _normals(points)
    inner = points[:, 1:-1, 1:-1]
    vertical = np.asarray(down, np.float32)
    upright = np.abs(np.tensordot(vertical, normals, 1)) > math.cos(MAX_TILT_RAD)
    ground = upright & (np.tensordot(vertical, inner, 1) > 0)
    if np.count_nonzero(ground) < MIN_SHARE * 2 * z.size:
        return None
    heights = np.abs((inner[:, ground] * normals[:, ground]).sum(axis=0))
    lower, median, upper = np.percentile(heights, (25, 50, 75))
    return float(median) if upper - lower < MAX_SPREAD * median else None


def _normals(points: np.ndarray) -> np.ndarray:
    """Unit normals [3,h-2,w-2] of points [3,h,w], the mean of four cross products each."""
    total = np.zeros((3, points.shape[1] - 2, points.shape[2] - 2), np.float32)
    with np.errstate(invalid='ignore', divide='ignore'):
        for first, second in _TURNS:
            total += _unit(_cross(_neighbour(points, *first), _neighbour(points, *second)))
        return _unit(total)


def _neighbour(points: np.ndarray, row: int, column: int) -> np.ndarray:
    height, width = points.shape[1:]
    moved = points[:, 1 + row : height - 1 + row, 1 + column : width - 1 + column]
    return moved - points[:, 1:-1, 1:-1]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors * vectors).sum(axis=0))
