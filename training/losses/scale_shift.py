"""Differences of shape alone: of two maps that are each known up to scale and shift.

Each image has its median over the known pixels subtracted, and is divided by its mean absolute
deviation from it (Ranftl et al., Towards Robust Monocular Depth Estimation, TPAMI 2022, equation
5), as Bochkovskii et al., Depth Pro, arXiv 2410.02073, section 3.2, use it. The gradient goes
through both statistics: scaling or shifting a prediction changes nothing, so that no part of its
gradient does.
"""

import torch
from torch import Tensor

_PIXELS = (1, 2, 3)
_LEAST_DEVIATION = 1e-6
"""Below this an image is constant. Bounds the gradient, which grows with 1 / deviation."""


def shape_difference(predicted: Tensor, truth: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised prediction minus normalised truth, and where that says anything.

    All [B, 1, H, W], truth finite everywhere, bool `known` -> the difference, 0 where it is not
    known, and the bool mask where it is. A constant truth has no shape to teach: nothing of such
    an image is known. A constant prediction is taken as 0 and has gradient 0.
    """
    expected, varies = _normalised(truth, known)
    return _normalised(predicted, known)[0] - expected, known & varies


def _normalised(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Values of median 0 and mean deviation 1 in each image, and bool [B, 1, 1, 1]: it varies."""
    hidden = values.masked_fill(~known, float('nan')).flatten(1)
    # The lower of two middle values. Without any known pixel it is NaN, and nothing uses it.
    median = hidden.nanmedian(1).values[:, None, None, None]
    centred = (values - median).masked_fill(~known, 0)
    count = known.sum(_PIXELS, keepdim=True).clamp(min=1)
    deviation = centred.abs().sum(_PIXELS, keepdim=True) / count
    varies = deviation > _LEAST_DEVIATION
    # The divisor is replaced before the division: an infinite slope times zero would be NaN.
    divisor = torch.where(varies, deviation, torch.ones_like(deviation))
    return (centred / divisor).masked_fill(~varies, 0), varies
