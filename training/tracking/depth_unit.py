"""How far predicted depth is from metres, by corners tracked into other frames.

Where views are synthesised by tracked motions, frames before and after explain the target in any
unit, so well that a stereo partner, which knows the unit, hardly ever explains a pixel better.
What is measured with corners tells the unit all the same: their disparity in the partner, and the
way to the frames before and after, against the baseline and the way that odometry measured.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros.motion_refinement import track_corners
from training.data.batch import NEXT, PREVIOUS, STEREO, TARGET, Batch

_FEWEST = 16
_SMALLEST_DISPARITY_PX = 0.5
_LARGEST_STEP_PX = 1.5
"""Across the rows; rectified pairs have none."""
_ROUNDS = 10
_WIDEST_ERROR_PX = 0.3
"""Errors below this are the tracker's own; larger ones lose weight."""


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
    samples = _Samples(batch, images01, depth_m)
    for i in np.flatnonzero(np.isfinite(shifts_m)):
        tracked = samples.track(i, STEREO)
        if tracked is not None:
            pixels, found, z = tracked
            result[i] = _median_excess(found - pixels, z, samples.K[i][0] * shifts_m[i])
    return torch.from_numpy(result).to(images01.device)


@torch.no_grad()
def lengths_by_rotation(batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
    """Lengths of the ways to previous and next in the unit of depth, NaN where unknown.

    With the rotations that the bag's odometry tells. Features alone cannot keep a small turn from
    a small sideways motion: where the shape of depth is not right yet, one is taken for the other
    and lengths come out wrong by a third and more; with the turn known, by a few per cent.

    Args:
        batch: geometry of the images and motions, NaN where unknown.
        images01: [B,F,3,H,W] in [0, 1], without colour changes.
        depth_m: prediction for the target [B,1,H,W].

    Returns:
        float32 [2,B] on the images' device; no gradient.
    """
    # Of both motions the rotation that takes the target's axes to the source's.
    rotations = torch.stack(
        [batch.target_T_previous[:, :3, :3].transpose(1, 2), batch.next_T_target[:, :3, :3]]
    )
    rotations_np = rotations.double().cpu().numpy()
    result = np.full(rotations_np.shape[:2], np.nan, np.float32)
    samples = _Samples(batch, images01, depth_m)
    for pair, source in enumerate((PREVIOUS, NEXT)):
        for i in np.flatnonzero(np.isfinite(rotations_np[pair]).all((1, 2))):
            tracked = samples.track(i, source)
            if tracked is not None:
                translation = find_translation(*tracked, samples.K[i], rotations_np[pair, i])
                result[pair, i] = np.linalg.norm(translation)
    return torch.from_numpy(result).to(images01.device)


def find_translation(
    pixels: np.ndarray,
    found: np.ndarray,
    z: np.ndarray,
    intrinsics: np.ndarray,
    source_R_target: np.ndarray,
) -> np.ndarray:
    """The translation that takes points to where another camera sees them, its turn being known.

    Linear in the translation but for each point's depth in the other camera, which comes from the
    round before; errors beyond the usual lose weight (Cauchy).

    Args:
        pixels: (u, v) in the target [n,2].
        found: the same points in the source [n,2].
        z: their depths in the target [n].
        intrinsics: (fx, fy, cx, cy) of both.
        source_R_target: [3,3].

    Returns:
        [3] in the unit of the depths, source_T_target.
    """
    focal, centre = intrinsics[:2], intrinsics[2:]
    points = np.column_stack([(pixels - centre) / focal * z[:, None], z]) @ source_R_target.T
    seen = (found - centre) / focal
    translation = np.zeros(3)
    weights = np.ones(len(z))
    for _ in range(_ROUNDS):
        depth = np.maximum(points[:, 2] + translation[2], 1e-6)[:, None]
        rows = np.zeros((len(z), 2, 3))
        rows[:, [0, 1], [0, 1]] = 1 / depth
        rows[:, :, 2] = -seen / depth
        wanted = (seen * points[:, 2:] - points[:, :2]) / depth
        weighted = rows * weights[:, None, None]
        normal = np.einsum('nki,nkj->ij', weighted, rows)
        right = np.einsum('nki,nk->i', weighted, wanted)
        translation = np.linalg.lstsq(normal, right, rcond=1e-12)[0]
        error_px = np.linalg.norm((wanted - rows @ translation) * focal, axis=1)
        usual_px = max(1.5 * float(np.median(error_px)), _WIDEST_ERROR_PX)
        weights = 1 / (1 + (error_px / usual_px) ** 2)
    return translation


class _Samples:
    """Pictures and depths of a batch where corners are tracked: on the CPU."""

    def __init__(self, batch: Batch, images01: Tensor, depth_m: Tensor) -> None:
        luma = torch.tensor((0.299, 0.587, 0.114), device=images01.device)
        grey = (images01 * 255 * luma[:, None, None]).sum(2).round().byte()
        self._grey = grey.cpu().numpy()
        self._depths = depth_m[:, 0].float().cpu().numpy()
        self._visible = batch.visible.round().int().clamp(min=0).cpu().numpy()
        self.K = batch.intrinsics.double().cpu().numpy()

    def track(self, i: int, source: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Corners of target i [n,2], where the source shows them [n,2], their depths [n]."""
        height, width = self._depths[i].shape
        x0, y0, x1, y1 = self._visible[i]
        mask = np.zeros((height, width), np.uint8)
        mask[y0:y1, x0:x1] = 255
        tracked = track_corners(self._grey[i, TARGET], self._grey[i, source], mask)
        if tracked is None:
            return None
        pixels, found = tracked
        columns, rows = np.rint(pixels).astype(int).T
        z = self._depths[i][rows.clip(0, height - 1), columns.clip(0, width - 1)]
        return pixels, found, z.astype(np.float64)


def _median_excess(flow: np.ndarray, z: np.ndarray, disparity_at_1m: float) -> float:
    along, across = flow.T
    true_m = disparity_at_1m / np.where(along == 0, np.nan, along)
    usable = (np.abs(along) >= _SMALLEST_DISPARITY_PX) & (np.abs(across) <= _LARGEST_STEP_PX)
    usable &= true_m > 0
    if usable.sum() < _FEWEST:
        return float('nan')
    return float(np.median(np.log(z[usable] / true_m[usable])))
