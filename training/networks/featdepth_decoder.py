"""FeatDepth's depth decoder over any five-scale encoder (Shu et al., ECCV 2020).

Chained residual pooling is that of Lin et al., RefineNet, CVPR 2017, section 3.2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.layers import SCALES, double, reflected_conv
from training.networks.single_precision import in_single_precision

_POOLS = 4
_SLOPE = 0.01
_DROPOUT = 0.5


class ChainedResidualPooling(nn.Module):
    """x + what is left of it after one, two, three and four 5x5 maxima, each mixed 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(_POOLS)
        )

    def forward(self, x: Tensor) -> Tensor:
        top = x
        for mix in self.mix:
            top = mix(functional.max_pool2d(top, 5, stride=1, padding=2))
            x = x + top
        return x


class RefiningLevel(nn.Module):
    """One encoder feature and the coarser answer -> features of twice the size, and disparity."""

    def __init__(self, feature: int, reduced: int, coarser: int, width: int) -> None:
        """feature, coarser: channels that come in; reduced: what the feature is squeezed to."""
        super().__init__()
        self.reduce = nn.Conv2d(feature, reduced, 1, bias=False)
        self.blend = reflected_conv(reduced + coarser, width)
        self.pool = ChainedResidualPooling(width)
        self.merge = reflected_conv(width, width)
        self.head = reflected_conv(width, 1)

    def forward(self, feature: Tensor, coarser: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """feature [B, C, h, w]; coarser: features and disparity of the level above, if any."""
        reduced = self.reduce(feature)
        # The disparity above is more precise than features may be, which would make them so too.
        x = torch.cat([reduced, *(part.to(reduced.dtype) for part in coarser)], dim=1)
        x = self.pool(functional.leaky_relu(self.blend(x), _SLOPE))
        x = double(functional.leaky_relu(self.merge(x), _SLOPE))
        return x, torch.sigmoid(in_single_precision(self.head, x))


class RefiningDecoder(nn.Module):
    """Encoder features -> sigmoid disparities at 1/2, 1/4, 1/8 and 1/16 of the image's size.

    The encoder's finest feature is not used. `levels` are indexed by answer, 0 being the finest.
    In training half of the two coarsest features is dropped.
    """

    finest_stride = 2

    def __init__(self, encoder_channels: Sequence[int], width: int) -> None:
        super().__init__()
        coarsest = SCALES - 1
        self.levels = nn.ModuleList(
            RefiningLevel(encoder_channels[level + 1], width, width + 1, width)
            for level in range(coarsest)
        )
        self.levels.append(RefiningLevel(encoder_channels[-1], 2 * width, 0, width))

    def forward(self, features: Sequence[Tensor], scales: int, finest: int) -> list[Tensor]:
        """Disparities of the levels finest .. scales - 1, finest first; finer ones are not run."""
        used = [*features[1:3], *(self._drop(feature) for feature in features[3:])]
        coarser: tuple[Tensor, ...] = ()
        disparities: list[Tensor] = []
        for level in reversed(range(finest, SCALES)):
            coarser = self.levels[level](used[level], coarser)
            if level < scales:
                disparities.insert(0, coarser[1])
        return disparities

    def _drop(self, feature: Tensor) -> Tensor:
        return functional.dropout(feature, _DROPOUT, self.training)
