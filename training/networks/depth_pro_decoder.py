"""Depth Pro's decoder, that of DPT, and the head that makes one figure a pixel of its answer.

Source: Bochkovskii et al., Depth Pro, ICLR 2025, section 3.1; Ranftl et al., Vision Transformers
for Dense Prediction, ICCV 2021, section 3.
"""

from collections.abc import Sequence

from torch import Tensor, nn

HEAD_SHRINKS = 8
"""The decoder's width is so many times that of the head's last hidden layer."""


class ResidualUnit(nn.Module):
    """x + two 3x3 convolutions of it, a ReLU before each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class Fusion(nn.Module):
    """What is decoded so far, with the feature of its size -> the same at twice the size.

    The finest does not double. The coarsest is given no feature and leaves `resnet1` unused, which
    the published files have all the same.
    """

    def __init__(self, width: int, doubles: bool) -> None:
        super().__init__()
        self.resnet1 = ResidualUnit(width)
        self.resnet2 = ResidualUnit(width)
        self.deconv = (
            nn.ConvTranspose2d(width, width, 2, stride=2, bias=False)
            if doubles
            else nn.Identity()
        )
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, feature: Tensor | None = None) -> Tensor:
        if feature is not None:
            x = x + self.resnet1(feature)
        return self.out_conv(self.deconv(self.resnet2(x)))


class DepthProDecoder(nn.Module):
    """Features of the encoder -> one of the finest one's size, and the coarsest one projected.

    forward: [B, channels[i], N_i, N_i], finest first, N_0 = N_1 * 2 and so on -> [B, width, N_0,
    N_0] and [B, width, N_4, N_4]. The finest feature has `width` channels already.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Identity()])
        self.convs.extend(
            nn.Conv2d(count, width, 3, padding=1, bias=False) for count in channels[1:]
        )
        self.fusions = nn.ModuleList(Fusion(width, level > 0) for level in range(len(channels)))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        coarsest = self.projected(features[-1])
        x = self.fusions[-1](coarsest)
        for level in reversed(range(len(features) - 1)):
            x = self.fusions[level](x, self.convs[level](features[level]))
        return x, coarsest

    def projected(self, coarsest: Tensor) -> Tensor:
        """The coarsest feature, as in the answer."""
        return self.convs[-1](coarsest)


def make_head(width: int) -> nn.Sequential:
    """[B, width, N, N] -> canonical inverse depth [B, 1, 2 N, 2 N], 0 or more.

    width: a multiple of HEAD_SHRINKS.
    """
    last = nn.Conv2d(width // HEAD_SHRINKS, 1, 1)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(width, width // 2, 3, padding=1),
        nn.ConvTranspose2d(width // 2, width // 2, 2, stride=2),
        nn.Conv2d(width // 2, width // HEAD_SHRINKS, 3, padding=1),
        nn.ReLU(),
        last,
        nn.ReLU(),
    )
