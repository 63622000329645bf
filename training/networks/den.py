"""The depth estimation network of Fourier-domain depth: a residual network that answers a grid.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, section 3.1 and figures 1 and 2.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from depth_ros.errors import ConfigError
from training.networks.backbones import PretrainedWeights
from training.networks.single_precision import in_single_precision

GRID = (25, 32)
"""Rows and columns of the answer: the shape of NYUv2's pictures."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NEW_PARAMETER_STD = 0.01
_STAGES = ('layer1', 'layer2', 'layer3', 'layer4')
# Of ResNet-152's 36 third-stage blocks, 16 look aside; other depths keep the share.
_THIRD_STAGE_SHARE = 16 / 36


class DenStage(enum.Enum):
    """Which of the two networks that are trained one after the other."""

    PLAIN = 'plain'
    """The residual network alone."""
    SIDES = 'sides'
    """With what the last blocks tell beside it."""


@dataclass(frozen=True)
class DenConfig:
    """What a depth estimation network is made of. The defaults are the paper's.

    backbone: a ResNet of timm. pretrained: initial weights of it. stage: which of the two
    networks. input_px: side of the square image it takes. side_widths: channels of what the
    blocks of the third and of the fourth stage tell.
    """

    backbone: str = 'resnet152'
    pretrained: PretrainedWeights = PretrainedWeights.NONE
    stage: DenStage = DenStage.SIDES
    input_px: int = 224
    side_widths: tuple[int, int] = (8, 64)

    def __post_init__(self) -> None:
        if self.pretrained is PretrainedWeights.LITE0_PACKAGE:
            raise ConfigError('pretrained is lite0-package, which is for EfficientNet-Lite0 alone')
        if self.input_px < 64:
            raise ConfigError(f'input_px is {self.input_px}; need 64 or more')
        if len(self.side_widths) != 2 or min(self.side_widths) < 1:
            raise ConfigError(f'side_widths is {self.side_widths}; need 2 positive widths')


class Den(nn.Module):
    """One square image -> a map of 25 x 32 depths, or of whatever the loss makes of the answer.

    forward: image [B, 3, S, S] RGB in [0, 1] with S = config.input_px, squeezed to the square
    whatever its shape was -> [B, 25, 32], rows first, of no bounds, in single precision also
    within autocast. Raises ConfigError for an image of another size.

    Parameters have torchvision's names; a block that looks aside has conv1x3 and conv3x1 besides.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: DenConfig) -> None:
        """Initial weights as configured.

        Raises:
            ConfigError: no ResNet of timm's, or weights that timm cannot get.
        """
        super().__init__()
        self.config = config
        if not config.backbone.startswith('resnet') or not timm.is_model(config.backbone):
            raise ConfigError(f"backbone {config.backbone!r} is none of timm's resnet*")
        pretrained = config.pretrained is PretrainedWeights.TIMM
        try:
            net = cast(
                Any, timm.create_model(config.backbone, pretrained=pretrained, num_classes=0)
            )
        except (OSError, RuntimeError) as error:
            wanted = ' with pretrained weights' if pretrained else ''
            reason = ' '.join(str(error).split())
            raise ConfigError(
                f'timm cannot make backbone {config.backbone!r}{wanted}: {reason}'
            ) from error
        try:
            self.conv1, self.bn1, self.maxpool = net.conv1, net.bn1, net.maxpool
            for name in _STAGES:
                setattr(self, name, getattr(net, name))
        except AttributeError:
            raise ConfigError(f'backbone {config.backbone!r} is not built as a ResNet') from None
        channels = int(net.num_features)
        self._looking_aside = self._add_sides() if config.stage is DenStage.SIDES else frozenset()
        self.register_buffer('mean', torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.fc = nn.Linear(channels + self._side_values(), GRID[0] * GRID[1])
        for parameter in self.new_parameters():
            nn.init.normal_(parameter, 0.0, _NEW_PARAMETER_STD)

    def new_parameters(self) -> list[nn.Parameter]:
        """What no classifier of images brings along: side branches and the last layer."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if name.startswith('fc.') or '.conv1x3.' in name or '.conv3x1.' in name
        ]

    def forward(self, image01: Tensor) -> Tensor:
        side = self.config.input_px
        if tuple(image01.shape[-2:]) != (side, side):
            raise ConfigError(
                f'the image has {image01.shape[-1]} x {image01.shape[-2]} pixels; need '
                f'{side} x {side}'
            )
        return in_single_precision(self.fc, self._features(image01)).unflatten(1, GRID)

    def _features(self, image01: Tensor) -> Tensor:
        """What the last layer sees [B, values]: sides in the order of their blocks, the mean."""
        x = (image01 - self.mean) / self.std
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        told: list[Tensor] = []
        for name in _STAGES:
            for index, block in enumerate(cast(nn.Sequential, getattr(self, name))):
                x = block(x)
                if (name, index) in self._looking_aside:
                    first, second = block.get_submodule('conv1x3'), block.get_submodule('conv3x1')
                    aside = torch.relu(second(torch.relu(first(x))))
                    # Row by row as the names' other users have it, whatever lies in memory.
                    told.append(aside.contiguous().flatten(1))
        return torch.cat([*told, x.mean((2, 3))], 1)

    def _add_sides(self) -> frozenset[tuple[str, int]]:
        """Give the last blocks their side branches; which blocks these are."""
        looking = set()
        for name, width in zip(_STAGES[2:], self.config.side_widths):
            blocks = cast(nn.Sequential, getattr(self, name))
            count = len(blocks)
            if name == _STAGES[2]:
                count = max(1, round(_THIRD_STAGE_SHARE * count))
            for index in range(len(blocks) - count, len(blocks)):
                block = blocks[index]
                channels = _channels_of(block)
                block.conv1x3 = nn.Conv2d(channels, width, (1, 3), padding=(0, 1), bias=False)
                block.conv3x1 = nn.Conv2d(width, width, (3, 1), padding=(1, 0), bias=False)
                looking.add((name, index))
        return frozenset(looking)

    def _side_values(self) -> int:
        """How many values all side branches tell of one image."""
        total = 0
        side = self.config.input_px
        for _ in range(2):  # first convolution and pooling
            side = _halved(side)
        for stage, name in enumerate(_STAGES):
            side = side if stage == 0 else _halved(side)
            for index, block in enumerate(cast(nn.Sequential, getattr(self, name))):
                if (name, index) in self._looking_aside:
                    total += cast(nn.Conv2d, block.conv3x1).out_channels * side * side
        return total


def begin_second_stage(net: Den, first: Mapping[str, Tensor]) -> None:
    """Take over the residual network of a stage that was trained without sides.

    net: with sides, whose side branches and last layer keep their random weights. first: the
    state of the plain network. Raises ConfigError where it is of another network.
    """
    own = net.state_dict()
    taken = {name: value for name, value in first.items() if not name.startswith('fc.')}
    new = {name for name in own if name.startswith('fc.') or '.conv1x3.' in name
           or '.conv3x1.' in name}  # fmt: skip
    wrong = (own.keys() - new) ^ taken.keys()
    wrong |= {name for name in taken.keys() & own.keys() if taken[name].shape != own[name].shape}
    if wrong:
        raise ConfigError(
            f'the first stage is of another network: {", ".join(sorted(wrong)[:4])} differ'
        )
    net.load_state_dict(taken, strict=False)


def _channels_of(block: nn.Module) -> int:
    """Channels of a residual block's answer."""
    last = getattr(block, 'conv3', None) or block.conv2
    return int(cast(nn.Conv2d, last).out_channels)


def _halved(side: int) -> int:
    """After a convolution or a pooling of stride 2 that pads as its window needs."""
    return (side - 1) // 2 + 1
