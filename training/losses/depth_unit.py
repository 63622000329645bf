"""Pulls the unit of predicted depth to metres, where motions take their unit from the depth.

Features tracked through predicted depth give motions whose length grows in proportion to that
depth: whatever unit the depth has, it explains the images equally well, and a velocity loss on
the pose network would not reach it. But the proportion tells the error: depth that makes the
camera travel L where odometry measured m is too large by L / m, everywhere.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class DepthUnitLoss(nn.Module):
    """Huber loss of log(L / m), as a function of each image's mean log depth.

    forward: depth [B, 1, H, W] in the network's unit; motions [P, B, 4, 4] found with it, NaN
    where unknown, no gradient; travelled_m [P, B], NaN where unknown -> scalar, 0 (with gradient
    0) when nothing is known. d log L / d mean log depth is 1, so that the gradient is exact
    though no gradient went through the tracking. Ways shorter than `shortest` metres say little
    of a unit; errors beyond `outlier` (in logarithms) count linearly.
    """

    def __init__(self, shortest: float = 0.02, outlier: float = 0.2) -> None:
        super().__init__()
        self.shortest = shortest
        self.outlier = outlier

    def forward(self, depth: Tensor, motions: Tensor, travelled_m: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(motions[..., :3, 3], dim=-1)
        known = (length > 0) & (travelled_m > self.shortest)  # false for NaN
        # The unknown are replaced before the logarithm: NaN times zero would still be NaN.
        too_large = torch.where(known, length / travelled_m, torch.ones_like(length)).log()
        typical = depth.float().log().mean((1, 2, 3))
        error = too_large.detach() + typical - typical.detach()
        loss = functional.huber_loss(
            error, torch.zeros_like(error), reduction='none', delta=self.outlier
        )
        return (loss * known).sum() / (self.outlier * known.sum().clamp(min=1))
