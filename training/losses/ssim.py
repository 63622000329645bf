"""Structural dissimilarity with a 3x3 window, with its gradient written out.

Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004, in
the form of Godard et al., 2019: (1 - SSIM) / 2 clamped to [0, 1], means over a 3x3 box with
reflected border.

This runs on every pixel of every source at every scale, and dominates a training step on CPU.
Differentiating it by hand and filtering with slices in place of pooling is several times faster.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

C1 = 0.01**2
C2 = 0.03**2


def box_filter(x: Tensor) -> Tensor:
    """3x3 mean over the last two dimensions with reflected border, same shape. H, W >= 2."""
    return _sum_of_three(_sum_of_three(x, -1), -2).mul_(1.0 / 9.0)


def box_filter_adjoint(gradient: Tensor) -> Tensor:
    """The transpose of `box_filter`: output gradient -> input gradient."""
    return _spread_to_three(_spread_to_three(gradient, -2), -1).mul_(1.0 / 9.0)


def _sum_of_three(x: Tensor, dim: int) -> Tensor:
    size = x.shape[dim]
    result = x.clone()
    result.narrow(dim, 1, size - 1).add_(x.narrow(dim, 0, size - 1))
    result.narrow(dim, 0, size - 1).add_(x.narrow(dim, 1, size - 1))
    result.select(dim, 0).add_(x.select(dim, 1))
    result.select(dim, size - 1).add_(x.select(dim, size - 2))
    return result


def _spread_to_three(gradient: Tensor, dim: int) -> Tensor:
    size = gradient.shape[dim]
    result = gradient.clone()
    result.narrow(dim, 1, size - 1).add_(gradient.narrow(dim, 0, size - 1))
    result.narrow(dim, 0, size - 1).add_(gradient.narrow(dim, 1, size - 1))
    result.select(dim, 1).add_(gradient.select(dim, 0))
    result.select(dim, size - 2).add_(gradient.select(dim, size - 1))
    return result


@dataclass(frozen=True)
class WindowStatistics:
    """An image with the mean and variance of each 3x3 window, all [..., C, H, W]."""

    image: Tensor
    mean: Tensor
    variance: Tensor


@torch.no_grad()
def window_statistics(image: Tensor) -> WindowStatistics:
    """Statistics of an image that takes no gradient, to be compared with many others."""
    mean = box_filter(image)
    variance = box_filter(image * image).sub_(mean * mean)
    return WindowStatistics(image, mean, variance)


def ssim_distance(image: Tensor, reference: WindowStatistics) -> Tensor:
    """(1 - SSIM) / 2 in [0, 1] of images [..., C, H, W] against a reference that broadcasts.

    The gradient reaches `image` only.
    """
    return _SsimDistance.apply(image, reference.image, reference.mean, reference.variance)


class _SsimDistance(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, y: Tensor, mean_y: Tensor, variance_y: Tensor
    ) -> Tensor:
        mean_x = box_filter(x)
        product = mean_x * mean_y
        square = mean_x * mean_x
        covariance = box_filter(x * y).sub_(product)
        variance_x = box_filter(x * x).sub_(square)
        # Written so that equal images cancel to exactly one.
        luminance = product.mul_(2).add_(C1)
        structure = covariance.mul_(2).add_(C2)
        luminance_norm = square.add_(mean_y * mean_y).add_(C1)
        structure_norm = variance_x.add_(variance_y).add_(C2)
        luminance = luminance.div_(luminance_norm)
        structure = structure.div_(structure_norm)
        distance = (luminance * structure).mul_(-0.5).add_(0.5)
        ctx.save_for_backward(
            x, y, mean_x, mean_y, luminance, structure, luminance_norm, structure_norm, distance
        )
        return distance.clamp(0.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (x, y, mean_x, mean_y, luminance, structure, luminance_norm, structure_norm, distance) = (
            ctx.saved_tensors
        )
        # SSIM = l s with l = (2 mx my + C1) / L and s = (2 (Exy - mx my) + C2) / S,
        # L = mx^2 + my^2 + C1, S = Exx - mx^2 + vy + C2; derivatives by Exy, Exx and mx.
        inside = (distance >= 0.0) & (distance <= 1.0)
        gradient = gradient * inside * -0.5
        by_structure = (gradient * luminance).div_(structure_norm)
        by_luminance = (gradient * structure).div_(luminance_norm)
        by_cross = 2.0 * by_structure
        by_square = -(by_structure * structure)
        by_mean = 2.0 * (
            by_luminance * (mean_y - mean_x * luminance)
            - by_structure * (mean_y - mean_x * structure)
        )
        result = box_filter_adjoint(by_mean)
        result += box_filter_adjoint(by_cross).mul_(y)
        result += box_filter_adjoint(by_square).mul_(x).mul_(2.0)
        return result, None, None, None
