"""FeatDepth as its paper and checkpoint files describe it, over torchvision's ResNets.

A second implementation, straightforward and under the official names, to compare ours with.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from official_models import randomise_batch_norms
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = {5: 256, 4: 128, 3: 64, 2: 32, 1: 16}


def up(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def reflected(x: Tensor) -> Tensor:
    return functional.pad(x, (1, 1, 1, 1), mode='reflect')


class Holder(nn.Module):
    """A convolution under the name `conv`, as mmcv's files have it."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv


class Conv1x1(Holder):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__(nn.Conv2d(ins, outs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Conv3x3(Holder):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__(nn.Conv2d(ins, outs, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(reflected(x))


class Encoder(nn.Module):
    def __init__(self, layers: int, images: int = 1, normalised: bool = True) -> None:
        super().__init__()
        self.encoder = getattr(torchvision.models, f'resnet{layers}')(weights=None)
        if images > 1:
            self.encoder.conv1 = nn.Conv2d(3 * images, 64, 7, 2, 3, bias=False)
        self.normalised = normalised

    def forward(self, x: Tensor) -> list[Tensor]:
        e = self.encoder
        x = (x - 0.45) / 0.225 if self.normalised else x
        features = [e.relu(e.bn1(e.conv1(x)))]
        x = e.maxpool(features[0])
        for layer in (e.layer1, e.layer2, e.layer3, e.layer4):
            x = layer(x)
            features.append(x)
        return features


class Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for i in range(1, 5):
            setattr(self, f'{i}_pointwise', Conv1x1(256, 256))

    def forward(self, x: Tensor) -> Tensor:
        top = x
        for i in range(1, 5):
            top = functional.max_pool2d(top, 5, 1, 2)
            top = getattr(self, f'{i}_pointwise')(top)
            x = top + x
        return x


class DepthDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for level, ins, reduced in ((4, 2048, 512), (3, 1024, 256), (2, 512, 256), (1, 256, 256)):
            setattr(self, f'reduce{level}', Conv1x1(ins, reduced))
            setattr(self, f'iconv{level}', Conv3x3(512 if level == 4 else 513, 256))
            setattr(self, f'crp{level}', nn.Sequential(Pooling()))
            setattr(self, f'merge{level}', Conv3x3(256, 256))
            setattr(self, f'disp{level}', nn.Sequential(Conv3x3(256, 1), nn.Sigmoid()))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """disp1 to disp4, the finest first."""
        answers: list[Tensor] = []
        x = disparity = None
        for level in (4, 3, 2, 1):
            y = getattr(self, f'reduce{level}')(features[level])
            if level < 4:
                y = torch.cat((y, x, disparity), 1)
            y = functional.leaky_relu(getattr(self, f'iconv{level}')(y), 0.01)
            y = getattr(self, f'crp{level}')(y)
            x = up(functional.leaky_relu(getattr(self, f'merge{level}')(y), 0.01))
            disparity = getattr(self, f'disp{level}')(x)
            answers.insert(0, disparity)
        return answers


class PoseDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(512, 256, 1)
        self.conv1 = nn.Conv2d(256, 256, 3, 1, 1)
        self.conv2 = nn.Conv2d(256, 256, 3, 1, 1)
        self.conv3 = nn.Conv2d(256, 6, 1)

    def forward(self, feature: Tensor) -> Tensor:
        x = feature
        for layer in (self.reduce, self.conv1, self.conv2):
            x = torch.relu(layer(x))
        return 0.01 * self.conv3(x).mean(3).mean(2)


class FeatureDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        below = 2048
        for k, width in WIDTHS.items():
            setattr(self, f'upconv{k}', Holder(Conv3x3(below, width)))
            setattr(self, f'iconv{k}', Holder(Conv3x3(width, width)))
            if k < 5:
                setattr(self, f'disp{k}', Conv3x3(width, 3))
            below = width

    def forward(self, feature: Tensor) -> list[Tensor]:
        """Reconstructions of scales 0 to 3."""
        x, images = feature, []
        for k in WIDTHS:
            x = up(functional.elu(getattr(self, f'upconv{k}').conv(x)))
            x = functional.elu(getattr(self, f'iconv{k}').conv(x))
            if k < 5:
                images.insert(0, torch.sigmoid(getattr(self, f'disp{k}')(x)))
        return images


class Official(nn.Module):
    """A model under the official names, with random weights, in evaluation mode.

    kind: 'separate' (814 keys), 'joint' (842) or 'autoencoder' (348).
    """

    def __init__(self, kind: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        if kind != 'autoencoder':
            self.DepthEncoder = Encoder(50)
            self.DepthDecoder = DepthDecoder()
            self.PoseEncoder = Encoder(18, images=2)
            self.PoseDecoder = PoseDecoder()
        if kind == 'separate':
            self.extractor = Encoder(50, normalised=False)
        else:
            self.Encoder = Encoder(50, normalised=False)
            self.Decoder = FeatureDecoder()
        self.eval()
        randomise_batch_norms(self)

    @torch.no_grad()
    def disparities(self, image01: Tensor) -> list[Tensor]:
        return self.DepthDecoder(self.DepthEncoder(image01))

    @torch.no_grad()
    def motion(self, earlier01: Tensor, later01: Tensor) -> Tensor:
        pair = [
            functional.interpolate(image, (192, 640), mode='bilinear', align_corners=False)
            for image in (earlier01, later01)
        ]
        return self.PoseDecoder(self.PoseEncoder(torch.cat(pair, 1))[4])

    def save(self, path: Path, **more: object) -> Path:
        """The file as mmcv writes it."""
        meta = {'epoch': 40, 'iter': 796200, 'mmcv_version': '0.4.4', 'time': 'Fri Nov 20'}
        torch.save({'meta': meta, 'state_dict': self.state_dict(), **more}, path)
        return path
