"""Official Monodepth2 folders: every key and shape, and one clear line for what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monodepth2_reference import Official

from depth_ros.errors import ModelError
from training.networks.build import NetworkConfig, build_depth_net, build_pose_net
from training.official.monodepth2_files import (
    depth_names,
    load_official,
    pose_names,
    read_official,
)

SHAPES_R18 = {
    0: (256, 512), 1: (256, 512), 2: (128, 256), 3: (128, 256), 4: (64, 128), 5: (64, 128),
    6: (32, 64), 7: (32, 96), 8: (16, 32), 9: (16, 16), 10: (1, 16), 11: (1, 32), 12: (1, 64),
    13: (1, 128),
}  # fmt: skip


@pytest.fixture(scope='module')
def official() -> Official:
    return Official(18)


@pytest.fixture
def folder(official: Official, tmp_path: Path) -> Path:
    return official.save(tmp_path / 'official', width=96, height=64, stereo=True)


def edit(path: Path, change: Callable[[dict], object]) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_decoder_tensors_have_the_published_names_and_shapes() -> None:
    decoder = build_depth_net(NetworkConfig()).decoder.state_dict()
    found = {}
    for official_prefix, prefix in depth_names().items():
        j = int(official_prefix.split('.')[1])
        weight, bias = decoder.pop(f'{prefix}weight'), decoder.pop(f'{prefix}bias')
        assert weight.shape[2:] == (3, 3)
        assert bias.shape == weight.shape[:1]
        found[j] = tuple(weight.shape[:2])
        assert official_prefix.endswith('.conv.conv.' if j < 10 else f'{j}.conv.')
    assert found == SHAPES_R18
    assert not decoder


def test_pose_tensors_have_the_published_names_and_shapes() -> None:
    decoder = build_pose_net(NetworkConfig()).decoder.state_dict()
    shapes = {key: tuple(decoder[f'{ours}weight'].shape) for key, ours in pose_names().items()}
    assert shapes == {
        'net.0.': (256, 512, 1, 1), 'net.1.': (256, 256, 3, 3), 'net.2.': (256, 256, 3, 3),
        'net.3.': (12, 256, 1, 1),
    }  # fmt: skip


@pytest.mark.parametrize('layers', [18, 34, 50])
def test_resnet_size_and_input_are_read_from_the_files(layers: int, tmp_path: Path) -> None:
    saved = Official(layers, pose=False).save(tmp_path, width=416, height=128, stereo=layers == 50)
    model = read_official(saved)
    assert model.depth_net.encoder.name == f'resnet{layers}'
    assert (model.width, model.height, model.stereo) == (416, 128, layers == 50)
    assert model.pose_net is None


def test_folder_with_a_pose_network(folder: Path) -> None:
    model = read_official(folder)
    assert model.stereo
    assert model.pose_net is not None
    assert model.pose_net.encoder.images == 2


def test_files_without_step_counters_load(folder: Path) -> None:
    for name in ('encoder.pth', 'pose_encoder.pth'):
        edit(folder / name, lambda state: [
            state.pop(key) for key in list(state) if key.endswith('num_batches_tracked')
        ])  # fmt: skip
    assert read_official(folder).width == 96


def test_training_leftovers_are_ignored(folder: Path) -> None:
    torch.save({'state': {}}, folder / 'adam.pth')
    assert read_official(folder).height == 64


def test_pose_network_stays_as_it_is_where_the_folder_has_none(folder: Path) -> None:
    (folder / 'pose.pth').unlink()
    (folder / 'pose_encoder.pth').unlink()
    depth_net, pose_net = build_depth_net(NetworkConfig()), build_pose_net(NetworkConfig())
    before = pose_net.decoder.squeeze.weight.clone()
    load_official(folder, depth_net, pose_net)
    assert torch.equal(pose_net.decoder.squeeze.weight, before)


def drop(key: str) -> Callable[[dict], object]:
    return lambda state: state.pop(key)


def put(key: str, value: object) -> Callable[[dict], object]:
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('encoder.pth', drop('encoder.layer2.0.downsample.0.weight'),
         r'encoder\.pth lacks keys layer2\.0\.downsample\.0\.weight'),
        ('encoder.pth', put('encoder.extra', torch.zeros(1)), 'has unknown keys extra'),
        ('encoder.pth', put('optimizer', torch.zeros(1)), 'unknown key optimizer'),
        ('encoder.pth', put('encoder.conv1.weight', torch.zeros(64, 1, 7, 7)),
         r'conv1\.weight is \(64, 1, 7, 7\); need \(64, 3, 7, 7\)'),
        ('encoder.pth', drop('height'), 'height is None'),
        ('encoder.pth', put('width', 100), 'width is 100; need a multiple of 32'),
        ('depth.pth', drop('decoder.13.conv.bias'), r'depth\.pth lacks keys heads\.3\.bias'),
        ('depth.pth', put('decoder.14.conv.weight', torch.zeros(1)),
         r'unknown key decoder\.14\.conv\.weight'),
        ('pose_encoder.pth', put('encoder.conv1.weight', torch.zeros(64, 3, 7, 7)),
         r'need \(64, 6, 7, 7\)'),
        ('pose.pth', put('net.3.weight', torch.zeros(6, 256, 1, 1)),
         r'pose\.pth: output\.weight is \(6, 256, 1, 1\); need \(12, 256, 1, 1\)'),
        ('pose.pth', put('net.0.bias', 'text'), 'is str'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    folder: Path, name: str, change: Callable[[dict], object], message: str
) -> None:
    edit(folder / name, change)
    with pytest.raises(ModelError, match=message):
        read_official(folder)


def test_long_lists_of_keys_are_cut(folder: Path) -> None:
    edit(folder / 'depth.pth', lambda state: [state.pop(key) for key in list(state)[:8]])
    with pytest.raises(ModelError, match=r'and 4 more$'):
        read_official(folder)


@pytest.mark.parametrize('name', ['encoder.pth', 'depth.pth', 'pose.pth', 'pose_encoder.pth'])
@pytest.mark.parametrize('damage', ['missing', 'truncated', 'text', 'list'])
def test_damaged_files_are_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == 'missing':
        path.unlink()
    elif damage == 'truncated':
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == 'text':
        path.write_text('<html>not found</html>')
    else:
        torch.save([1, 2], path)
    with pytest.raises(ModelError, match=name):
        read_official(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match='is missing: no official Monodepth2 folder'):
        read_official(tmp_path / 'nothing')
