"""How far predicted depth is from metres, by the disparity of corners in the stereo partner.

Where views are synthesised by tracked motions, frames before and after explain the target in any
unit, so well that a stereo partner, which knows the unit, hardly ever explains a pixel better.
Corners tell the unit all the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.data.batch import STEREO, Batch
from training.tracking.corners import FEWEST, CornerTracks
from training.tracking.each_sample import for_each_sample

_SMALLEST_DISPARITY_PX = 0.5
_LARGEST_STEP_PX = 1.5
"""Across the rows; rectified pairs have none."""


@torch.no_grad()
def stereo_excess(batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
    """Logarithm of predicted over true depth, median of tracked corners, NaN where unknown.

    Args:
        batch: geometry of the images, which have a stereo partner or NaN for its place.
        images01: [B,4,3,H,W] in [0, 1], without colour changes.
        depth_m: prediction for the target [B,1,H,W].

    Returns:
        float32 [B] on the images' device; no gradient.
    """
    shifts_m = batch.stereo_T_target[:, 0, 3].cpu().numpy()
    result = np.full(len(shifts_m), np.nan, np.float32)
    corners = CornerTracks(batch, images01, depth_m)

    def track(i: int) -> None:
        tracked = corners.track(i, STEREO)
        if tracked is not None:
            pixels, found, z = tracked
            result[i] = _median_excess(found - pixels, z, corners.K[i][0] * shifts_m[i])

    for_each_sample(track, np.flatnonzero(np.isfinite(shifts_m)).tolist())
    return torch.from_numpy(result).to(images01.device)


def _median_excess(flow: np.ndarray, z: np.ndarray, disparity_at_1m: float) -> float:
    along, across = flow.T
    true_m = disparity_at_1m / np.where(along == 0, np.nan, along)
    usable = (np.abs(along) >= _SMALLEST_DISPARITY_PX) & (np.abs(across) <= _LARGEST_STEP_PX)
    usable &= true_m > 0
    if usable.sum() < FEWEST:
        return float('nan')
    return float(np.median(np.log(z[usable] / true_m[usable])))
