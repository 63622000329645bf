"""Monodepth2's official checkpoint folders, key by key and shape by shape.

A folder holds encoder.pth and depth.pth, and pose_encoder.pth and pose.pth where a pose network
was trained. encoder.pth also says the input size and whether a stereo rig was used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_ros.errors import ModelError
from training.networks.build import NetworkConfig, build_depth_net, build_pose_net
from training.networks.depth_net import LEVELS, SCALES, DepthNet
from training.networks.pose_net import PoseNet
from training.state_files import fill_strictly, read_weights_file

ENCODER, DEPTH = 'encoder.pth', 'depth.pth'
POSE_ENCODER, POSE = 'pose_encoder.pth', 'pose.pth'
# By bottleneck blocks or not, and the number of blocks in layer3.
_RESNETS = {
    (False, 2): 'resnet18',
    (False, 6): 'resnet34',
    (True, 6): 'resnet50',
    (True, 23): 'resnet101',
    (True, 36): 'resnet152',
}
_POSE_LAYERS = ('squeeze', 'hidden_0', 'hidden_1', 'output')


@dataclass(frozen=True)
class OfficialModel:
    """An official folder as networks. stereo: trained with a stereo rig of nominal 0.1 unit."""

    depth_net: DepthNet
    pose_net: PoseNet | None
    width: int
    height: int
    stereo: bool


def read_official(folder: Path) -> OfficialModel:
    """Networks as the files describe them: ResNet depth by their keys, size by their values.

    Raises ModelError: a file is missing or damaged; keys are missing, unknown or of another
    shape than Monodepth2's, which are named.
    """
    encoder = _read(folder / ENCODER)
    height, width = (_size(encoder, side, folder / ENCODER) for side in ('height', 'width'))
    has_pose = has_official_pose(folder)
    pose_encoder = _read(folder / POSE_ENCODER) if has_pose else encoder
    config = NetworkConfig(
        backbone=_resnet_of(encoder, folder / ENCODER),
        pose_backbone=_resnet_of(pose_encoder, folder / POSE_ENCODER),
    )
    depth_net = build_depth_net(config)
    pose_net = build_pose_net(config) if has_pose else None
    load_official(folder, depth_net, pose_net)
    return OfficialModel(depth_net, pose_net, width, height, bool(encoder.get('use_stereo')))


def load_official(folder: Path, depth_net: DepthNet, pose_net: PoseNet | None) -> None:
    """Fills networks from an official folder; a pose network stays as it is where none is there.

    Raises ModelError as read_official does.
    """
    fill_strictly(depth_net.encoder.features, _encoder_state(folder / ENCODER), folder / ENCODER)
    fill_strictly(depth_net.decoder, _renamed(folder / DEPTH, depth_names()), folder / DEPTH)
    if pose_net is not None and has_official_pose(folder):
        path = folder / POSE_ENCODER
        fill_strictly(pose_net.encoder.features, _encoder_state(path), path)
        fill_strictly(pose_net.decoder, _renamed(folder / POSE, pose_names()), folder / POSE)


def depth_names() -> dict[str, str]:
    """Official prefixes of depth.pth -> prefixes of DepthDecoder, in the official order."""
    names = {}
    for j, level in enumerate(reversed(range(LEVELS))):
        names[f'decoder.{2 * j}.conv.conv.'] = f'first.{level}.conv.'
        names[f'decoder.{2 * j + 1}.conv.conv.'] = f'second.{level}.conv.'
    for scale in range(SCALES):
        names[f'decoder.{2 * LEVELS + scale}.conv.'] = f'heads.{scale}.'
    return names


def pose_names() -> dict[str, str]:
    """Official prefixes of pose.pth -> prefixes of PoseDecoder."""
    return {f'net.{j}.': f'{layer}.' for j, layer in enumerate(_POSE_LAYERS)}


def has_official_pose(folder: Path) -> bool:
    """Whether an official folder holds a pose network."""
    # With only one of the two files, the other is missed rather than both ignored.
    return (folder / POSE).is_file() or (folder / POSE_ENCODER).is_file()


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f'{path} is missing: no official Monodepth2 folder')
    return read_weights_file(path)


def _size(encoder: Mapping[str, Any], side: str, path: Path) -> int:
    value = encoder.get(side)
    if not isinstance(value, int) or value < 32 or value % 32 != 0:
        raise ModelError(f'{path}: {side} is {value!r}; need a multiple of 32')
    return value


def _resnet_of(state: Mapping[str, Any], path: Path) -> str:
    blocks = {key.split('.')[2] for key in state if key.startswith('encoder.layer3.')}
    kind = ('encoder.layer1.0.conv3.weight' in state, len(blocks))
    if kind not in _RESNETS:
        raise ModelError(f'{path} holds no ResNet encoder: {len(blocks)} blocks in layer3')
    return _RESNETS[kind]


def _encoder_state(path: Path) -> dict[str, Any]:
    """Keys of the timm backbone; without the unused classifier and the notes on size."""
    state = {}
    for key, value in _read(path).items():
        if key in ('height', 'width', 'use_stereo') or key.startswith('encoder.fc.'):
            continue
        if not key.startswith('encoder.'):
            raise ModelError(f"{path}: unknown key {key}; all begin with 'encoder.'")
        state[key.removeprefix('encoder.')] = value
    return state


def _renamed(path: Path, names: Mapping[str, str]) -> dict[str, Any]:
    state = {}
    for key, value in _read(path).items():
        prefix = key.removesuffix('weight').removesuffix('bias')
        if prefix not in names:
            raise ModelError(f'{path}: unknown key {key}')
        state[names[prefix] + key.removeprefix(prefix)] = value
    return state
