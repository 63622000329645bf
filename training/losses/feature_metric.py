"""Views matched by learnt features, which have a gradient on plain surfaces too.

Shu et al., Feature-metric Loss for Self-supervised Learning of Depth and Egomotion, ECCV 2020,
section 3.3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.geometry import (
    correct_depth,
    disparity_to_depth,
    project_to_sources,
    warp_sources,
)
from training.losses.photometric import MinimumReprojection
from training.losses.robust import robust_distance
from training.losses.views import Views


class FeatureMetricLoss(nn.Module):
    """Mean of the least robust distance over sources between features of target and warped source.

    forward: the finest disparity [B, 1, h, w] of any size, and Views of features (Views.featured)
    -> scalar. It is computed once, at the size of the features: without automask, since features
    of a still source differ even where colours do not.
    """

    def __init__(self, min_depth: float, max_depth: float) -> None:
        super().__init__()
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.minimum_reprojection = MinimumReprojection()

    def forward(self, disparity: Tensor, views: Views) -> Tensor:
        disparity = functional.interpolate(
            disparity.float(), views.target.shape[-2:], mode='area'
        )
        if disparity.device.type != 'cpu':
            return self._of_batch(disparity, views)
        # One sample at a time, as in SelfSupervisedLoss: what is kept stays in the caches.
        samples = zip(disparity.split(1), views.samples())
        return torch.stack([self._of_batch(*sample) for sample in samples]).mean()

    def _of_batch(self, disparity: Tensor, views: Views) -> Tensor:
        depth = disparity_to_depth(disparity, self.min_depth, self.max_depth)
        depth = correct_depth(depth, views.depth_factor)[None]
        projection = project_to_sources(
            depth, views.target_intrinsics, views.source_intrinsics, views.source_T_target
        )
        warped = warp_sources(views.sources, projection)
        error = robust_distance(warped, views.target)
        return self.minimum_reprojection(error, None, None, views.available).loss.mean()
