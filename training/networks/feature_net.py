"""FeatureNet: an auto-encoder whose first features are matched between views.

Shu et al., Feature-metric Loss for Self-supervised Learning of Depth and Egomotion, ECCV 2020,
section 3.2. What it is trained by stands in training.losses.single_view.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks.backbones import Backbone
from training.networks.layers import LEVELS, SCALES, ConvELU, double, reflected_conv
from training.networks.single_precision import in_single_precision


class FeatureDecoder(nn.Module):
    """The encoder's coarsest feature -> images at full, half, quarter and eighth resolution.

    Without skip connections: all that is known of the image has gone through the bottleneck.
    `first`, `second` and `heads` are indexed by level, 0 being the finest.
    """

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        below = (*channels[1:], in_channels)
        self.first = nn.ModuleList(ConvELU(below[i], channels[i]) for i in range(LEVELS))
        self.second = nn.ModuleList(ConvELU(channels[i], channels[i]) for i in range(LEVELS))
        self.heads = nn.ModuleList(reflected_conv(channels[i], 3) for i in range(SCALES))

    def forward(self, feature: Tensor) -> list[Tensor]:
        x = feature
        images: list[Tensor] = []
        for level in reversed(range(LEVELS)):
            x = self.second[level](double(self.first[level](x)))
            if level < SCALES:
                logits = in_single_precision(self.heads[level], x)
                images.insert(0, torch.sigmoid(logits))
        return images


class FeatureNet(nn.Module):
    """The auto-encoder. Its backbone takes images as they are, without normalisation.

    encoder: [B, 3, H, W] RGB in [0, 1] -> five features, of which the first, [B, C, H/2, W/2],
    is matched. decoder: the last of them -> four images [B, 3, H / 2^s, W / 2^s] in (0, 1).
    """

    def __init__(self, backbone: Backbone, channels: Sequence[int]) -> None:
        super().__init__()
        self.encoder = backbone
        self.decoder = FeatureDecoder(backbone.channels[-1], channels)

    def matched(self, images01: Tensor) -> Tensor:
        """The features that views are matched by, [B, C, H/2, W/2]."""
        return self.encoder(images01)[0]


class FrozenFeatures(nn.Module):
    """The part of a trained FeatureNet that matching needs: its backbone up to the first feature.

    Nothing here changes: no gradient, and batch norms keep their statistics even in training.
    """

    def __init__(self, backbone: Backbone) -> None:
        """backbone: of one stage, see Backbone."""
        super().__init__()
        self.encoder = backbone
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> 'FrozenFeatures':
        """Stay in evaluation mode whatever `mode` is."""
        return super().train(False)

    @torch.no_grad()
    def matched(self, images01: Tensor) -> Tensor:
        """The features that views are matched by, [B, C, H/2, W/2]; no gradient."""
        return self.encoder(images01)[0]
