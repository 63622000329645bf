"""Edge-aware smoothness of disparity (Godard et al., 2019, equation 3)."""

import torch
from torch import Tensor, nn


class EdgeAwareSmoothness(nn.Module):
    """First differences of mean-normalised disparity, less where the image has edges.

    forward: disparity [B, 1, H, W], image [B, 3, H, W] in [0, 1] of the same size -> scalar.
    Unchanged when the disparity is multiplied by a positive constant.
    """

    def forward(self, disparity: Tensor, image01: Tensor) -> Tensor:
        normalised = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
        total = disparity.new_zeros(())
        for dim in (2, 3):
            change = torch.diff(normalised, dim=dim).abs()
            edges = torch.diff(image01, dim=dim).abs().mean(1, keepdim=True)
            total = total + (change * torch.exp(-edges)).mean()
        return total
