"""Means over the known pixels of each image, with and without the worst of them.

All of [B, 1, H, W] -> [B]; 0 (with gradient 0) for an image in which nothing is known.
"""

import torch
from torch import Tensor

_PIXELS = (1, 2, 3)


def image_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of each image's values where bool `known`; values are finite everywhere."""
    return (values * known).sum(_PIXELS) / known.sum(_PIXELS).clamp(min=1)


def trimmed_image_mean(errors: Tensor, known: Tensor, trim: float) -> Tensor:
    """The same without the share `trim` of the known that is largest.

    What is left out is the nearest whole number of pixels.
    """
    count = known.sum(_PIXELS)
    kept = count - (count * trim).round().long()
    # The unknown sort behind everything, so that the first `kept` are the smallest known ones.
    ordered = errors.masked_fill(~known, float('inf')).flatten(1).sort(1).values
    taken = torch.arange(ordered.shape[1], device=ordered.device) < kept[:, None]
    return ordered.masked_fill(~taken, 0).sum(1) / kept.clamp(min=1)
