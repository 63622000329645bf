"""Motions of a batch whose turns odometry tells: of tracked corners only the translation is asked.

Features alone cannot keep a small turn from a small sideways motion: where the shape of depth is
not right yet, one is taken for the other, lengths come out wrong by a third and more, and views
synthesised so teach depth its own mistake. With the turn known, lengths hold whatever the shape.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros.motion import se3
from training.data.batch import NEXT, PREVIOUS, Batch
from training.tracking.corners import FEWEST, CornerTracks
from training.tracking.each_sample import for_each_sample

_ROUNDS = 10
_TRACKING_SIGMA_PX = 0.3
_DEPTH_SIGMA = 0.4
"""Of predicted depth, relative: of a network that is still learning."""
_CAUCHY = 2.0
"""Standard deviations at which a point has half its weight."""
_INLIER_SIGMAS = 3.0
_LEAST_SHARE = 0.4
"""Of the tracked points; below, most of the picture moves otherwise than odometry tells."""


@torch.no_grad()
def motions_by_turn(batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
    """later_T_earlier of (previous, target) and (target, next), turned as odometry tells.

    Args:
        batch: geometry of the images; of its motions, NaN where unknown, the rotations are used.
        images01: [B,F,3,H,W] in [0, 1], without colour changes.
        depth_m: prediction for the target [B,1,H,W]; translations are in its unit.

    Returns:
        float32 [2,B,4,4] on the images' device, NaN where the turn is unknown, or where too
        little is tracked or agrees; no gradient.
    """
    told = torch.stack([batch.target_T_previous, batch.next_T_target]).double().cpu().numpy()
    motions = np.full(told.shape, np.nan, np.float32)
    corners = CornerTracks(batch, images01, depth_m)

    def track(i: int) -> None:
        for pair, source in enumerate((PREVIOUS, NEXT)):
            if not np.isfinite(told[pair, i]).all():
                continue
            tracked = corners.track(i, source)
            if tracked is None:
                continue
            source_T_target = np.eye(4)
            turn = told[pair, i, :3, :3]
            source_T_target[:3, :3] = turn.T if source == PREVIOUS else turn
            translation = find_translation(*tracked, corners.K[i], source_T_target[:3, :3])
            if translation is None:
                continue
            source_T_target[:3, 3] = translation
            earlier_first = source == PREVIOUS
            motions[pair, i] = se3.inverse(source_T_target) if earlier_first else source_T_target

    for_each_sample(track, range(told.shape[1]))
    return torch.from_numpy(motions).to(images01.device)


def find_translation(
    pixels: np.ndarray,
    found: np.ndarray,
    z: np.ndarray,
    intrinsics: np.ndarray,
    source_R_target: np.ndarray,
) -> np.ndarray | None:
    """The translation that takes points to where another camera sees them, its turn being known.

    Linear in the translation but for each point's depth in the other camera, which comes from the
    round before. A wrong depth shifts a point by a share of its parallax, so that each counts as
    far as its parallax is believed; errors beyond that lose weight (Cauchy).

    Args:
        pixels: (u, v) in the target [n,2].
        found: the same points in the source [n,2].
        z: their depths in the target [n].
        intrinsics: (fx, fy, cx, cy) of both.
        source_R_target: [3,3].

    Returns:
        [3] in the unit of the depths, source_T_target; None where too few points agree.
    """
    focal, centre = intrinsics[:2], intrinsics[2:]
    points = np.column_stack([(pixels - centre) / focal * z[:, None], z]) @ source_R_target.T
    seen = (found - centre) / focal
    translation = np.zeros(3)
    # At first by depth alone: the parallax, in proportion to 1 / depth, is not known yet.
    weights = (z / np.median(z)) ** 2
    variance = errors = np.zeros(len(z))
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
        parallax = rows @ translation
        parallax_px = np.linalg.norm(parallax * focal, axis=1)
        errors = np.linalg.norm((wanted - parallax) * focal, axis=1)
        variance = _TRACKING_SIGMA_PX**2 + (_DEPTH_SIGMA * parallax_px) ** 2
        weights = 1 / (variance * (1 + errors**2 / (_CAUCHY**2 * variance)))
    agreeing = int((errors < _INLIER_SIGMAS * np.sqrt(variance)).sum())
    return translation if agreeing >= max(FEWEST, _LEAST_SHARE * len(z)) else None
