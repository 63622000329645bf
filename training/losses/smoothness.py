"""Edge-aware smoothness of disparity.

First order: Godard et al., 2019, equation 3. Second order, and half as strong edges: Shu et al.,
Feature-metric Loss for Self-supervised Learning of Depth and Egomotion, ECCV 2020.
"""

import torch
from torch import Tensor, nn

_ALONG = (2, 3)


class EdgeAwareSmoothness(nn.Module):
    """Differences of disparity, less where the image has differences of the same kind.

    forward: disparity [B, 1, H, W], image [B, 3, H, W] in [0, 1] of the same size -> scalar.
    edges: factor of the image's differences in the exponent. first_order takes the two first
    differences, second_order the four second ones, which leave a plane its slope: its disparity
    is linear in the image. normalised divides the disparity by its mean: the loss is then
    unchanged when the disparity is multiplied by a positive constant.
    """

    def __init__(
        self,
        edges: float = 1.0,
        first_order: bool = True,
        second_order: bool = False,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        self.edges = edges
        self.first_order = first_order
        self.second_order = second_order
        self.normalised = normalised

    def forward(self, disparity: Tensor, image01: Tensor) -> Tensor:
        if self.normalised:
            disparity = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
        total = disparity.new_zeros(())
        for dim in _ALONG:
            change, edge = torch.diff(disparity, dim=dim), torch.diff(image01, dim=dim)
            if self.first_order:
                total = total + self._weighted(change, edge)
            if self.second_order:
                for second in _ALONG:
                    total = total + self._weighted(
                        torch.diff(change, dim=second), torch.diff(edge, dim=second)
                    )
        return total

    def _weighted(self, change: Tensor, edge: Tensor) -> Tensor:
        weight = torch.exp(-self.edges * edge.abs().mean(1, keepdim=True))
        return (change.abs() * weight).mean()
