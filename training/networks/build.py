"""The one place where networks are made from a configuration."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from depth_ros.errors import ConfigError
from training.networks.backbones import Backbone, PretrainedWeights
from training.networks.depth_net import LEVELS, DepthNet
from training.networks.pose_net import PoseNet
from training.networks.pretrained import load_lite0_package

Net = TypeVar('Net', bound=nn.Module)


@dataclass(frozen=True)
class NetworkConfig:
    """What a depth network and its pose network are made of.

    decoder_channels: widths of the depth decoder, finest level first. pose_channels: hidden
    width of the pose decoder. pose_shrink: the pose network sees images of 1 / so much the
    size; a larger part of a motion is then within reach of its filters, for a fraction of the
    work. pose_pretrained: initial weights of the pose backbone; None: as pretrained.
    min_depth, max_depth: range of the depth network in its unit.
    The defaults are Monodepth2's published networks with random weights.
    """

    backbone: str = 'resnet18'
    pretrained: PretrainedWeights = PretrainedWeights.NONE
    decoder_channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    pose_backbone: str = 'resnet18'
    pose_pretrained: PretrainedWeights | None = None
    pose_channels: int = 256
    pose_shrink: int = 1
    min_depth: float = 0.1
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        if len(self.decoder_channels) != LEVELS or min(self.decoder_channels) < 1:
            raise ConfigError(
                f'decoder_channels is {self.decoder_channels}; need {LEVELS} positive widths'
            )
        if self.pose_channels < 1:
            raise ConfigError(f'pose_channels is {self.pose_channels}; need a positive width')
        if self.pose_shrink < 1:
            raise ConfigError(f'pose_shrink is {self.pose_shrink}; need 1 or more')
        if not 0.0 < self.min_depth < self.max_depth:
            raise ConfigError(
                f'depth range is {self.min_depth} to {self.max_depth}; need 0 < min < max'
            )


def build_depth_net(config: NetworkConfig) -> DepthNet:
    """The depth network of a configuration, its backbone initialised as configured."""
    backbone = _build_backbone(config.backbone, 1, config.pretrained)
    return _channels_last(DepthNet(backbone, config.decoder_channels))


def build_pose_net(config: NetworkConfig) -> PoseNet:
    """The pose network of a configuration, its backbone initialised as configured."""
    weights = config.pretrained if config.pose_pretrained is None else config.pose_pretrained
    backbone = _build_backbone(config.pose_backbone, 2, weights)
    return _channels_last(PoseNet(backbone, config.pose_channels, config.pose_shrink))


def _channels_last(net: Net) -> Net:
    # A third less time in a training step on CPU, and what tensor cores want.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _build_backbone(name: str, images: int, weights: PretrainedWeights) -> Backbone:
    backbone = Backbone(name, images, pretrained=weights is PretrainedWeights.TIMM)
    if weights is PretrainedWeights.LITE0_PACKAGE:
        load_lite0_package(backbone)
    return backbone
