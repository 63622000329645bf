"""Supervised depth: logarithmic error, and gradients of it at several scales for sharp edges.

The gradient term is that of Li and Snavely, MegaDepth, CVPR 2018, section 4.2.
"""

import torch
from torch import Tensor, nn

from training.losses.shared_mean import shared_mean


class LogDepthLoss(nn.Module):
    """Mean |log depth - log truth| + gradient_weight * mean over strides of |grad of that|.

    forward: depth [B, 1, H, W] > 0, truth [B, 1, H, W] with NaN or values <= 0 where unknown
    -> scalar, 0 (with gradient 0) when nothing is known.
    """

    def __init__(self, gradient_weight: float = 0.5, gradient_strides: int = 4) -> None:
        super().__init__()
        self.gradient_weight = gradient_weight
        self.gradient_strides = gradient_strides

    def forward(self, depth: Tensor, truth: Tensor) -> Tensor:
        known = torch.isfinite(truth) & (truth > 0)
        # The unknown are replaced before the logarithm: NaN times zero would still be NaN.
        ratio = depth.float() / torch.where(known, truth, torch.ones_like(truth)).float()
        error = torch.where(known, ratio.log(), torch.zeros_like(ratio))
        totals, counts = [error.abs().sum()], [known.sum()]
        if self.gradient_weight > 0:
            changes, pairs = self._changes(error, known)
            totals, counts = totals + changes, counts + pairs
        means = shared_mean(torch.stack(totals), torch.stack(counts))
        return means[0] + self.gradient_weight / self.gradient_strides * means[1:].sum()

    def _changes(self, error: Tensor, known: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Sums of |differences of the error| at every stride and direction, and their counts."""
        totals, counts = [], []
        for scale in range(self.gradient_strides):
            step = 2**scale
            coarse, coarse_known = error[..., ::step, ::step], known[..., ::step, ::step]
            for dim in (2, 3):
                if coarse.shape[dim] < 2:
                    continue
                size = coarse.shape[dim] - 1
                pairs = coarse_known.narrow(dim, 0, size) & coarse_known.narrow(dim, 1, size)
                change = torch.diff(coarse, dim=dim).abs() * pairs
                totals.append(change.sum())
                counts.append(pairs.sum())
        return totals, counts
