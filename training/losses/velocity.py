"""Predicted translations as long as the way that the robot measured (PackNet's velocity loss).

Guizilini et al., 3D Packing for Self-Supervised Monocular Depth Estimation, CVPR 2020, section
3.3. Only the length is supervised: the direction of travel stays with the images.
"""

import torch
from torch import Tensor, nn

from training.losses.shared_mean import shared_mean


class VelocityLoss(nn.Module):
    """Mean over known pairs of | |t| - travelled | in metres.

    forward: motions [..., 4, 4]; travelled_m [...], NaN where nothing was measured -> scalar, 0
    (with gradient 0) when nothing is known.

    The paper drops pairs whose interval is far from the nominal one, where speed times interval
    is no distance any more. Here neighbours are chosen by motion, at any interval, and
    travelled_m is the distance between the two places: there is no nominal interval to hold to.
    """

    def forward(self, motions: Tensor, travelled_m: Tensor) -> Tensor:
        known = torch.isfinite(travelled_m)
        length = torch.linalg.vector_norm(motions[..., :3, 3], dim=-1)
        # The unknown are replaced before the difference: NaN times zero would still be NaN.
        truth = torch.where(known, travelled_m, torch.zeros_like(travelled_m))
        error = (length - truth).abs() * known
        return shared_mean(error.sum(), known.sum())
