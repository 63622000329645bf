"""Monodepth2's full training loss (Godard et al., ICCV 2019, sections 3.1 to 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from training.losses.smoothness import EdgeAwareSmoothness
from training.losses.ssim import window_statistics
from training.losses.views import Views


@dataclass(frozen=True)
class SelfSupervisedResult:
    """Scalars total, with gradient, photometric and smoothness: unweighted means over scales."""

    total: Tensor
    photometric: Tensor
    smoothness: Tensor


class SelfSupervisedLoss(nn.Module):
    """Mean over scales of minimum reprojection + weighted smoothness.

    Disparities of every scale are compared at full resolution. smoothness_weight is halved at
    every coarser scale. Points that fall outside a source are compared with its border, as the
    paper does. photometric_error and smoothness are Monodepth2's where None is given.
    """

    def __init__(
        self,
        min_depth: float,
        max_depth: float,
        smoothness_weight: float = 1e-3,
        automask: bool = True,
        photometric_error: PhotometricError | None = None,
        smoothness: EdgeAwareSmoothness | None = None,
    ) -> None:
        super().__init__()
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.smoothness_weight = smoothness_weight
        self.automask = automask
        self.photometric_error = photometric_error or PhotometricError()
        self.minimum_reprojection = MinimumReprojection()
        self.edge_aware_smoothness = smoothness or EdgeAwareSmoothness()

    def forward(self, disparities: Sequence[Tensor], views: Views) -> SelfSupervisedResult:
        """disparities: [B, 1, H / 2^k, W / 2^k], finest first, as DepthNet returns them."""
        if views.target.device.type != 'cpu':
            return self._of_batch(disparities, views)
        # Every term is a mean over samples. One at a time, what is kept for the gradient stays
        # in the allocator's and the processor's caches: three times faster than all together.
        return _merge(
            [
                self._of_batch([disparity[i : i + 1] for disparity in disparities], sample)
                for i, sample in enumerate(views.samples())
            ]
        )

    def _of_batch(self, disparities: Sequence[Tensor], views: Views) -> SelfSupervisedResult:
        depth = self._full_size_depths(disparities, views)
        projection = project_to_sources(
            depth, views.target_intrinsics, views.source_intrinsics, views.source_T_target
        )
        warped = warp_sources(views.sources, projection)
        target = window_statistics(views.target)
        warped_error = self.photometric_error(warped, target)
        unmoved_error = None
        if self.automask:
            with torch.no_grad():
                unmoved_error = self.photometric_error(views.sources, target)
        result = self.minimum_reprojection(warped_error, unmoved_error, None, views.available)

        roughness = self._roughness_by_scale(disparities, views.target)
        weights = self.smoothness_weight * 0.5 ** torch.arange(
            len(disparities), dtype=roughness.dtype, device=roughness.device
        )
        return SelfSupervisedResult(
            total=(result.loss + weights * roughness).mean(),
            photometric=result.loss.mean().detach(),
            smoothness=roughness.mean().detach(),
        )

    def _full_size_depths(self, disparities: Sequence[Tensor], views: Views) -> Tensor:
        size = views.target.shape[-2:]
        full = [
            disparity.float()
            if disparity.shape[-2:] == size
            else functional.interpolate(disparity.float(), size, mode='bilinear')
            for disparity in disparities
        ]
        depth = disparity_to_depth(torch.stack(full), self.min_depth, self.max_depth)
        levels, batch = depth.shape[:2]
        factor = views.depth_factor.repeat(levels)
        return correct_depth(depth.flatten(0, 1), factor).unflatten(0, (levels, batch))

    def _roughness_by_scale(self, disparities: Sequence[Tensor], target: Tensor) -> Tensor:
        image = target
        terms = []
        for disparity in disparities:
            while image.shape[-1] > disparity.shape[-1]:
                image = functional.avg_pool2d(image, 2)
            terms.append(self.edge_aware_smoothness(disparity.float(), image))
        return torch.stack(terms)


def _merge(parts: Sequence[SelfSupervisedResult]) -> SelfSupervisedResult:
    return SelfSupervisedResult(
        total=torch.stack([part.total for part in parts]).mean(),
        photometric=torch.stack([part.photometric for part in parts]).mean(),
        smoothness=torch.stack([part.smoothness for part in parts]).mean(),
    )
