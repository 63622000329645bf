"""Tells a camera that stands still from one that moves, by the pictures alone."""

from __future__ import annotations

import cv2
import numpy as np

STILL_SHIFT = 0.06
"""Shift below which a camera stands still [pixels of the thumbnail, 4 of the network each].

Sensor noise of 4 grey levels makes 0.02; a hand-held camera's calmest frame pairs make 0.1.
"""
BLIND_GRADIENT = 0.5
"""Mean gradient below which a picture shows nothing [grey levels per pixel of the thumbnail]."""

_SHRINK = 4


def thumbnail(image: np.ndarray) -> np.ndarray:
    """The picture that frames are compared by.

    Args:
        image: uint8 [H,W,3].

    Returns:
        Grey float32 [H/4,W/4]: averaging over 16 pixels leaves a quarter of the noise.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = (max(2, width // _SHRINK), max(2, height // _SHRINK))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def mean_gradient(picture: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels of a thumbnail [grey levels]."""
    across = np.abs(np.diff(picture, axis=1)).mean()
    down = np.abs(np.diff(picture, axis=0)).mean()
    return float(across + down) / 2.0


def is_blind(picture: np.ndarray) -> bool:
    """Whether a thumbnail shows nothing to see motion by: a covered lens, darkness, a wall."""
    return mean_gradient(picture) < BLIND_GRADIENT


def shift_between(previous: np.ndarray, current: np.ndarray) -> float:
    """About how far the picture moved [pixels of the thumbnail], blind to changes of exposure.

    A small shift d changes a pixel by d times the gradient, so the mean change over the mean
    gradient is about the mean shift; for large ones it saturates.
    """
    gain = (previous.mean() + 1.0) / (current.mean() + 1.0)
    change = float(np.abs(gain * current - previous).mean())
    return change / max(mean_gradient(previous), 1e-6)


def stands_still(previous: np.ndarray, current: np.ndarray) -> bool:
    """Whether two thumbnails show the same view."""
    return shift_between(previous, current) < STILL_SHIFT
