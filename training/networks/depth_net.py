"""Monodepth2's depth network over any five-scale backbone (Godard et al., ICCV 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.backbones import Backbone

LEVELS = 5
SCALES = 4


class ConvELU(nn.Module):
    """Reflection-padded 3x3 convolution with bias, then ELU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = reflected_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.conv(x))


def reflected_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, its border padded by reflection."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode='reflect')


class DepthDecoder(nn.Module):
    """Encoder features -> sigmoid disparities at full, half, quarter and eighth resolution.

    At each of five levels, coarse to fine: ConvELU, nearest upsampling by two, skip connection,
    ConvELU; a disparity head at the four finest. `first`, `second` and `heads` are indexed by
    level, 0 being the finest.
    """

    def __init__(self, encoder_channels: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        below = (*channels[1:], encoder_channels[-1])
        skips = (0, *encoder_channels[:-1])
        self.first = nn.ModuleList(
            ConvELU(below[level], channels[level]) for level in range(LEVELS)
        )
        self.second = nn.ModuleList(
            ConvELU(channels[level] + skips[level], channels[level]) for level in range(LEVELS)
        )
        self.heads = nn.ModuleList(reflected_conv(channels[level], 1) for level in range(SCALES))

    def forward(self, features: Sequence[Tensor], scales: int, finest: int) -> list[Tensor]:
        """Disparities of the levels finest .. scales - 1, finest first; finer ones are not run."""
        x = features[-1]
        disparities: list[Tensor] = []
        for level in reversed(range(finest, LEVELS)):
            x = self.first[level](x)
            x = functional.interpolate(x, scale_factor=2.0, mode='nearest')
            if level > 0:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.second[level](x)
            if level < scales:
                disparities.insert(0, torch.sigmoid(self.heads[level](x)))
        return disparities


class DepthNet(nn.Module):
    """One image -> disparity, 0 far and 1 near (see training.geometry.disparity_to_depth).

    forward: image [B, 3, H, W] RGB in [0, 1], H and W multiples of 32 -> list of tensors
    [B, 1, H / 2^s, W / 2^s] for s = finest .. scales - 1. All four are wanted in training, one
    for inference.
    """

    def __init__(self, backbone: Backbone, decoder_channels: Sequence[int]) -> None:
        super().__init__()
        self.encoder = backbone
        self.decoder = DepthDecoder(backbone.channels, decoder_channels)

    def forward(self, image01: Tensor, scales: int = SCALES, finest: int = 0) -> list[Tensor]:
        return self.decoder(self.encoder(image01), scales, finest)
