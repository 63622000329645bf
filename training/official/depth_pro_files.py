"""Depth Pro's official file, depth_pro.pt: a flat state dict under our own names, in half
precision, with the field-of-view head or without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from depth_ros.errors import ModelError
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.state_files import fill_strictly, read_weights_file, refuse_keys, refuse_shape

PUBLISHED = DepthProConfig()
"""The published network."""
_NETWORK, _FOV = 'encoder.patch_encoder.', 'fov.'


def is_official_file(contents: Mapping[str, Any]) -> bool:
    """Whether what was read from a file looks like a Depth Pro network."""
    return any(str(key).startswith(_NETWORK) for key in contents)


def holds_fov_head(contents: Mapping[str, Any]) -> bool:
    """Whether what was read from a file has anything of a field-of-view head."""
    return any(str(key).startswith(_FOV) for key in contents)


def read_official_depth_pro(path: Path, config: DepthProConfig = PUBLISHED) -> DepthPro:
    """The network of a file, in single precision.

    Without config.fov_head, a field-of-view head of the file is checked and left out.

    Raises ModelError: the file is damaged or lacks a head that is asked for, or its keys are
    missing, unknown or of another shape than the network's, which are named. ConfigError: as
    DepthPro does.
    """
    with torch.device('meta'):
        net = DepthPro(config)
    # A billion random numbers are not drawn only to be overwritten.
    net.to_empty(device='cpu')
    load_official_depth_pro(path, net)
    return net


def load_official_depth_pro(path: Path, net: DepthPro) -> None:
    """Fill a network from a file. Raises ModelError as read_official_depth_pro does."""
    state = read_weights_file(path, mapped=True)
    if not is_official_file(state):
        raise ModelError(f'{path} has no keys {_NETWORK}*: no file of Depth Pro')
    if net.fov is not None and not holds_fov_head(state):
        raise ModelError(
            f'{path} has no keys {_FOV}*: it tells no field of view, and the network asks for it'
        )
    if net.fov is None and holds_fov_head(state):
        _refuse_misfits(state, net.config, path)
        state = {key: value for key, value in state.items() if not key.startswith(_FOV)}
    fill_strictly(net, state, path)


def _refuse_misfits(state: Mapping[str, Any], config: DepthProConfig, path: Path) -> None:
    """Check all keys and shapes of a file with a field-of-view head."""
    with torch.device('meta'):
        expected = DepthPro(replace(config, fov_head=True)).state_dict()
    refuse_keys('lacks', expected.keys() - state.keys(), path)
    refuse_keys('has unknown', state.keys() - expected.keys(), path)
    for key, tensor in expected.items():
        refuse_shape(key, state[key], tuple(tensor.shape), path)
