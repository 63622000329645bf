"""The error that validations tell people."""

import torch
from torch import Tensor


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
