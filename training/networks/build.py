"""The one place where networks are made from a configuration."""

import enum
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from depth_ros.errors import ConfigError
from training.networks.backbones import (
    NO_NORMALISATION,
    Backbone,
    Normalisation,
    PretrainedWeights,
)
from training.networks.depth_net import DepthNet
from training.networks.featdepth_decoder import RefiningDecoder
from training.networks.feature_net import FeatureNet, FrozenFeatures
from training.networks.layers import LEVELS
from training.networks.monodepth2_decoder import DepthDecoder
from training.networks.pose_net import PoseNet
from training.networks.pretrained import load_lite0_package

Net = TypeVar('Net', bound=nn.Module)


class DecoderKind(enum.Enum):
    """Whose depth decoder it is."""

    MONODEPTH2 = 'monodepth2'
    """Skip connections; the finest disparity has the size of the image."""
    FEATDEPTH = 'featdepth'
    """Chained residual pooling; the finest disparity has half the size of the image."""


@dataclass(frozen=True)
class NetworkConfig:
    """What a depth network and its pose network are made of.

    decoder: kind of the depth decoder. decoder_channels: widths of Monodepth2's, finest level
    first. decoder_width: the one width of FeatDepth's. pose_channels: hidden width of the pose
    decoder. pose_motions: motions that it states, of which the first is used: 2 in Monodepth2's
    published weights, 1 in FeatDepth's. pose_shrink: the pose network sees images of 1 / so much
    the size; a larger part of a motion is then within reach of its filters, for a fraction of
    the work. pose_size: (width, height) that the pose network's images are resized to instead;
    None: as pose_shrink says. pose_pretrained: initial weights of the pose backbone; None: as
    pretrained. min_depth, max_depth: range of the depth network in its unit.
    The defaults are Monodepth2's published networks with random weights.
    """

    backbone: str = 'resnet18'
    pretrained: PretrainedWeights = PretrainedWeights.NONE
    decoder: DecoderKind = DecoderKind.MONODEPTH2
    decoder_channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    decoder_width: int = 256
    pose_backbone: str = 'resnet18'
    pose_pretrained: PretrainedWeights | None = None
    pose_channels: int = 256
    pose_motions: int = 2
    pose_shrink: int = 1
    pose_size: tuple[int, int] | None = None
    min_depth: float = 0.1
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        if len(self.decoder_channels) != LEVELS or min(self.decoder_channels) < 1:
            raise ConfigError(
                f'decoder_channels is {self.decoder_channels}; need {LEVELS} positive widths'
            )
        for name in ('decoder_width', 'pose_channels'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)}; need a positive width')
        if self.pose_motions not in (1, 2):
            raise ConfigError(f'pose_motions is {self.pose_motions}; need 1 or 2')
        self._check_pose_size()
        if self.pose_shrink < 1:
            raise ConfigError(f'pose_shrink is {self.pose_shrink}; need 1 or more')
        if not 0.0 < self.min_depth < self.max_depth:
            raise ConfigError(
                f'depth range is {self.min_depth} to {self.max_depth}; need 0 < min < max'
            )

    @property
    def finest_stride(self) -> int:
        """Pixels of the image, in each direction, to one of the finest disparity."""
        featdepth = self.decoder is DecoderKind.FEATDEPTH
        return RefiningDecoder.finest_stride if featdepth else DepthDecoder.finest_stride

    def _check_pose_size(self) -> None:
        if self.pose_size is None:
            return
        if self.pose_shrink != 1:
            raise ConfigError(
                f'pose_size is {self.pose_size} and pose_shrink {self.pose_shrink}; give one'
            )
        if any(side < 32 or side % 32 for side in self.pose_size):
            raise ConfigError(f'pose_size is {self.pose_size}; need two multiples of 32')


@dataclass(frozen=True)
class FeatureNetConfig:
    """What a FeatureNet is made of: channels are widths of its decoder, finest level first.

    The defaults are FeatDepth's published network with random weights.
    """

    backbone: str = 'resnet50'
    pretrained: PretrainedWeights = PretrainedWeights.NONE
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)

    def __post_init__(self) -> None:
        if len(self.channels) != LEVELS or min(self.channels) < 1:
            raise ConfigError(f'channels is {self.channels}; need {LEVELS} positive widths')


def build_depth_net(config: NetworkConfig) -> DepthNet:
    """The depth network of a configuration, its backbone initialised as configured."""
    backbone = _build_backbone(config.backbone, 1, config.pretrained)
    decoder: DepthDecoder | RefiningDecoder
    if config.decoder is DecoderKind.FEATDEPTH:
        decoder = RefiningDecoder(backbone.channels, config.decoder_width)
    else:
        decoder = DepthDecoder(backbone.channels, config.decoder_channels)
    return _channels_last(DepthNet(backbone, decoder))


def build_pose_net(config: NetworkConfig) -> PoseNet:
    """The pose network of a configuration, its backbone initialised as configured."""
    weights = config.pretrained if config.pose_pretrained is None else config.pose_pretrained
    backbone = _build_backbone(config.pose_backbone, 2, weights)
    net = PoseNet(
        backbone, config.pose_channels, config.pose_motions, config.pose_shrink, config.pose_size
    )
    return _channels_last(net)


def build_feature_net(config: FeatureNetConfig) -> FeatureNet:
    """The auto-encoder of a configuration, its backbone initialised as configured."""
    backbone = _build_backbone(config.backbone, 1, config.pretrained, NO_NORMALISATION)
    return _channels_last(FeatureNet(backbone, config.channels))


def build_frozen_features(backbone: str) -> FrozenFeatures:
    """What is left of a FeatureNet over this backbone when its features are only matched."""
    return _channels_last(
        FrozenFeatures(Backbone(backbone, normalisation=NO_NORMALISATION, stages=1))
    )


def _channels_last(net: Net) -> Net:
    # A third less time in a training step on CPU, and what tensor cores want.
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _build_backbone(
    name: str, images: int, weights: PretrainedWeights, normalisation: Normalisation | None = None
) -> Backbone:
    backbone = Backbone(name, images, weights is PretrainedWeights.TIMM, normalisation)
    if weights is PretrainedWeights.LITE0_PACKAGE:
        load_lite0_package(backbone)
    return backbone
