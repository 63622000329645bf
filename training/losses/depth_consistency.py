"""Asks neighbouring images for one scene: each one's depth has to be where the other's puts it.

Source: Bian et al., Unsupervised Scale-consistent Depth and Ego-motion Learning from Monocular
Video, NeurIPS 2019, section 3.3.
"""

import torch
from torch import Tensor, nn

from training.geometry import project_to_sources, warp_sources
from training.losses.shared_mean import shared_mean
from training.losses.views import Views


class DepthConsistencyLoss(nn.Module):
    """Mean of |z - z'| / (z + z') over the points that two images see.

    forward: depth of the target [B, 1, H, W], of the sources [S, B, 1, H, W], and Views whose
    motions have the unit of both -> scalar, 0 (with gradient 0) where no point is seen twice. z is
    how far before a source the target's depth puts a point, z' the source's own depth there. For
    nearly equal depths the quotient is half the difference of their logarithms; where one surface
    hides another it stays below 1, so that few such points do not rule.
    """

    def forward(self, depth: Tensor, source_depths: Tensor, views: Views) -> Tensor:
        # Half precision is too coarse for differences; float64 stays, for tests of gradients.
        depth, source_depths = (
            d.to(torch.promote_types(d.dtype, torch.float32)) for d in (depth, source_depths)
        )
        projection = project_to_sources(
            depth[None], views.target_intrinsics, views.source_intrinsics,
            views.source_T_target,
        )  # fmt: skip
        theirs = warp_sources(source_depths, projection)[:, 0]
        seen = projection.visible()[:, 0] & views.available[:, :, None, None, None]
        # The unseen are replaced before the division: infinite slopes times zero would be NaN.
        ours = torch.where(seen, projection.z[:, 0], theirs)
        error = (ours - theirs).abs() / (ours + theirs)
        return shared_mean(error.sum(), seen.sum())
