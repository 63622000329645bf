"""FeatDepth's official checkpoint files, key by key and shape by shape.

One file a model, as mmcv writes it: a dict of `meta`, `state_dict` and perhaps `optimizer`. Models
trained with the features apart hold them as `extractor`, models trained jointly as `Encoder` and
`Decoder`; the auto-encoder's own file holds these two alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from depth_ros.errors import ModelError
from training.networks.backbones import Backbone
from training.networks.build import (
    DecoderKind,
    FeatureNetConfig,
    NetworkConfig,
    build_depth_net,
    build_feature_net,
    build_pose_net,
)
from training.networks.depth_net import DepthNet
from training.networks.layers import LEVELS, SCALES
from training.networks.pose_net import PoseNet
from training.state_files import fill_strictly, read_weights_file, refuse_keys, refuse_shape

STATE = 'state_dict'
PUBLISHED = NetworkConfig(
    backbone='resnet50', decoder=DecoderKind.FEATDEPTH, pose_backbone='resnet18',
    pose_motions=1, pose_size=(640, 192),
)  # fmt: skip
"""The published depth and pose network."""
_DEPTH, _POSE = ('DepthEncoder.', 'DepthDecoder.'), ('PoseEncoder.', 'PoseDecoder.')
_SEPARATE_FEATURES, _JOINT_FEATURES = ('extractor.',), ('Encoder.', 'Decoder.')
_PARTS = (*_DEPTH, *_POSE, *_SEPARATE_FEATURES, *_JOINT_FEATURES)
_MODELS = ({*_DEPTH, *_POSE, *_SEPARATE_FEATURES}, {*_DEPTH, *_POSE, *_JOINT_FEATURES})
_CLASSES = 1000
_POOLS = 4


@dataclass(frozen=True)
class OfficialFeatDepth:
    """An official model as networks."""

    depth_net: DepthNet
    pose_net: PoseNet


def is_official_file(contents: Mapping[str, Any]) -> bool:
    """Whether what was read from a file looks like mmcv's dict of a FeatDepth model."""
    state = contents.get(STATE)
    return isinstance(state, Mapping) and any(str(key).startswith(_PARTS) for key in state)


def read_official_featdepth(path: Path) -> OfficialFeatDepth:
    """The networks of a model file, whose features are checked too.

    Raises ModelError: the file is damaged, is the auto-encoder's, or its keys are missing,
    unknown or of another shape than FeatDepth's, which are named.
    """
    parts = _model_parts(path)
    _features_of(parts, path)
    model = OfficialFeatDepth(build_depth_net(PUBLISHED), build_pose_net(PUBLISHED))
    _fill(model.depth_net, parts, _DEPTH, depth_names(), path)
    _fill(model.pose_net, parts, _POSE, pose_names(), path)
    return model


def load_official_featdepth(path: Path, depth_net: DepthNet, pose_net: PoseNet | None) -> None:
    """Fill the published networks from a model file. Raises as read_official_featdepth."""
    parts = _model_parts(path)
    _fill(depth_net, parts, _DEPTH, depth_names(), path)
    if pose_net is not None:
        _fill(pose_net, parts, _POSE, pose_names(), path)


def read_official_features(contents: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Weights of a file's FeatureNet under our names; of separate models its encoder alone.

    Raises ModelError as read_official_featdepth does, but takes the auto-encoder's file.
    """
    parts = _parts_of(contents, path)
    if parts.keys() not in (*_MODELS, {*_JOINT_FEATURES}):
        raise _other_parts(parts, path)
    return _features_of(parts, path)


def depth_names() -> dict[str, str]:
    """Official prefixes below DepthDecoder -> prefixes of RefiningDecoder."""
    names = {}
    for level in range(SCALES):
        ours = f'levels.{level}.'
        names[f'reduce{level + 1}.conv.'] = f'{ours}reduce.'
        names[f'iconv{level + 1}.conv.'] = f'{ours}blend.'
        names[f'merge{level + 1}.conv.'] = f'{ours}merge.'
        names[f'disp{level + 1}.0.conv.'] = f'{ours}head.'
        for i in range(_POOLS):
            names[f'crp{level + 1}.0.{i + 1}_pointwise.conv.'] = f'{ours}pool.mix.{i}.'
    return names


def pose_names() -> dict[str, str]:
    """Official prefixes below PoseDecoder -> prefixes of PoseDecoder."""
    return {
        'reduce.': 'squeeze.', 'conv1.': 'hidden_0.', 'conv2.': 'hidden_1.', 'conv3.': 'output.',
    }  # fmt: skip


def feature_names() -> dict[str, str]:
    """Official prefixes below Decoder -> prefixes of FeatureDecoder."""
    names = {}
    for level in range(LEVELS):
        names[f'upconv{level + 1}.conv.conv.'] = f'first.{level}.conv.'
        names[f'iconv{level + 1}.conv.conv.'] = f'second.{level}.conv.'
    return names | {f'disp{level + 1}.conv.': f'heads.{level}.' for level in range(SCALES)}


def _model_parts(path: Path) -> dict[str, dict[str, Any]]:
    contents = read_weights_file(path)
    parts = _parts_of(contents, path)
    if parts.keys() == {*_JOINT_FEATURES}:
        raise ModelError(
            f'{path} is the auto-encoder, no model of depth; give it to a training as '
            'features.init'
        )
    if parts.keys() not in _MODELS:
        raise _other_parts(parts, path)
    return parts


def _parts_of(contents: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Tensors of each network under their names within it."""
    state = contents.get(STATE)
    if not isinstance(state, Mapping):
        raise ModelError(f'{path} has no {STATE}: no file of FeatDepth')
    parts: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        part = next((part for part in _PARTS if str(key).startswith(part)), None)
        if part is None:
            raise ModelError(f'{path}: unknown key {key}; they begin with {", ".join(_PARTS)}')
        parts.setdefault(part, {})[key.removeprefix(part)] = value
    return parts


def _other_parts(parts: Mapping[str, Any], path: Path) -> ModelError:
    found = ', '.join(part for part in _PARTS if part in parts) or 'nothing'
    return ModelError(f'{path} holds {found}: not the networks of a FeatDepth model')


def _features_of(parts: Mapping[str, Mapping[str, Any]], path: Path) -> dict[str, Tensor]:
    net = build_feature_net(FeatureNetConfig())
    encoder = _SEPARATE_FEATURES[0] if _SEPARATE_FEATURES[0] in parts else _JOINT_FEATURES[0]
    _fill_encoder(net.encoder, parts[encoder], path)
    if encoder in _SEPARATE_FEATURES:
        return {f'encoder.{name}': value for name, value in net.encoder.state_dict().items()}
    decoder = _renamed(parts[_JOINT_FEATURES[1]], feature_names(), path)
    fill_strictly(net.decoder, decoder, path)
    return net.state_dict()


def _fill(
    net: DepthNet | PoseNet,
    parts: Mapping[str, Mapping[str, Any]],
    prefixes: tuple[str, str],
    names: Mapping[str, str],
    path: Path,
) -> None:
    encoder, decoder = prefixes
    _fill_encoder(net.encoder, parts[encoder], path)
    fill_strictly(net.decoder, _renamed(parts[decoder], names, path), path)


def _fill_encoder(encoder: Backbone, state: Mapping[str, Any], path: Path) -> None:
    """A torchvision ResNet, whose unused classifier is checked and left out."""
    own = {f'features.{key.removeprefix("encoder.")}': value for key, value in state.items()}
    classifier = {name: own.pop(f'features.fc.{name}', None) for name in ('weight', 'bias')}
    refuse_keys('lacks', (f'fc.{n}' for n, v in classifier.items() if v is None), path)
    refuse_shape('fc.weight', classifier['weight'], (_CLASSES, encoder.channels[-1]), path)
    refuse_shape('fc.bias', classifier['bias'], (_CLASSES,), path)
    fill_strictly(encoder, own, path)


def _renamed(state: Mapping[str, Any], names: Mapping[str, str], path: Path) -> dict[str, Any]:
    renamed = {}
    for key, value in state.items():
        prefix = key.removesuffix('weight').removesuffix('bias')
        if prefix not in names:
            raise ModelError(f'{path}: unknown key {key}')
        renamed[names[prefix] + key.removeprefix(prefix)] = value
    return renamed
