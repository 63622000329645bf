"""What the decoders are made of."""

from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5
"""Feature maps of an encoder."""
SCALES = 4
"""Sizes at which decoders answer."""


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


def double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by two."""
    return functional.interpolate(x, scale_factor=2.0, mode='nearest')
