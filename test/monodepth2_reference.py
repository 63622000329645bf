"""Monodepth2 as its paper and checkpoint files describe it, over torchvision's ResNets.

A second implementation, straightforward and under the official names, to compare ours with.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128, 256)


class Conv3x3(nn.Module):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (1, 1, 1, 1), mode='reflect'))


class ConvBlock(nn.Module):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.conv = Conv3x3(ins, outs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.conv(x))


class Encoder(nn.Module):
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
    def __init__(self, encoder_channels: list[int]) -> None:
        super().__init__()
        convs: list[nn.Module] = []
        for level in (4, 3, 2, 1, 0):
            convs.append(ConvBlock(encoder_channels[4] if level == 4 else WIDTHS[level + 1],
                                   WIDTHS[level]))
            skip = encoder_channels[level - 1] if level > 0 else 0
            convs.append(ConvBlock(WIDTHS[level] + skip, WIDTHS[level]))
        convs += [Conv3x3(WIDTHS[scale], 1) for scale in range(4)]
        self.decoder = nn.ModuleList(convs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x = features[4]
        disparities = {}
        for j, level in enumerate((4, 3, 2, 1, 0)):
            x = self.decoder[2 * j](x)
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            if level > 0:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.decoder[2 * j + 1](x)
            if level < 4:
                disparities[level] = torch.sigmoid(self.decoder[10 + level](x))
        return [disparities[scale] for scale in range(4)]


class PoseDecoder(nn.Module):
    def __init__(self, ins: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([nn.Conv2d(ins, 256, 1), nn.Conv2d(256, 256, 3, 1, 1),
                                  nn.Conv2d(256, 256, 3, 1, 1), nn.Conv2d(256, 12, 1)])

    def forward(self, feature: Tensor) -> Tensor:
        x = feature
        for layer in self.net[:3]:
            x = torch.relu(layer(x))
        return 0.01 * self.net[3](x).mean(3).mean(2)


class Official:
    """The four networks with random weights and batch norm statistics, in evaluation mode."""

    def __init__(self, layers: int, seed: int = 0, pose: bool = True) -> None:
        torch.manual_seed(seed)
        channels = [64, 256, 512, 1024, 2048] if layers > 34 else [64, 64, 128, 256, 512]
        self.encoder = Encoder(layers)
        self.depth = DepthDecoder(channels)
        self.pose_encoder = Encoder(layers, images=2) if pose else None
        self.pose = PoseDecoder(channels[4]) if pose else None
        for net in filter(None, (self.encoder, self.depth, self.pose_encoder, self.pose)):
            net.eval()
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.weight, 0.7, 1.1)
                    nn.init.normal_(module.bias, std=0.02)
                    nn.init.normal_(module.running_mean, std=0.1)
                    nn.init.uniform_(module.running_var, 0.5, 2.0)
        # Torch's own small weights would leave answers that hardly depend on the images.
        for head in filter(None, (self.depth, self.pose)):
            for module in head.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity='relu')

    @torch.no_grad()
    def disparities(self, image01: Tensor) -> list[Tensor]:
        return self.depth(self.encoder(image01))

    @torch.no_grad()
    def motion(self, earlier01: Tensor, later01: Tensor) -> Tensor:
        assert self.pose_encoder is not None
        assert self.pose is not None
        return self.pose(self.pose_encoder(torch.cat([earlier01, later01], 1))[4])[:, :6]

    def save(self, folder: Path, width: int, height: int, stereo: bool) -> Path:
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
