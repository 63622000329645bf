"""What one training step gets."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

TARGET, PREVIOUS, NEXT, STEREO = 0, 1, 2, 3


class Batch(NamedTuple):
    """B samples, each a target and what else is seen; truth is NaN where it is unknown.

    Attributes:
        images: RGB uint8 [B,F,H,W,3]: the target, with F = 3 also the frames before and after it,
            and with F = 4 its stereo partner, zeros in samples without one.
        intrinsics: (fx, fy, cx, cy) in pixels, float32 [B,4]; all frames share them.
        visible: camera image on the grid, (x0, y0, x1, y1) half open, float32 [B,4].
        depth_m: of the target, float32 [B,H,W].
        target_T_previous, next_T_target: motions, float32 [B,4,4].
        interval_s: times between previous and target, target and next, float32 [B,2].
        stereo_T_target: of the stereo partner, float32 [B,4,4]; NaN without one.
        travelled_m: distances between the camera's places at previous and target, target and
            next, as measured by odometry or a velocity, float32 [B,2].
        truth_kind: place in BagTruth of what depth_m is, int64 [B].
    """

    images: Tensor
    intrinsics: Tensor
    visible: Tensor
    depth_m: Tensor
    target_T_previous: Tensor
    next_T_target: Tensor
    interval_s: Tensor
    stereo_T_target: Tensor
    travelled_m: Tensor
    truth_kind: Tensor
