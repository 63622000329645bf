"""A few frames of a recording, spread evenly over it without knowing its length beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH = 480
"""Wider frames are shrunk to this [pixels]."""
_SPARSE = 0.5
"""Below this share of known pixels a depth map is points, not a picture."""


@dataclass(frozen=True)
class Sample:
    """One frame to look at: RGB uint8 [h, w, 3] and depths [h', w'], at most WIDTH wide."""

    index: int
    image: np.ndarray
    predicted_m: np.ndarray
    truth_m: np.ndarray | None


class EvenSamples:
    """Keeps between half of `limit` and `limit` frames: every k-th, k doubling as they come."""

    def __init__(self, limit: int):
        self._limit = limit
        self._stride = 1
        self._offered = 0
        self._kept: list[Sample] = []

    def offer(self, image: np.ndarray, predicted_m: np.ndarray,
              truth_m: np.ndarray | None) -> None:
        """See the next frame: RGB [H, W, 3] and depths of any size."""
        if self._limit and self._offered % self._stride == 0:
            if len(self._kept) == self._limit:
                self._stride *= 2
                self._kept = self._kept[::2]
            if self._offered % self._stride == 0:
                size = predicted_m.shape if truth_m is None else truth_m.shape
                self._kept.append(Sample(
                    self._offered, shrunk_image(image), shrunk_depth(predicted_m, size),
                    None if truth_m is None else shrunk_depth(truth_m, size)))
        self._offered += 1

    def kept(self) -> tuple[Sample, ...]:
        """Return the frames kept so far, in their order."""
        return tuple(self._kept)


def shrunk_image(image: np.ndarray) -> np.ndarray:
    """Return a copy of a picture [H, W, 3] that is at most WIDTH wide."""
    size = _shrunk_size(image.shape[:2])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if size else image.copy()


def shrunk_depth(depth_m: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a copy of a depth map of pixels of `shape`, at most WIDTH wide; nothing is blended.

    Of points, those of a LiDAR, each new pixel has the nearest that falls into it.
    """
    height, width = shape
    if depth_m.shape != (height, width):
        depth_m = cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_NEAREST)
    size = _shrunk_size((height, width))
    if size is None:
        return depth_m.copy()
    known = np.isfinite(depth_m) & (depth_m > 0.0)
    if known.mean() >= _SPARSE:
        return cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
    return _pooled_points(depth_m, known, size)


def _pooled_points(depth_m: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pooled = np.full(size[::-1], np.inf, np.float32)
    v, u = np.nonzero(known)
    height, width = depth_m.shape
    np.minimum.at(pooled, (v * size[1] // height, u * size[0] // width), depth_m[known])
    pooled[np.isinf(pooled)] = np.nan
    return pooled


def _shrunk_size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Width and height to shrink to; None where it is small enough."""
    height, width = shape
    return None if width <= WIDTH else (WIDTH, max(1, round(height * WIDTH / width)))
