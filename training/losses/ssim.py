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
_SHARE = 1.0 / 9.0


def box_sum(x: Tensor) -> Tensor:
    """3x3 sum over the last two dimensions with reflected border, same shape. H, W >= 2."""
    return _sum_of_three(_sum_of_three(x, -2), -1)


def box_sum_adjoint(gradient: Tensor) -> Tensor:
    """The transpose of `box_sum`: output gradient -> input gradient."""
    return _spread_to_three(_spread_to_three(gradient, -1), -2)


def _sum_of_three(x: Tensor, dim: int) -> Tensor:
    last = x.shape[dim] - 1
    result = torch.empty_like(x)
    _sum_inner(x, dim, result)
    for border, neighbour in ((0, 1), (last, last - 1)):
        torch.add(
            x.select(dim, border), x.select(dim, neighbour), alpha=2,
            out=result.select(dim, border),
        )  # fmt: skip
    return result


def _spread_to_three(gradient: Tensor, dim: int) -> Tensor:
    last = gradient.shape[dim] - 1
    result = torch.empty_like(gradient)
    _sum_inner(gradient, dim, result)
    for border, neighbour in ((0, 1), (last, last - 1)):
        at_border = gradient.select(dim, border)
        torch.add(at_border, gradient.select(dim, neighbour), out=result.select(dim, border))
    for border, neighbour in ((0, 1), (last, last - 1)):
        # What a reflected border has read once more.
        result.select(dim, neighbour).add_(gradient.select(dim, border))
    return result


def _sum_inner(x: Tensor, dim: int, result: Tensor) -> None:
    inner = x.shape[dim] - 2
    target = result.narrow(dim, 1, inner)
    torch.add(x.narrow(dim, 0, inner), x.narrow(dim, 2, inner), out=target)
    target.add_(x.narrow(dim, 1, inner))


@dataclass(frozen=True)
class WindowStatistics:
    """An image with the mean, its square and the sum of squares of each window, [..., C, H, W]."""

    image: Tensor
    mean: Tensor
    mean_squared: Tensor
    sum_of_squares: Tensor


@torch.no_grad()
def window_statistics(image: Tensor) -> WindowStatistics:
    """Statistics of an image that takes no gradient, to be compared with many others."""
    mean = box_sum(image).mul_(_SHARE)
    return WindowStatistics(image, mean, mean * mean, box_sum(image * image))


def ssim_distance(image: Tensor, reference: WindowStatistics) -> Tensor:
    """(1 - SSIM) / 2 in [0, 1] of images [..., C, H, W] against a reference that broadcasts.

    The gradient reaches `image` only.
    """
    return _SsimDistance.apply(
        image, reference.image, reference.mean, reference.mean_squared, reference.sum_of_squares
    )


class _SsimDistance(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, y: Tensor, mean_y: Tensor, mean_y_squared: Tensor, squares_y: Tensor
    ) -> Tensor:
        c1, c2, half = (x.new_full((), value) for value in (C1, C2, 0.5))
        mean_x = box_sum(x).mul_(_SHARE)
        product = mean_x * mean_y
        squared = (mean_x * mean_x).add_(mean_y_squared)
        # Written so that equal images cancel to exactly one, by twos that round nothing.
        luminance = torch.add(c1, product, alpha=2)
        luminance_norm = squared + c1
        structure = torch.add(c2, box_sum(x * y), alpha=2 * _SHARE).sub_(product, alpha=2)
        squares = box_sum(x * x).add_(squares_y)
        structure_norm = torch.add(c2, squares, alpha=_SHARE).sub_(squared)
        luminance = luminance.div_(luminance_norm)
        structure = structure.div_(structure_norm)
        distance = torch.addcmul(half, luminance, structure, value=-0.5)
        ctx.save_for_backward(
            x, y, mean_x, mean_y, luminance, structure, luminance_norm, structure_norm
        )
        # Only rounding leaves the range; the gradient takes no notice of it.
        return distance.clamp_(0.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, y, mean_x, mean_y, luminance, structure, luminance_norm, structure_norm = (
            ctx.saved_tensors
        )
        # SSIM = l s with l = (2 mx my + C1) / L and s = (2 (Exy - mx my) + C2) / S,
        # L = mx^2 + my^2 + C1, S = Exx + Eyy - mx^2 - my^2 + C2. The distance is half of 1 - l s:
        # by Exy it changes by -l / S, by Exx by half of s l / S, and by mx as put together here.
        by_structure = (gradient * luminance).div_(structure_norm)
        by_luminance = (gradient * structure).div_(luminance_norm)
        by_square = by_structure * structure
        by_mean = (by_structure - by_luminance).mul_(mean_y)
        by_mean.addcmul_(by_luminance.mul_(luminance).sub_(by_square), mean_x)
        result = box_sum_adjoint(by_mean)
        result.addcmul_(box_sum_adjoint(by_structure), y, value=-1.0)
        result.addcmul_(box_sum_adjoint(by_square), x)
        return result.mul_(_SHARE), None, None, None, None
