"""How well the previous frame, seen through depth and motion, agrees with the current one."""

from __future__ import annotations

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics

_SHRINK = 2
_SSIM_WEIGHT = 0.85
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW = (3, 3)
_AVERAGED = (9, 9)
"""Pixels over which the difference of the pictures is averaged."""
_DIFFERENCE = 0.1
"""At this one confidence is 1/e: those of right depths are a tenth to a half of it."""


class ReprojectionConfidence:
    """Per-pixel confidence by the photometric agreement of two frames of one camera.

    Each pixel of the current frame is carried by its depth and the motion into the previous frame;
    what is found there is compared by the measure that self-supervised networks are trained with,
    0.85 SSIM and 0.15 absolute difference (Godard et al., Digging Into Self-Supervised Monocular
    Depth Estimation, ICCV 2019), on half the network's resolution. One pixel alone agrees by
    chance, so the difference is averaged over a window; confidence is exp(-difference / 0.1).
    Agreement is necessary for a right depth, not sufficient: on plain walls, and without parallax,
    everything agrees.
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        """Prepare for frames of the network's input, described by `intrinsics`."""
        width, height = intrinsics.width // _SHRINK, intrinsics.height // _SHRINK
        self._size = (width, height)
        reduced = intrinsics.scaled(width, height)
        self._K, self._inverse_K = reduced.matrix, reduced.inverse_matrix
        self._columns = np.arange(width, dtype=np.float32)
        self._rows = np.arange(height, dtype=np.float32)[:, None]

    def reduced(self, image: np.ndarray) -> np.ndarray:
        """What frames are compared by: grey float32 [h,w] in 0..1 of an image uint8 [H,W,3]."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, self._size, interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / 255.0

    def __call__(
        self,
        previous: np.ndarray,
        current: np.ndarray,
        depth: np.ndarray,
        previous_T_current: np.ndarray,
    ) -> np.ndarray:
        """Compare two frames.

        Args:
            previous: the previous frame, of `reduced`.
            current: the current frame, of `reduced`.
            depth: float32 [h,w] of the current frame over the whole network input, any grid.
            previous_T_current: [4,4], translation in the unit of `depth`.

        Returns:
            float32 of the size of `reduced`: 1 agrees, 0 does not; NaN where the previous frame
            does not show the point or depth is unknown.
        """
        width, height = self._size
        small = cv2.resize(depth, self._size, interpolation=cv2.INTER_NEAREST)
        turned = self._K @ previous_T_current[:3, :3] @ self._inverse_K
        moved = self._K @ previous_T_current[:3, 3]
        # Sums of a row and a column: a matrix product needs the pixels' coordinates in memory, and
        # wakes the threads of BLAS where it has some.
        u, v, w = (
            (of_u * self._columns + (of_v * self._rows + one)) * small + shift
            for (of_u, of_v, one), shift in zip(
                turned.astype(np.float32), moved.astype(np.float32)
            )
        )
        with np.errstate(divide='ignore', invalid='ignore'):
            u /= w
            v /= w
            # Written so that NaN is unseen.
            seen = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1) & (w > 0)
        unseen = ~seen
        np.putmask(u, unseen, 0.0)
        np.putmask(v, unseen, 0.0)
        found = cv2.remap(
            previous,
            u,
            v,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        difference = _averaged(photometric_difference(found, current), seen)
        return np.exp(difference * np.float32(-1.0 / _DIFFERENCE))


def _averaged(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean of the known values in a window around each known one; NaN at the others."""
    weights = known.astype(np.float32)
    values *= weights
    sums = cv2.blur(values, _AVERAGED, borderType=cv2.BORDER_CONSTANT)
    counts = cv2.blur(weights, _AVERAGED, borderType=cv2.BORDER_CONSTANT)
    np.putmask(counts, ~known, np.nan)
    return sums / counts


def photometric_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0.85 (1 - SSIM) / 2 + 0.15 |a - b| of two pictures float32 [H,W] in 0..1; within 0..1."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    # In place: what is measured here is the memory, not the arithmetic.
    products = mean_a * mean_b
    mean_a *= mean_a
    mean_b *= mean_b
    mean_a += mean_b
    squares = mean_a
    covariance = _blurred(a * b)
    covariance -= products
    sums = a * a
    sums += b * b
    variances = _blurred(sums)
    variances -= squares
    products *= 2.0
    products += _C1
    covariance *= 2.0
    covariance += _C2
    squares += _C1
    variances += _C2
    products *= covariance
    squares *= variances
    dissimilarity = np.divide(products, squares, out=products)
    dissimilarity *= -0.5
    dissimilarity += 0.5
    np.maximum(dissimilarity, 0.0, out=dissimilarity)
    np.minimum(dissimilarity, 1.0, out=dissimilarity)
    return cv2.addWeighted(dissimilarity, _SSIM_WEIGHT, cv2.absdiff(a, b), 1.0 - _SSIM_WEIGHT, 0.0)


def _blurred(picture: np.ndarray) -> np.ndarray:
    return cv2.blur(picture, _WINDOW, borderType=cv2.BORDER_REFLECT_101)
