"""Resampling as matrix products, which every runtime computes the same."""

from __future__ import annotations

import numpy as np


def resampling_matrix(out: int, size: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """Weights that resample the samples first .. last - 1 of `size` to `out` samples.

    Linear interpolation between the centres of samples (align_corners False); where samples
    shrink, its triangle is widened to theirs, so that nothing aliases. Beyond the ends the last
    sample goes on. Equals torch's interpolate(mode='bilinear', antialias=True) along one axis.

    Returns:
        float64 [out, size], rows of sum 1, 0 outside of first .. last - 1.
    """
    last = size if last is None else last
    scale = (last - first) / out
    support = max(scale, 1.0)
    centres = first + (np.arange(out) + 0.5) * scale - 0.5
    samples = np.arange(size)
    weights = np.maximum(0.0, 1.0 - np.abs(samples - centres[:, None]) / support)
    weights[:, (samples < first) | (samples >= last)] = 0.0
    return weights / weights.sum(1, keepdims=True)
