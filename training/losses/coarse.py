"""Photometric error on shrunk images, where even large motions are short.

The gradient of a photometric error reaches as far as the image is smooth: a pixel or two at full
size, while a hand-held camera turns images by a dozen pixels from one frame to the next. Coarse
images, as in the pyramids of direct image alignment (Bergen et al., Hierarchical Model-Based
Motion Estimation, ECCV 1992), let the pose network find the way from anywhere.
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
from training.losses.photometric import MinimumReprojection, PhotometricError
from training.losses.ssim import window_statistics
from training.losses.views import Views

_SMALLEST_SIDE = 12
"""Pixels; on less there is nothing to compare."""


class CoarsePhotometricLoss(nn.Module):
    """Mean over coarse levels of the minimum reprojection error, without automask.

    forward: the finest disparity, of any size, and Views -> scalar. Level k compares images
    shrunk by 2^k, k = 1 .. levels. Without automask: a still image is no better explanation as
    long as the motion is not known, and would stop the gradient where it is needed.
    """

    def __init__(self, min_depth: float, max_depth: float, levels: int = 3) -> None:
        super().__init__()
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.levels = levels
        self.photometric_error = PhotometricError()
        self.minimum_reprojection = MinimumReprojection()

    def forward(self, disparity: Tensor, views: Views) -> Tensor:
        losses = []
        for level in range(1, self.levels + 1):
            if min(views.target.shape[-2:]) >> level < _SMALLEST_SIDE:
                break
            losses.append(self._at(disparity, views.shrunk(2**level)))
        return torch.stack(losses).mean() if losses else disparity.new_zeros(())

    def _at(self, disparity: Tensor, views: Views) -> Tensor:
        size = views.target.shape[-2:]
        shrunk = functional.interpolate(disparity.float(), size, mode='area')
        depth = disparity_to_depth(shrunk, self.min_depth, self.max_depth)
        depth = correct_depth(depth, views.depth_factor)[None]
        projection = project_to_sources(
            depth, views.target_intrinsics, views.source_intrinsics, views.source_T_target
        )
        warped = warp_sources(views.sources, projection)
        error = self.photometric_error(warped, window_statistics(views.target))
        result = self.minimum_reprojection(error, None, projection.visible(), views.available)
        return result.loss.mean()
