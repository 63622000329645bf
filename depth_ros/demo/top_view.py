"""The path and the clouds seen from above, x forward up and y left to the left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

WIDTH, HEIGHT = 960, 720
_MARGIN = 30
_BACKGROUND = (250, 250, 250)
_PATH, _TRUE_PATH, _INK = (228, 87, 46), (46, 134, 171), (90, 101, 119)
# Higher above the camera is ceiling or sky, which would hide everything below it.
_HIGHEST_M = 0.4
_SHOWN_SHARE = 0.96


def draw_top_view(
    points_m: np.ndarray, colours: np.ndarray, paths: Sequence[np.ndarray], unit: str
) -> np.ndarray:
    """Draw clouds and paths in one frame with z up.

    Args:
        points_m: float [n,3] of all clouds.
        colours: uint8 [n,3] RGB of the points.
        paths: positions float [m,3]; the first is the estimate, a second one the truth.
        unit: what stands at the scale bar, 'm' where the model is metric.

    Returns:
        uint8 [HEIGHT,WIDTH,3] RGB.
    """
    ceiling = _HIGHEST_M + (max(path[:, 2].max() for path in paths) if paths else 0.0)
    low = points_m[:, 2] < ceiling
    points_m, colours = points_m[low], colours[low]
    centre, pixels_per_metre = _window([points_m[:, :2], *(path[:, :2] for path in paths)])

    def to_pixels(xy: np.ndarray) -> np.ndarray:
        right = WIDTH / 2 - (xy[:, 1] - centre[1]) * pixels_per_metre
        down = HEIGHT / 2 - (xy[:, 0] - centre[0]) * pixels_per_metre
        return np.stack([right, down], axis=1)

    picture = np.full((HEIGHT, WIDTH, 3), _BACKGROUND, np.uint8)
    _scatter(picture, to_pixels(points_m), colours, np.argsort(points_m[:, 2]))
    for path, colour, thickness in zip(reversed(paths), (_TRUE_PATH, _PATH)[-len(paths):], (4, 2)):
        corners = np.round(16 * to_pixels(path)).astype(np.int32)[:, None]
        cv2.polylines(picture, [corners], False, colour, thickness, cv2.LINE_AA, shift=4)
    _scale_bar(picture, pixels_per_metre, unit)
    return picture


def _window(positions: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Centre [2] and pixels per metre that show nearly all points and every path."""
    points, *paths = positions
    low, high = np.zeros(2), np.ones(2)
    if len(points):
        tail = (1 - _SHOWN_SHARE) / 2
        low, high = np.quantile(points, (tail, 1 - tail), axis=0)
    for path in paths:
        low, high = np.minimum(low, path.min(axis=0)), np.maximum(high, path.max(axis=0))
    size = np.maximum(high - low, 1e-3)
    scale = min((HEIGHT - 2 * _MARGIN) / size[0], (WIDTH - 2 * _MARGIN) / size[1])
    return (low + high) / 2, float(scale)


def _scatter(
    picture: np.ndarray, pixels: np.ndarray, colours: np.ndarray, order: np.ndarray
) -> None:
    """Set 2x2 pixels a point in the given order, so that the last ones stay on top."""
    corner = np.floor(pixels[order]).astype(np.int64)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = corner[:, 0] + dx, corner[:, 1] + dy
        inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        picture[y[inside], x[inside]] = colours[order][inside]


def _scale_bar(picture: np.ndarray, pixels_per_metre: float, unit: str) -> None:
    wanted = WIDTH / 5 / pixels_per_metre
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    left, bottom = _MARGIN, HEIGHT - _MARGIN
    right = left + round(length * pixels_per_metre)
    cv2.rectangle(picture, (left - 8, bottom - 28), (right + 8, bottom + 8), _BACKGROUND, -1)
    cv2.line(picture, (left, bottom), (right, bottom), _INK, 2)
    cv2.putText(picture, f'{length:g} {unit}', (left, bottom - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55,
                _INK, 1, cv2.LINE_AA)
