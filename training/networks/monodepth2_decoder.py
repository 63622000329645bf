"""Monodepth2's depth decoder over any five-scale encoder (Godard et al., ICCV 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks.layers import LEVELS, SCALES, ConvELU, double, reflected_conv
from training.networks.single_precision import in_single_precision


class DepthDecoder(nn.Module):
    """Encoder features -> sigmoid disparities at full, half, quarter and eighth resolution.

    At each of five levels, coarse to fine: ConvELU, nearest upsampling by two, skip connection,
    ConvELU; a disparity head at the four finest. `first`, `second` and `heads` are indexed by
    level, 0 being the finest.
    """

    finest_stride = 1

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
            x = double(self.first[level](x))
            if level > 0:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.second[level](x)
            if level < scales:
                logit = in_single_precision(self.heads[level], x)
                disparities.insert(0, torch.sigmoid(logit))
        return disparities
