"""Supervised egomotion: angle between rotations, and translation relative to its length."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.geometry import small_product
from training.losses.shared_mean import shared_mean


@dataclass(frozen=True)
class MotionLossResult:
    """Scalars: total; rotation_rad and translation (relative), unweighted."""

    total: Tensor
    rotation_rad: Tensor
    translation: Tensor


class MotionLoss(nn.Module):
    """rotation_weight * geodesic angle + |t - t_true| / max(|t_true|, shortest).

    forward: predicted and truth [B, 4, 4], rigid, same direction; known bool [B] -> result,
    zero when no truth is known. shortest is a translation in the unit of the poses below which
    errors are no longer counted relative to the motion.
    """

    def __init__(self, rotation_weight: float = 10.0, shortest: float = 0.02) -> None:
        super().__init__()
        self.rotation_weight = rotation_weight
        self.shortest = shortest

    def forward(self, predicted: Tensor, truth: Tensor, known: Tensor) -> MotionLossResult:
        # Samples without truth may hold anything, NaN included.
        truth = torch.where(known[:, None, None], truth, predicted.detach())
        angle = geodesic_angle(predicted[:, :3, :3], truth[:, :3, :3])
        true_translation = truth[:, :3, 3]
        length = true_translation.norm(dim=-1).clamp(min=self.shortest)
        relative = smooth_norm(predicted[:, :3, 3] - true_translation) / length
        totals = torch.stack([(angle * known).sum(), (relative * known).sum()])
        rotation, translation = shared_mean(totals, known.sum().expand(2)).unbind()
        return MotionLossResult(
            self.rotation_weight * rotation + translation, rotation.detach(), translation.detach()
        )


def geodesic_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle in radians of a^T b, rotation matrices [..., 3, 3] -> [...].

    2 atan2(|sin|, cos) of the half angle has a bounded gradient at every angle below pi, where
    arccos of the trace has none at zero.
    """
    difference = small_product(a.transpose(-1, -2), b)
    axis = torch.stack(
        [
            difference[..., 2, 1] - difference[..., 1, 2],
            difference[..., 0, 2] - difference[..., 2, 0],
            difference[..., 1, 0] - difference[..., 0, 1],
        ],
        dim=-1,
    )
    trace = difference.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(smooth_norm(axis), trace - 1.0)


def smooth_norm(vector: Tensor, softness: float = 1e-4) -> Tensor:
    """Euclidean norm [..., n] -> [...], rounded off below `softness` so that zero has a slope."""
    squared = (vector * vector).sum(-1)
    return (squared + softness * softness).sqrt() - softness
