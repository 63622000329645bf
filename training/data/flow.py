"""How much a camera moved between frames, measured in the images alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from training.data.cache import FrameCache, locked

GAPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Frame distances that are measured."""
FLOW_WIDTH = 128
"""Images are shrunk to this width [pixels] before flow is computed."""
GRID = 6
"""Distance of the pixels whose flow is used [pixels of the shrunk image]."""
_IMPLAUSIBLE = 0.35
_FORMAT = 1


@dataclass(frozen=True)
class ImageMotion:
    """Motion of every frame i to frame i + GAPS[k], float32 [n, len(GAPS)]; NaN: not measured.

    Attributes:
        flow: median length of the optical flow [share of image width].
        parallax: mean length of what the best rotation does not explain [share of image width].
        rotation_rad: angle of that rotation.
    """

    flow: np.ndarray
    parallax: np.ndarray
    rotation_rad: np.ndarray


def fit_rotation(
    points: np.ndarray, flow: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The small rotation that explains most of a flow field, in the least absolute sense.

    Args:
        points: pixels (u, v) [n,2].
        flow: their displacement [n,2] pixels.
        intrinsics: (fx, fy, cx, cy).

    Returns:
        rotation vector of the scene in the camera frame [3] in radians, and what it leaves of
        the flow [n,2] pixels.
    """
    fx, fy, cx, cy = intrinsics
    x, y = (points[:, 0] - cx) / fx, (points[:, 1] - cy) / fy
    # Velocity of the image of a point that turns with angular velocity w: X' = w x X.
    rows_u = fx * np.stack([-x * y, 1 + x * x, -y], axis=1)
    rows_v = fy * np.stack([-(1 + y * y), x * y, x], axis=1)
    rows = np.stack([rows_u, rows_v], axis=1)
    weights = np.ones(len(points))
    rotation, rest = np.zeros(3), flow
    for _ in range(4):
        weighted = rows * weights[:, None, None]
        normal = np.einsum('nki,nkj->ij', weighted, rows) + 1e-9 * np.eye(3)
        rotation = np.linalg.solve(normal, np.einsum('nki,nk->i', weighted, flow))
        rest = flow - rows @ rotation
        weights = 1 / (np.linalg.norm(rest, axis=1) + 0.1)
    return rotation, rest


def measure_motion(cache: FrameCache, max_gap_frames: int, max_flow: float) -> ImageMotion:
    """Measure motion over growing gaps, until the flow exceeds max_flow; kept beside the cache.

    Args:
        cache: the frames.
        max_gap_frames: longest gap of interest.
        max_flow: flow beyond which larger gaps are of no use [share of image width].
    """
    stored = cache.folder / f'motion-{_FORMAT}-{max_gap_frames}-{max_flow:g}.npz'
    with locked(stored.with_suffix('.lock')):
        if stored.is_file():
            with np.load(stored) as arrays:
                return ImageMotion(arrays['flow'], arrays['parallax'], arrays['rotation_rad'])
        motion = _measure(cache, max_gap_frames, max_flow)
        aside = stored.with_suffix('.partial')
        with aside.open('wb') as file:
            np.savez(
                file, flow=motion.flow, parallax=motion.parallax, rotation_rad=motion.rotation_rad
            )
        aside.rename(stored)
    return motion


def _measure(cache: FrameCache, max_gap_frames: int, max_flow: float) -> ImageMotion:
    count, (height, width) = len(cache), cache.images.shape[1:3]
    scale = min(1.0, FLOW_WIDTH / width)
    size = (round(width * scale), round(height * scale))
    # Only the frames within reach are kept: a long bag takes no more memory than a short one.
    reach = min(max_gap_frames, GAPS[-1])
    small: deque[np.ndarray] = deque()
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    empty = np.zeros((size[1], size[0], 2), np.float32)
    result = np.full((3, count, len(GAPS)), np.nan, np.float32)
    for i in range(count):
        while i + len(small) < min(i + reach + 1, count):
            small.append(_small_grey(np.asarray(cache.images[i + len(small)]), size))
        points = _grid(cache.visible[i] * scale)
        columns, rows = points.T
        intrinsics = cache.intrinsics[i].astype(float) * scale
        intrinsics[2:] = scale * (cache.intrinsics[i, 2:] + 0.5) - 0.5
        for k, gap in enumerate(GAPS):
            if gap > max_gap_frames or i + gap >= count:
                break
            flow = finder.calc(small[0], small[gap], empty)[rows, columns].astype(float)
            rotation, rest = fit_rotation(points.astype(float), flow, intrinsics)
            median = float(np.median(np.linalg.norm(flow, axis=1))) / size[0]
            parallax = float(np.linalg.norm(rest, axis=1).mean()) / size[0]
            result[:, i, k] = median, parallax, np.linalg.norm(rotation)
            if median > max(max_flow, _IMPLAUSIBLE):
                break
        small.popleft()
    return ImageMotion(*result)


def _small_grey(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def _grid(window: np.ndarray) -> np.ndarray:
    """Pixels (u, v) of a window (x0, y0, x1, y1), GRID apart, half of that off its border."""
    x0, y0, x1, y1 = np.round(window).astype(int)
    u, v = np.meshgrid(np.arange(x0 + GRID // 2, x1, GRID), np.arange(y0 + GRID // 2, y1, GRID))
    return np.stack([u.ravel(), v.ravel()], axis=1)
