"""Motions of a batch whose turns odometry tells: of tracked corners only the translation is asked.

Features alone cannot keep a small turn from a small sideways motion: where the shape of depth is
not right yet, one is taken for the other, lengths come out wrong by a third and more, and views
synthesised so teach depth its own mistake. With the turn known, lengths are right within a few per
cent of the unit of depth whatever its shape.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros import se3
from training.data.batch import NEXT, PREVIOUS, Batch
from training.tracking.corners import CornerTracks

_ROUNDS = 10
_WIDEST_ERROR_PX = 0.3
"""Errors below this are the tracker's own; larger ones lose weight."""


@torch.no_grad()
def motions_by_turn(batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
    """later_T_earlier of (previous, target) and (target, next), turned as odometry tells.

    Args:
        batch: geometry of the images; of its motions, NaN where unknown, the rotations are used.
        images01: [B,F,3,H,W] in [0, 1], without colour changes.
        depth_m: prediction for the target [B,1,H,W]; translations are in its unit.

    Returns:
        float32 [2,B,4,4] on the images' device, NaN where the turn is unknown or too little is
        tracked; no gradient.
    """
    told = torch.stack([batch.target_T_previous, batch.next_T_target]).double().cpu().numpy()
    motions = np.full(told.shape, np.nan, np.float32)
    corners = CornerTracks(batch, images01, depth_m)
    for pair, source in enumerate((PREVIOUS, NEXT)):
        for i in np.flatnonzero(np.isfinite(told[pair]).all((1, 2))):
            tracked = corners.track(i, source)
            if tracked is None:
                continue
            source_T_target = np.eye(4)
            turn = told[pair, i, :3, :3]
            source_T_target[:3, :3] = turn.T if source == PREVIOUS else turn
            source_T_target[:3, 3] = find_translation(
                *tracked, corners.K[i], source_T_target[:3, :3]
            )
            earlier_first = source == PREVIOUS
            motions[pair, i] = se3.inverse(source_T_target) if earlier_first else source_T_target
    return torch.from_numpy(motions).to(images01.device)


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
