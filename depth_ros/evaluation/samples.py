"""A few frames of a recording, spread evenly over it without knowing its length beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH = 480
"""Wider frames are shrunk to this [pixels]."""


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
                    self._offered, _shrunk(image, cv2.INTER_AREA),
                    _shrunk(cv2.resize(predicted_m, size[::-1], interpolation=cv2.INTER_NEAREST),
                            cv2.INTER_NEAREST),
                    None if truth_m is None else _shrunk(truth_m, cv2.INTER_NEAREST)))
        self._offered += 1

    def kept(self) -> tuple[Sample, ...]:
        """Return the frames kept so far, in their order."""
        return tuple(self._kept)


def _shrunk(image: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = image.shape[:2]
    if width <= WIDTH:
        return image.copy()
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    return cv2.resize(image, size, interpolation=interpolation)
