"""What FeatureNet is trained by, on single images (Shu et al., ECCV 2020, section 3.2).

Its features shall tell plain surfaces apart: first differences large (discriminative), so that
there is a gradient everywhere, and second ones small (convergent), so that it points the right way
from afar.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.photometric import PhotometricError
from training.losses.ssim import window_statistics

_X, _Y = 3, 2


@dataclass(frozen=True)
class SingleViewResult:
    """Scalars: total with gradient; reconstruction, discriminative and convergent, unweighted."""

    total: Tensor
    reconstruction: Tensor
    discriminative: Tensor
    convergent: Tensor


class SingleViewLoss(nn.Module):
    """reconstruction + weighted discriminative and convergent terms over all features.

    forward: features [B, C_i, H / 2^(i+1), W / 2^(i+1)] for i = 0 .. 4; reconstructions
    [B, 3, H / 2^s, W / 2^s] for s = 0 .. 3; image [B, 3, H, W] -> result.
    """

    def __init__(self, discriminative: float = 1e-3, convergent: float = 1e-3) -> None:
        super().__init__()
        self.discriminative = discriminative
        self.convergent = convergent
        self.reconstruction_loss = ReconstructionLoss()

    def forward(
        self, features: Sequence[Tensor], reconstructions: Sequence[Tensor], image01: Tensor
    ) -> SingleViewResult:
        reconstruction = self.reconstruction_loss(reconstructions, image01)
        terms = [feature_terms(feature.float(), image01) for feature in features]
        weights = image01.new_tensor([0.5**i / len(features) for i in range(len(features))])
        discriminative, convergent = weights @ torch.stack([torch.stack(t) for t in terms])
        total = (
            reconstruction + self.discriminative * discriminative + self.convergent * convergent
        )
        return SingleViewResult(
            total, reconstruction.detach(), discriminative.detach(), convergent.detach()
        )


class ReconstructionLoss(nn.Module):
    """Mean over scales of the photometric error against the image at that scale.

    forward: reconstructions [B, 3, H / 2^s, W / 2^s], image [B, 3, H, W] -> scalar.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error = PhotometricError(robust=True)

    def forward(self, reconstructions: Sequence[Tensor], image01: Tensor) -> Tensor:
        losses = []
        for image in reconstructions:
            target = image01
            if image.shape[-2:] != image01.shape[-2:]:
                target = functional.interpolate(image01, image.shape[-2:], mode='bilinear')
            losses.append(self.error(image, window_statistics(target)).mean())
        return torch.stack(losses).mean()


def feature_terms(feature: Tensor, image01: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminative and the convergent loss of features [B, C, h, w].

    -mean |first differences|, never above 0, and mean |second differences|, never below 0, both
    weighted by the flatness of the image [B, 3, H, W], which is averaged to the features' size.
    """
    image = functional.interpolate(image01, feature.shape[-2:], mode='area')
    along_x, edge_x = torch.diff(feature, dim=_X), torch.diff(image, dim=_X)
    along_y, edge_y = torch.diff(feature, dim=_Y), torch.diff(image, dim=_Y)
    first = _where_flat(along_x, edge_x) + _where_flat(along_y, edge_y)
    # xy and yx are the same differences, and both are counted.
    second = (
        _where_flat(torch.diff(along_x, dim=_X), torch.diff(edge_x, dim=_X))
        + 2.0 * _where_flat(torch.diff(along_x, dim=_Y), torch.diff(edge_x, dim=_Y))
        + _where_flat(torch.diff(along_y, dim=_Y), torch.diff(edge_y, dim=_Y))
    )
    return -first, second


def _where_flat(change: Tensor, edge: Tensor) -> Tensor:
    """Mean of |change| times exp(-mean over colours of |edge|); 0 where nothing is left."""
    if change.numel() == 0:
        return change.sum()
    weight = torch.exp(-edge.abs().mean(1, keepdim=True))
    # Channels first: one multiplication a pixel instead of one a value.
    return (change.abs().mean(1, keepdim=True) * weight).mean()
