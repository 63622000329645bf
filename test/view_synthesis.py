"""What tests of view synthesis share: one source seen from the target, and disparity of depth."""

from __future__ import annotations

from torch import Tensor

from training.geometry import project_to_sources, warp_sources


def depth_to_disparity(depth: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """The inverse of `disparity_to_depth`."""
    near, far = 1.0 / min_depth, 1.0 / max_depth
    return (1.0 / depth - far) / (near - far)


def warp(
    source: Tensor,
    depth: Tensor,
    target_intrinsics: Tensor,
    source_intrinsics: Tensor,
    source_T_target: Tensor,
) -> tuple[Tensor, Tensor]:
    """One source seen from the target: (image [B, C, H, W], visible bool [B, 1, H, W]).

    source [B, C, H, W]; depth of the target [B, 1, H, W]; intrinsics [B, 4] each;
    source_T_target [B, 4, 4].
    """
    projection = project_to_sources(
        depth[None], target_intrinsics, source_intrinsics[None], source_T_target[None]
    )
    return warp_sources(source[None], projection)[0, 0], projection.visible()[0, 0]
