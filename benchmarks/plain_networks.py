"""Monodepth2's networks as its paper and checkpoint files describe them, over torchvision.

A second implementation, straightforward and under the official names, that tests and benchmarks
compare the trainer's with (Godard et al., ICCV 2019).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128, 256)


class Conv3x3(nn.Module):
    """Reflection padding, then a 3x3 convolution."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (1, 1, 1, 1), mode='reflect'))


class ConvBlock(nn.Module):
    """Conv3x3, then ELU."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = Conv3x3(ins, outs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.conv(x))


class Encoder(nn.Module):
    """Images [B, 3 * images, H, W] in [0, 1] -> features at strides 2 to 32."""

    def __init__(self, layers: int, images: int = 1) -> None:
        super().__init__()
        self.encoder = getattr(torchvision.models, f'resnet{layers}')(weights=None)
        self.encoder.conv1 = nn.Conv2d(3 * images, 64, 7, 2, 3, bias=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        e = self.encoder
        features = [e.relu(e.bn1(e.conv1((x - 0.45) / 0.225)))]
        x = e.maxpool(features[0])
        for layer in (e.layer1, e.layer2, e.layer3, e.layer4):
            x = layer(x)
            features.append(x)
        return features


class DepthDecoder(nn.Module):
    """Features -> disparities [B, 1, H / 2^s, W / 2^s], s = 0 .. 3."""

    def __init__(self, encoder_channels: list[int]) -> None:
        super().__init__()
        convs: list[nn.Module] = []
        for level in (4, 3, 2, 1, 0):
            below = encoder_channels[4] if level == 4 else WIDTHS[level + 1]
            convs.append(ConvBlock(below, WIDTHS[level]))
            skip = encoder_channels[level - 1] if level > 0 else 0
            convs.append(ConvBlock(WIDTHS[level] + skip, WIDTHS[level]))
        convs += [Conv3x3(WIDTHS[scale], 1) for scale in range(4)]
        self.decoder = nn.ModuleList(convs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x = features[4]
        disparities = {}
        for j, level in enumerate((4, 3, 2, 1, 0)):
            x = self.decoder[2 * j](x)
            x = functional.interpolate(x, scale_factor=2, mode='nearest')
            if level > 0:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.decoder[2 * j + 1](x)
            if level < 4:
                disparities[level] = torch.sigmoid(self.decoder[10 + level](x))
        return [disparities[scale] for scale in range(4)]


class PoseDecoder(nn.Module):
    """The last feature of a pair of images -> motion [B, 12]."""

    def __init__(self, ins: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([
            nn.Conv2d(ins, 256, 1), nn.Conv2d(256, 256, 3, 1, 1),
            nn.Conv2d(256, 256, 3, 1, 1), nn.Conv2d(256, 12, 1),
        ])  # fmt: skip

    def forward(self, feature: Tensor) -> Tensor:
        x = feature
        for layer in self.net[:3]:
            x = torch.relu(layer(x))
        return 0.01 * self.net[3](x).mean(3).mean(2)


class PlainNetworks(nn.Module):
    """The four networks with random weights; pose and pose_encoder are None without pose."""

    def __init__(self, layers: int, pose: bool = True) -> None:
        super().__init__()
        channels = [64, 256, 512, 1024, 2048] if layers > 34 else [64, 64, 128, 256, 512]
        self.encoder = Encoder(layers)
        self.depth = DepthDecoder(channels)
        self.pose_encoder = Encoder(layers, images=2) if pose else None
        self.pose = PoseDecoder(channels[4]) if pose else None

    def disparities(self, image01: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> disparities of the four scales."""
        return self.depth(self.encoder(image01))

    def motion(self, earlier01: Tensor, later01: Tensor) -> Tensor:
        """[B, 3, H, W] twice -> axis-angle and translation, [B, 6]."""
        assert self.pose_encoder is not None
        assert self.pose is not None
        return self.pose(self.pose_encoder(torch.cat([earlier01, later01], 1))[4])[:, :6]

    def save(self, folder: Path, width: int, height: int, stereo: bool = False) -> Path:
        """The four files, as the official training writes them."""
        folder.mkdir(parents=True, exist_ok=True)
        state = dict(self.encoder.state_dict())
        state |= {'height': height, 'width': width, 'use_stereo': stereo}
        torch.save(state, folder / 'encoder.pth')
        torch.save(self.depth.state_dict(), folder / 'depth.pth')
        if self.pose_encoder is not None and self.pose is not None:
            torch.save(self.pose_encoder.state_dict(), folder / 'pose_encoder.pth')
            torch.save(self.pose.state_dict(), folder / 'pose.pth')
        return folder
