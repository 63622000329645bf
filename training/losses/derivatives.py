"""Errors of first and second derivatives at six scales, for sharp edges and even surfaces.

Bochkovskii et al., Depth Pro, arXiv 2410.02073, section 3.2. Kernel scale, blur and masks are not
published: Scharr kernels are divided by 32, by which they give the slope per pixel, each level is
half the one before, blurred with [1, 4, 6, 4, 1] / 16, and whatever reaches an unknown pixel or
beyond the border is left out.
"""

from collections.abc import Sequence
from enum import Enum
from functools import reduce

import torch
from torch import Tensor

from training.losses.image_mean import image_mean

LEVELS = 6
_KERNEL, _BLUR = 3, 5
_X, _Y = -1, -2


class Derivative(Enum):
    """What is averaged over pixels.

    MAGE: absolute first derivatives (Scharr), of x and y averaged. MSGE: their squares. MALE: the
    absolute Laplacian.
    """

    MAGE = 'mage'
    MALE = 'male'
    MSGE = 'msge'


def derivative_errors(
    difference: Tensor, known: Tensor, derivatives: Sequence[Derivative]
) -> list[Tensor]:
    """Each derivative's error, averaged over six levels, of every image.

    difference of prediction and truth [B, 1, H, W], in single precision at least, finite
    everywhere and without gradient where not `known`; known bool, same shape -> one [B] per
    derivative. The filters are linear, so that the difference stands for both. The divisor is six
    also where an image has fewer levels with a known pixel; those without count as 0.
    """
    totals = [difference.new_zeros(len(difference)) for _ in derivatives]
    for level in range(LEVELS):
        if min(difference.shape[-2:]) < _KERNEL:
            break
        usable = _all_known(known, _KERNEL, 1)
        for i, pixels in enumerate(_pixel_errors(difference, derivatives)):
            totals[i] = totals[i] + image_mean(pixels, usable)
        if level + 1 == LEVELS or min(difference.shape[-2:]) < _BLUR:
            break
        difference, known = _halved(difference), _all_known(known, _BLUR, 2)
    return [total / LEVELS for total in totals]


def _pixel_errors(difference: Tensor, derivatives: Sequence[Derivative]) -> list[Tensor]:
    """[B, 1, H, W] -> [B, 1, H - 2, W - 2] per derivative."""
    slopes: tuple[Tensor, ...] = ()
    if Derivative.MAGE in derivatives or Derivative.MSGE in derivatives:
        slopes = _slope(difference, _X, _Y), _slope(difference, _Y, _X)
    errors = []
    for derivative in derivatives:
        if derivative is Derivative.MALE:
            errors.append(_laplacian(difference).abs())
        elif derivative is Derivative.MAGE:
            errors.append((slopes[0].abs() + slopes[1].abs()) / 2)
        else:
            errors.append((slopes[0].square() + slopes[1].square()) / 2)
    return errors


# Filters are sums of shifted views, not convolutions: those round to bfloat16 under autocast and
# to TF32 by default, which is noise in derivatives. Neighbours are subtracted before anything is
# weighed: where they are of one sign and within a factor of two of each other, that is exact.


def _slope(x: Tensor, along: int, across: int) -> Tensor:
    """Scharr's derivative per pixel: [-1, 0, 1] along, [3, 10, 3] across, over 32."""
    before, _, after = _neighbours(x, along, _KERNEL, 1)
    one, middle, other = _neighbours(after - before, across, _KERNEL, 1)
    return (one + other) * (3 / 32) + middle * (10 / 32)


def _laplacian(x: Tensor) -> Tensor:
    above, row, below = _neighbours(x, _Y, _KERNEL, 1)
    left, centre, right = _neighbours(row, _X, _KERNEL, 1)
    above, below = above[..., 1:-1], below[..., 1:-1]
    return ((left - centre) + (right - centre)) + ((above - centre) + (below - centre))


def _halved(x: Tensor) -> Tensor:
    """Blurred at every second pixel; the first is the one whose blur touches the border."""
    for dim in (_Y, _X):
        a, b, c, d, e = _neighbours(x, dim, _BLUR, 2)
        x = (a + e) * (1 / 16) + (b + d) * (4 / 16) + c * (6 / 16)
    return x


def _all_known(known: Tensor, size: int, stride: int) -> Tensor:
    """Whether everything in size x size pixels is known, at every stride-th place inside."""
    for dim in (_Y, _X):
        known = reduce(torch.logical_and, _neighbours(known, dim, size, stride))
    return known


def _neighbours(x: Tensor, dim: int, size: int, stride: int) -> tuple[Tensor, ...]:
    """Views that hold, at every stride-th place that has them all, its `size` neighbours."""
    return x.unfold(dim, size, stride).unbind(-1)
