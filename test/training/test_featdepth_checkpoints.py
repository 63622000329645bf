"""Official FeatDepth files: every key and shape, and one clear line for what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from featdepth_reference import Official
from torch.nn import functional

from depth_ros.errors import ModelError
from training.feature_phase import load_features, read_features
from training.initial import load_official_featdepth
from training.networks.build import (
    FeatureNetConfig,
    NetworkConfig,
    build_depth_net,
    build_feature_net,
    build_frozen_features,
)
from training.official.featdepth_files import read_official_featdepth
from training.state_files import read_weights_file

KEYS = {'separate': 814, 'joint': 842, 'autoencoder': 348}


@pytest.fixture(scope='module')
def official() -> dict[str, Official]:
    return {kind: Official(kind, seed) for seed, kind in enumerate(KEYS)}


@pytest.fixture(scope='module')
def files(official: dict[str, Official], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('official')
    for kind, model in official.items():
        model.save(folder / f'{kind}.pth')
    return folder


def image(seed: int = 0) -> torch.Tensor:
    patches = torch.rand((1, 3, 4, 6), generator=torch.Generator().manual_seed(seed))
    return patches.repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.mark.parametrize(('kind', 'count'), KEYS.items())
def test_files_have_the_published_numbers_of_keys(
    official: dict[str, Official], kind: str, count: int
) -> None:
    assert len(official[kind].state_dict()) == count


@pytest.mark.parametrize('kind', ['separate', 'joint'])
def test_answers_equal_a_second_implementation(
    official: dict[str, Official], files: Path, kind: str
) -> None:
    theirs, ours = official[kind], read_official_featdepth(files / f'{kind}.pth')
    ours.depth_net.eval(), ours.pose_net.eval()
    earlier, later = image(0), image(1)
    with torch.no_grad():
        disparities = ours.depth_net(earlier)
        motion = torch.cat(ours.pose_net(earlier, later), dim=1)
    for one, other in zip(disparities, theirs.disparities(earlier)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(motion, theirs.motion(earlier, later), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('kind', KEYS)
def test_features_of_every_file_can_be_matched(
    official: dict[str, Official], files: Path, kind: str
) -> None:
    weights = read_features(files / f'{kind}.pth')
    frozen = build_frozen_features('resnet50')
    load_features(frozen, weights)
    theirs = official[kind].extractor if kind == 'separate' else official[kind].Encoder
    with torch.no_grad():
        torch.testing.assert_close(frozen.matched(image()), theirs(image())[0])


def test_the_auto_encoder_reconstructs_as_a_second_implementation(
    official: dict[str, Official], files: Path
) -> None:
    net = build_feature_net(FeatureNetConfig()).eval()
    load_features(net, read_features(files / 'autoencoder.pth'))
    theirs = official['autoencoder']
    with torch.no_grad():
        encoded = net.encoder(image())
        expected = theirs.Decoder(theirs.Encoder(image())[4])
        for one, other in zip(net.decoder(encoded[-1]), expected):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match=r'separate\.pth lacks keys decoder'):
        load_features(net, read_features(files / 'separate.pth'))


def test_the_auto_encoder_is_no_model(files: Path) -> None:
    with pytest.raises(ModelError, match=r'is the auto-encoder, no model .*features\.init'):
        read_official_featdepth(files / 'autoencoder.pth')


def test_other_networks_than_the_published_ones_are_refused(files: Path) -> None:
    with pytest.raises(ModelError, match=r'joint\.pth.* is \(1000, 2048\); need \(1000, 512\)'):
        load_official_featdepth(files / 'joint.pth', build_depth_net(NetworkConfig()), None)


def drop(key: str) -> Callable[[dict], object]:
    return lambda state: state.pop(key)


def put(key: str, value: object) -> Callable[[dict], object]:
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop('DepthDecoder.crp2.0.3_pointwise.conv.weight'),
         r'lacks keys levels\.1\.pool\.mix\.2\.weight'),
        (drop('DepthEncoder.encoder.fc.bias'), r'lacks keys fc\.bias'),
        (drop('extractor.encoder.layer4.2.bn3.running_var'), r'lacks keys features\.layer4'),
        (put('PoseDecoder.conv3.weight', torch.zeros(12, 256, 1, 1)),
         r'output\.weight is \(12, 256, 1, 1\); need \(6, 256, 1, 1\)'),
        (put('DepthEncoder.encoder.fc.weight', torch.zeros(10, 2048)),
         r'fc\.weight is \(10, 2048\); need \(1000, 2048\)'),
        (put('PoseEncoder.encoder.conv1.weight', torch.zeros(64, 3, 7, 7)),
         r'need \(64, 6, 7, 7\)'),
        (put('DepthDecoder.disp5.0.conv.bias', torch.zeros(1)), 'unknown key disp5'),
        (put('module.conv.weight', torch.zeros(1)), r'unknown key module\.conv\.weight; they'),
        (lambda state: [state.pop(k) for k in list(state) if k.startswith('Pose')],
         r'holds DepthEncoder\., DepthDecoder\., extractor\.: not the networks'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    official: dict[str, Official], tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    state = official['separate'].state_dict()
    change(state)
    torch.save({'meta': {}, 'state_dict': state}, tmp_path / 'edited.pth')
    with pytest.raises(ModelError, match=message):
        read_official_featdepth(tmp_path / 'edited.pth')


class Surprise:
    """What a pickle could hold: an object of a class."""


def test_files_that_could_run_code_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({'meta': {'config': Surprise()}, 'state_dict': {}}, tmp_path / 'object.pth')
    with pytest.raises(ModelError, match=r'holds a .*Surprise beside its weights') as caught:
        read_official_featdepth(tmp_path / 'object.pth')
    assert '\n' not in str(caught.value)


def test_old_files_and_optimisers_are_read(official: dict[str, Official], tmp_path: Path) -> None:
    """mmcv of that time wrote torch's older format, and could add the optimiser."""
    head = official['joint'].DepthDecoder
    optimiser = torch.optim.Adam(head.parameters()).state_dict()
    file = {'meta': {'time': 'now'}, 'state_dict': head.state_dict(), 'optimizer': optimiser}
    torch.save(file, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    contents = read_weights_file(tmp_path / 'old.pth')
    assert len(contents['state_dict']) == 44


@pytest.mark.parametrize('damage', ['missing', 'truncated', 'text', 'list', 'flat'])
def test_damaged_files_are_named(files: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / 'file.pth'
    if damage == 'truncated':
        path.write_bytes((files / 'joint.pth').read_bytes()[:1000])
    elif damage == 'text':
        path.write_text('<html>not found</html>')
    elif damage != 'missing':
        torch.save([1] if damage == 'list' else {'conv.weight': torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r'file\.pth') as caught:
        read_official_featdepth(path)
    assert '\n' not in str(caught.value)


def test_poses_come_from_the_published_size(official: dict[str, Official], files: Path) -> None:
    net = read_official_featdepth(files / 'separate.pth').pose_net.eval()
    large = [functional.interpolate(image(seed), (320, 1024)) for seed in (0, 1)]
    small = [functional.interpolate(each, (192, 640), mode='bilinear') for each in large]
    with torch.no_grad():
        for one, other in zip(net(*large), net(*small)):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
