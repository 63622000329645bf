"""Photometric error and its minimum over sources with automask (Godard et al., 2019, 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.losses.robust import robust_distance
from training.losses.ssim import WindowStatistics, ssim_distance

SSIM_WEIGHT = 0.85
# Breaks ties where a source equals the target, so that such pixels are masked.
TIE_BREAKING_NOISE = 1e-5
# Stands for "no error known here"; above any photometric error.
_UNSEEN = 1e4


class PhotometricError(nn.Module):
    """0.85 SSIM distance + 0.15 absolute difference, averaged over colours.

    robust rounds the difference off as FeatDepth does; equal images then differ by 0.15e-3.

    forward: images [..., B, 3, H, W] against window_statistics of the target [B, 3, H, W]
    -> [..., B, 1, H, W]. Several images of one target share its statistics.
    """

    def __init__(self, robust: bool = False) -> None:
        super().__init__()
        self.robust = robust

    def forward(self, images: Tensor, target: WindowStatistics) -> Tensor:
        structural = ssim_distance(images, target).mean(-3, keepdim=True)
        if self.robust:
            absolute = robust_distance(images, target.image)
        else:
            absolute = (images - target.image).abs().mean(-3, keepdim=True)
        return SSIM_WEIGHT * structural + (1.0 - SSIM_WEIGHT) * absolute


@dataclass(frozen=True)
class MinimumReprojectionResult:
    """loss [L]; error [L, B, 1, H, W], the minimum; used bool of the same shape, the automask."""

    loss: Tensor
    error: Tensor
    used: Tensor


class MinimumReprojection(nn.Module):
    """Per pixel the least error over sources; where an unmoved source fits better, no gradient.

    forward: warped_error [S, L, B, 1, H, W]; unmoved_error [S, B, 1, H, W] or None for no
    automask; visible bool [S, L, B, 1, H, W] or None: errors elsewhere are not candidates;
    available bool [S, B]: nor are errors of sources that a sample lacks. A sample without any
    has the error 0.
    """

    def forward(
        self,
        warped_error: Tensor,
        unmoved_error: Tensor | None,
        visible: Tensor | None,
        available: Tensor,
    ) -> MinimumReprojectionResult:
        missing = ~available[:, :, None, None, None]
        warped_error = warped_error.masked_fill(missing[:, None], _UNSEEN)
        if visible is not None:
            warped_error = warped_error.masked_fill(~visible, _UNSEEN)
        error = warped_error.min(0).values
        if unmoved_error is None:
            used = error < _UNSEEN
            error = error * used
        else:
            noise = TIE_BREAKING_NOISE * torch.randn_like(error)
            unmoved = unmoved_error.masked_fill(missing, _UNSEEN).min(0).values[None] + noise
            used = (error < unmoved) & (error < _UNSEEN)
            error = torch.minimum(error, unmoved) * ~missing.all(0)
        return MinimumReprojectionResult(error.mean((1, 2, 3, 4)), error, used)
