"""The error that validations tell people."""

import torch
from torch import Tensor

from training.config import BagTruth
from training.data.batch import Batch


def abs_rel(depth_m: Tensor, truth_m: Tensor, scaled: bool) -> Tensor:
    """mean(|truth - depth| / truth) of every image, [B,H,W] each to [B]; NaN without truth.

    Args:
        depth_m: prediction.
        truth_m: NaN where unknown.
        scaled: bring the median of each prediction to that of its truth first.
    """
    known = torch.isfinite(truth_m) & (truth_m > 0)
    nan = torch.full_like(truth_m, float('nan'))
    truth = torch.where(known, truth_m, nan).flatten(1)
    depth = torch.where(known, depth_m, nan).flatten(1)
    if scaled:
        ratio = truth.nanmedian(1).values / depth.nanmedian(1).values
        depth = depth * ratio[:, None]
    return ((depth - truth).abs() / truth).nanmean(1)


def metric_truth(batch: Batch) -> Tensor:
    """Truth of the targets in metres [B,H,W]; NaN where unknown, or up to scale and shift."""
    metric = torch.tensor([kind.is_metric for kind in BagTruth], device=batch.depth_m.device)
    return torch.where(metric[batch.truth_kind][:, None, None], batch.depth_m, torch.nan)
