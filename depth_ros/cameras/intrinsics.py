"""Pinhole intrinsics.

Pixel centres lie at integer coordinates, so the image of a `width` x `height` camera covers
[-0.5, width - 0.5] x [-0.5, height - 0.5] (optical frame: x right, y down, z forward).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_ros.errors import CameraError

MAX_SIDE = 32766
"""Largest image side accepted [pixels], which is also OpenCV's for maps; beyond it a size is taken
for a damaged message."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; every value in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse what no camera has: sizes below 1, focal lengths that are not positive.

        Raises:
            CameraError: a size or a value is out of range.
        """
        check_size(self.width, self.height)
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f'intrinsics (fx, fy, cx, cy) = {values} must be finite, with fx and fy above 0'
            )

    def scaled(self, width: int, height: int) -> Intrinsics:
        """The same view resampled to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            fx=sx * self.fx,
            fy=sy * self.fy,
            cx=sx * (self.cx + 0.5) - 0.5,
            cy=sy * (self.cy + 0.5) - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, x0: int, y0: int, width: int, height: int) -> Intrinsics:
        """The window whose upper left pixel is (x0, y0); it may reach beyond the image."""
        return Intrinsics(self.fx, self.fy, self.cx - x0, self.cy - y0, width, height)

    def flipped(self) -> Intrinsics:
        """The image mirrored left to right."""
        return Intrinsics(
            self.fx, self.fy, self.width - 1 - self.cx, self.cy, self.width, self.height
        )

    @property
    def matrix(self) -> np.ndarray:
        """K, float64 [3,3]."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def inverse_matrix(self) -> np.ndarray:
        """The inverse of K, float64 [3,3]."""
        return np.array([
            [1 / self.fx, 0.0, -self.cx / self.fx],
            [0.0, 1 / self.fy, -self.cy / self.fy],
            [0.0, 0.0, 1.0],
        ])

    def rays(self) -> np.ndarray:
        """((u - cx) / fx, (v - cy) / fy) of every pixel, float32 [height,width,2].

        Times the depth of a pixel they are its x and y in the optical frame.
        """
        rays = np.empty((self.height, self.width, 2), np.float32)
        rays[..., 0] = (np.arange(self.width) - self.cx) / self.fx
        rays[..., 1] = ((np.arange(self.height) - self.cy) / self.fy)[:, None]
        return rays


def check_size(width: int, height: int) -> None:
    """Refuse an image size that no camera has.

    Raises:
        CameraError: a side is below 1 or above MAX_SIDE.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise CameraError(f'image size {width}x{height}: each side must be 1 to {MAX_SIDE}')
