"""The absolute difference rounded off at zero, with its gradient written out.

sqrt(x^2 + 1e-6): as FeatDepth (Shu et al., ECCV 2020) has it in place of |x|. It runs on 64
channels of every source; by hand it keeps two tensors of that size for the gradient.
"""

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-3
"""The distance of equal values."""


def robust_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over channels of sqrt((a - b)^2 + EPSILON^2), [..., B, C, H, W] -> [..., B, 1, H, W].

    b [B, C, H, W] is compared with each a; both get gradients where they want them.
    """
    return _RobustDistance.apply(a, b)


class _RobustDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        difference = a - b
        distance = (difference * difference).add_(EPSILON * EPSILON).sqrt_()
        ctx.save_for_backward(difference, distance)
        ctx.leading = a.dim() - b.dim()
        return distance.mean(-3, keepdim=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        difference, distance = ctx.saved_tensors
        slope = (difference / distance).mul_(gradient * (1.0 / difference.shape[-3]))
        wants_a, wants_b = ctx.needs_input_grad
        summed = None
        if wants_b:
            summed = -slope.sum(tuple(range(ctx.leading))) if ctx.leading else -slope
        return slope if wants_a else None, summed
