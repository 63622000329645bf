"""True depth that is known everywhere: what a Fourier transform needs."""

from __future__ import annotations

import cv2
import numpy as np


def shrink_known(depth_m: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean of the known depths below each cell of a smaller grid; NaN where none is known.

    Args:
        depth_m: float [H,W], NaN where unknown.
        rows, columns: of the grid, no more than H and W.

    Returns:
        float64 [rows, columns].
    """
    known = np.isfinite(depth_m)
    parts = (np.where(known, depth_m, 0.0).astype(np.float64), known.astype(np.float64))
    total, share = (
        cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA) for part in parts
    )
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(share > 0, total / share, np.nan)


def fill_unknown(depth_m: np.ndarray) -> np.ndarray:
    """Depth [H,W] with its unknown pixels, NaN, filled smoothly from what is known around them.

    Means of known pixels at ever coarser scales; each unknown pixel takes that of the finest
    scale that knows any (Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4.2). Nothing
    known stays unknown.
    """
    known = np.isfinite(depth_m)
    if known.all() or not known.any():
        return depth_m
    values = np.where(known, depth_m, 0.0).astype(np.float64)
    return np.where(known, depth_m, _pulled(values, known.astype(np.float64)))


def _pulled(sums: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Depth of every pixel from sums of known depths and how much of each pixel is known."""
    height, width = sums.shape
    if (shares > 0).all():
        return sums / shares
    size = ((width + 1) // 2, (height + 1) // 2)
    coarser = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (sums, shares)]
    below = cv2.resize(_pulled(*coarser), (width, height), interpolation=cv2.INTER_LINEAR)
    return (sums + (1.0 - shares) * below) / (shares + (1.0 - shares))
