"""The plainest part of a picture: where matching of colours has nothing to hold on to."""

from __future__ import annotations

import cv2
import numpy as np

PLAIN_SHARE = 0.1
"""The share of the pixels with truth that are judged as textureless."""
_NEIGHBOURHOOD = 7
"""Side of the square over which the gradient is averaged [pixels]: without it the crest of a
pattern, where brightness turns, would pass for plain."""


def image_gradient(image: np.ndarray) -> np.ndarray:
    """Size of the brightness gradient, averaged over a small square around each pixel.

    Args:
        image: uint8 RGB [H,W,3].

    Returns:
        float32 [H,W], grey levels per pixel.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Sobel's kernel weighs a difference over two pixels by four.
    dx, dy = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=0.125) for order in ((1, 0), (0, 1)))
    return cv2.blur(cv2.magnitude(dx, dy), (_NEIGHBOURHOOD, _NEIGHBOURHOOD))


def textureless(image: np.ndarray, counted: np.ndarray, share: float = PLAIN_SHARE) -> np.ndarray:
    """The `share` of the counted pixels around which the image has the least gradient.

    Args:
        image: uint8 RGB [h,w,3]; brought to the size of `counted` where it has another.
        counted: bool [H,W], pixels with truth.
        share: of the counted pixels; more are taken where several are equally plain.

    Returns:
        bool [H,W].
    """
    if not counted.any():
        return np.zeros_like(counted)
    height, width = counted.shape
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    gradient = image_gradient(image)
    values = gradient[counted]
    last = max(0, round(share * values.size) - 1)
    return counted & (gradient <= np.partition(values, last)[last])
