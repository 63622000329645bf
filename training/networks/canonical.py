"""Canonical inverse depth, which knows no focal length, and depth in metres.

C = f / (W D), with f the focal length and W the width of one image in pixels, D the depth along
the optical axis in metres. f / W stays as it is when an image is resized.
Source: Bochkovskii et al., Depth Pro, ICLR 2025, arXiv 2410.02073, section 3.
"""

import math

import torch
from torch import Tensor

MIN_INVERSE_DEPTH, MAX_INVERSE_DEPTH = 1e-4, 1e4
"""Inverse depth is kept within these, in 1/m: depth lies within 1e-4 to 1e4 m."""
MIN_FOV_DEG, MAX_FOV_DEG = 1.0, 179.0
"""Horizontal fields of view that a focal length can be told from."""


def canonical_to_depth(
    canonical: Tensor, focal_px: Tensor | float, width_px: Tensor | float
) -> Tensor:
    """Depth in metres, within 1e-4 to 1e4 and finite also where the canonical is 0.

    canonical: [B, ...]. focal_px, width_px: of the same image, a number or [B] each.
    """
    ratio = _of_each_image(width_px, canonical) / _of_each_image(focal_px, canonical)
    return 1.0 / (canonical * ratio).clamp(MIN_INVERSE_DEPTH, MAX_INVERSE_DEPTH)


def depth_to_canonical(
    depth_m: Tensor, focal_px: Tensor | float, width_px: Tensor | float
) -> Tensor:
    """Canonical inverse depth, what the network is trained to tell; infinite where depth is 0.

    depth_m: [B, ...]. focal_px, width_px: of the same image, a number or [B] each.
    """
    ratio = _of_each_image(focal_px, depth_m) / _of_each_image(width_px, depth_m)
    return ratio / depth_m


def focal_of_fov(fov_deg: Tensor, width_px: Tensor | float) -> Tensor:
    """Focal length [B] in pixels of horizontal fields of view [B] in degrees.

    A network's answer has no bounds, so it is brought within 1 to 179 degrees first.
    """
    half_rad = fov_deg.clamp(MIN_FOV_DEG, MAX_FOV_DEG) * (0.5 * math.pi / 180.0)
    return 0.5 * width_px / torch.tan(half_rad)


def fov_of_focal(focal_px: Tensor, width_px: Tensor | float) -> Tensor:
    """Horizontal field of view [B] in degrees of focal lengths [B] in pixels."""
    return torch.rad2deg(2.0 * torch.atan(0.5 * width_px / focal_px))


def _of_each_image(value: Tensor | float, like: Tensor) -> Tensor | float:
    """A number as it is, [B] as [B, 1, ...] with as many axes as `like`."""
    if isinstance(value, Tensor) and value.ndim == 1:
        return value.reshape(-1, *[1] * (like.ndim - 1))
    return value
