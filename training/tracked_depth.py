"""How far predicted depth is from metres, by corners tracked into the stereo partner.

Where views are synthesised by tracked motions, frames before and after explain the target in any
unit, so well that the partner, which knows the unit, hardly ever explains a pixel better. The
depth of corners seen by both cameras, from baseline and disparity, tells the unit all the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros.motion_refinement import track_corners
from training.data.batch import STEREO, TARGET, Batch

_FEWEST = 16
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
    pair = images01[:, [TARGET, STEREO]]
    pixels = (pair * 255).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    depths = depth_m[:, 0].float().cpu().numpy()
    focals_px, visible = batch.intrinsics[:, 0].cpu().numpy(), batch.visible.cpu().numpy()
    shifts_m = batch.stereo_T_target[:, 0, 3].cpu().numpy()
    found = [
        _excess(*sample) for sample in zip(pixels, depths, visible, focals_px * shifts_m)
    ]
    return torch.tensor(found, dtype=torch.float32, device=images01.device)


def _excess(
    pair: np.ndarray, depth: np.ndarray, visible: np.ndarray, disparity_at_1m: float
) -> float:
    if not np.isfinite(disparity_at_1m):
        return float('nan')
    x0, y0, x1, y1 = visible.round().astype(int).clip(0)
    mask = np.zeros(depth.shape, np.uint8)
    mask[y0:y1, x0:x1] = 255
    grey = [np.ascontiguousarray(image @ (0.299, 0.587, 0.114)).astype(np.uint8) for image in pair]
    tracked = track_corners(grey[0], grey[1], mask)
    if tracked is None:
        return float('nan')
    corners, partners = tracked
    along, across = (partners - corners).T
    true_m = disparity_at_1m / np.where(along == 0, np.nan, along)
    usable = (np.abs(along) >= _SMALLEST_DISPARITY_PX) & (np.abs(across) <= _LARGEST_STEP_PX)
    usable &= true_m > 0
    if usable.sum() < _FEWEST:
        return float('nan')
    columns, rows = np.rint(corners[usable]).astype(int).T
    height, width = depth.shape
    seen = depth[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return float(np.median(np.log(seen / true_m[usable])))
