"""Pulls the unit of predicted depth to metres, where nothing else in the objective would.

Features tracked through predicted depth give motions whose length grows in proportion to that
depth: whatever unit the depth has, views synthesised by them explain the images equally well, and
a velocity loss on the pose network would not reach it. But the proportion tells the error: depth
that makes the camera travel L where odometry measured m is too large by L / m, everywhere.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.shared_mean import shared_mean

_SHORTEST_M = 0.02
"""Ways shorter than this say little of a unit."""


class DepthUnitLoss(nn.Module):
    """Huber loss of a known excess of depth, as a function of each image's mean log depth.

    forward: depth [B, 1, H, W] in the network's unit; excess [P, B], logarithms of depth's unit
    over metres as P measurements tell, found with this depth, NaN where unknown, no gradient
    -> scalar, 0 (with gradient 0) when nothing is known. The excess grows by 1 with mean log
    depth, so that the gradient is exact though none went through the tracking. What exceeds
    `outlier` counts linearly: nearly a median over pairs, and stiff enough near zero to hold
    against motions whose length does not quite fit the depth they were found with.
    """

    def __init__(self, outlier: float = 0.05) -> None:
        super().__init__()
        self.outlier = outlier

    def forward(self, depth: Tensor, excess: Tensor) -> Tensor:
        known = torch.isfinite(excess)
        # The unknown are replaced before any product: NaN times zero would still be NaN.
        excess = torch.where(known, excess, torch.zeros_like(excess)).detach()
        typical = depth.float().log().mean((1, 2, 3))
        error = excess + typical - typical.detach()
        loss = functional.huber_loss(
            error, torch.zeros_like(error), reduction='none', delta=self.outlier
        )
        return shared_mean((loss * known).sum(), known.sum()) / self.outlier


def travel_excess(length: Tensor, travelled_m: Tensor) -> Tensor:
    """log(L / m) of ways L found with predicted depth, NaN where unknown or too short.

    length and travelled_m [P, B], NaN where unknown.
    """
    known = (length > 0) & (travelled_m > _SHORTEST_M)  # false for NaN
    return torch.where(known, length / travelled_m, torch.full_like(length, float('nan'))).log()
