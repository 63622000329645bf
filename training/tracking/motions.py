"""Motions of a batch from features tracked between its frames and the predicted depth.

A pose network has to learn what motion looks like before its answers can teach the depth network
anything, and on short recordings that takes most of the training. Tracked features tell rotation
and direction of travel from the first step on, whatever the depth; only the length of the
translation is in its unit, which the depth network then keeps. No truth is used: what the robot's
odometry does (depth_ros.motion.refinement) is done here on the training frames, as in Zhan et al.,
Visual Odometry Revisited: What Should Be Learnt?, ICRA 2020.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3
from depth_ros.motion.refinement import MotionRefiner
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.tracking.each_sample import for_each_sample

# Wide enough for networks that know nothing yet: depth then hardly bends the direction of travel.
_DEPTH_SIGMA = 0.4
_NO_MOTION = np.zeros(6)


@torch.no_grad()
def tracked_motions(batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
    """later_T_earlier of (previous, target) and (target, next), NaN where too little is tracked.

    Args:
        batch: geometry of the images.
        images01: [B,3,3,H,W] in [0, 1], without colour changes.
        depth_m: prediction for the target [B,1,H,W].

    Returns:
        float32 [2,B,4,4] on the images' device; no gradient.
    """
    pixels = (images01 * 255).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    depths = depth_m[:, 0].float().cpu().numpy()
    intrinsics, visible = batch.intrinsics.cpu().numpy(), batch.visible.cpu().numpy()
    motions = np.full((2, len(pixels), 4, 4), np.nan, np.float32)

    def track(i: int) -> None:
        refiner = _refiner(intrinsics[i], visible[i], depths[i].shape)
        for pair, source in enumerate((PREVIOUS, NEXT)):
            refined = refiner(pixels[i, source], pixels[i, TARGET], depths[i], _NO_MOTION)
            if refined is not None:
                source_T_target = se3.motion_to_matrix(refined.motion)
                earlier_first = source == PREVIOUS
                motions[pair, i] = (
                    np.linalg.inv(source_T_target) if earlier_first else source_T_target
                )

    for_each_sample(track, range(len(pixels)))
    return torch.from_numpy(motions).to(images01.device)


def at_travelled_length(motions: Tensor, travelled_m: Tensor) -> Tensor:
    """Motions [P,B,4,4] with their translations as long as measured, [P,B], where that is known.

    What features cannot tell is told by odometry: the pose network learns metres at once, while
    the depth is still on its way to them.
    """
    translation = motions[..., :3, 3]
    length = torch.linalg.vector_norm(translation, dim=-1)
    known = (length > 0) & torch.isfinite(travelled_m)
    factor = torch.where(known, travelled_m / length, torch.ones_like(length))
    result = motions.clone()
    result[..., :3, 3] = translation * factor[..., None]
    return result


def _refiner(intrinsics: np.ndarray, visible: np.ndarray, shape: tuple[int, ...]) -> MotionRefiner:
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    height, width = shape
    x0, y0, x1, y1 = (round(float(value)) for value in visible)
    camera = Intrinsics(fx, fy, cx, cy, width, height)
    window = (slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0)))
    return MotionRefiner(camera, window, _DEPTH_SIGMA)
