"""From what other frames the target is seen, and how they lie to it."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.batch import NEXT, PREVIOUS, STEREO, TARGET, Batch
from training.geometry import invert_transform
from training.losses.views import Views


def make_views(
    batch: Batch, images01: Tensor, forward_T: Tensor | None, stereo: bool, factor: Tensor
) -> Views:
    """The target beside its sources: previous and next, then the stereo partner.

    Args:
        batch: geometry that belongs to the images.
        images01: [B,F,3,H,W] in [0, 1], without colour changes.
        forward_T: target_T_previous and next_T_target [2,B,4,4]; None: these are no sources.
        stereo: whether the stereo partner is one.
        factor: focal correction of depth [B].
    """
    frames, transforms, available = [], [], []
    if forward_T is not None:
        frames += [PREVIOUS, NEXT]
        transforms += [invert_transform(forward_T[0]), forward_T[1]]
        available += [torch.ones_like(factor, dtype=torch.bool)] * 2
    if stereo:
        known = torch.isfinite(batch.stereo_T_target).all(-1).all(-1)
        # What is not known must not reach a product: NaN times zero is NaN.
        nowhere = torch.eye(4, device=factor.device).expand_as(batch.stereo_T_target)
        frames.append(STEREO)
        transforms.append(torch.where(known[:, None, None], batch.stereo_T_target, nowhere))
        available.append(known)
    return Views(
        target=images01[:, TARGET],
        sources=torch.stack([images01[:, frame] for frame in frames]),
        target_intrinsics=batch.intrinsics,
        source_intrinsics=batch.intrinsics.expand(len(frames), -1, -1),
        source_T_target=torch.stack(transforms),
        depth_factor=factor,
        available=torch.stack(available),
    )
