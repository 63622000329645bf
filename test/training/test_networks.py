"""Networks: sizes, ranges and parameter counts as published, and every timm backbone alike."""

from __future__ import annotations

import pytest
import torch
from monodepth2_reference import Official
from torch import nn

from depth_ros.errors import ConfigError
from training.networks.backbones import Backbone, PretrainedWeights, widen_input_filter
from training.networks.build import NetworkConfig, build_depth_net, build_pose_net
from training.networks.monodepth2_decoder import DepthDecoder
from training.networks.pose_net import PoseDecoder
from training.official.monodepth2_files import load_official

SMALL = NetworkConfig(
    backbone='tf_efficientnet_lite0',
    pretrained=PretrainedWeights.LITE0_PACKAGE,
    decoder_channels=(16, 24, 40, 80, 160),
    pose_backbone='tf_efficientnet_lite0',
    pose_channels=128,
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def patches(seed: int) -> torch.Tensor:
    """Two images of large patches, to which random networks respond more than to noise."""
    return images(2, 3, 4, 6, seed=seed).repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.mark.parametrize('backbone', ['resnet18', 'tf_efficientnet_lite0', 'mobilenetv2_100'])
def test_disparities_have_the_published_sizes_and_range(backbone: str) -> None:
    net = build_depth_net(NetworkConfig(backbone=backbone)).eval()
    with torch.no_grad():
        disparities = net(images(1, 3, 96, 160))
    assert [tuple(d.shape) for d in disparities] == [
        (1, 1, 96, 160), (1, 1, 48, 80), (1, 1, 24, 40), (1, 1, 12, 20),
    ]  # fmt: skip
    for disparity in disparities:
        assert disparity.min() > 0
        assert disparity.max() < 1


def test_weights_that_cannot_be_had_are_not_told_as_missing_feature_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError('cannot find the file\non the Hub')

    monkeypatch.setattr('training.networks.backbones.timm.create_model', offline)
    expected = 'with feature maps and pretrained weights: cannot find the file on the Hub'
    with pytest.raises(ConfigError, match=expected):
        Backbone('resnet18', pretrained=True)


def test_a_single_scale_is_the_same_as_among_all() -> None:
    net = build_depth_net(NetworkConfig()).eval()
    image = images(1, 3, 64, 96)
    with torch.no_grad():
        every = net(image)
        (finest,) = net(image, 1)
        (half,) = net(image, 2, 1)
    torch.testing.assert_close(finest, every[0])
    torch.testing.assert_close(half, every[1])


def test_parameter_counts_are_the_published_ones() -> None:
    fc = 512 * 1000 + 1000
    assert count(Backbone('resnet18')) == 11_689_512 - fc
    assert count(DepthDecoder((64, 64, 128, 256, 512), (16, 32, 64, 128, 256))) == 3_152_724
    assert count(DepthDecoder((64, 256, 512, 1024, 2048), (16, 32, 64, 128, 256))) == 9_014_100
    assert count(PoseDecoder(512, 256)) == 1_314_572


def test_the_small_model_fits_its_32_megabytes() -> None:
    assert 4 * (count(build_depth_net(SMALL)) + count(build_pose_net(SMALL))) < 30e6


@pytest.mark.parametrize('layers', [18, 50])
def test_answers_equal_a_second_implementation(layers: int, tmp_path) -> None:
    official = Official(layers, seed=layers)
    folder = official.save(tmp_path, width=96, height=64, stereo=False)
    config = NetworkConfig(backbone=f'resnet{layers}', pose_backbone=f'resnet{layers}')
    depth_net, pose_net = build_depth_net(config).eval(), build_pose_net(config).eval()
    load_official(folder, depth_net, pose_net)
    earlier, later = patches(0), patches(1)
    with torch.no_grad():
        disparities = depth_net(earlier)
        motion = torch.cat(pose_net(earlier, later), dim=1)
    for ours, theirs in zip(disparities, official.disparities(earlier)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    expected = official.motion(earlier, later)
    assert not torch.allclose(expected, official.motion(later, earlier), rtol=0.02)
    torch.testing.assert_close(motion, expected, rtol=1e-3, atol=1e-7)


def test_equal_images_answer_like_one() -> None:
    """A backbone of several images starts as the pretrained one."""
    one, two = Backbone(SMALL.backbone), Backbone(SMALL.backbone, images=2)
    state = dict(one.features.state_dict())
    state['conv_stem.weight'] = widen_input_filter(state['conv_stem.weight'], 2)
    two.features.load_state_dict(state)
    image = images(1, 3, 64, 64)
    one.eval(), two.eval()
    with torch.no_grad():
        for single, double in zip(one(image), two(torch.cat([image, image], 1))):
            torch.testing.assert_close(double, single, rtol=1e-3, atol=1e-4)


def test_package_weights_are_trained_ones_in_both_networks() -> None:
    depth_net, pose_net = build_depth_net(SMALL), build_pose_net(SMALL)
    depth, pose = depth_net.encoder.features.state_dict(), pose_net.encoder.features.state_dict()
    assert depth.keys() == pose.keys()
    stem = depth.pop('conv_stem.weight')
    torch.testing.assert_close(pose.pop('conv_stem.weight'), torch.cat([stem, stem], 1) / 2)
    for name, value in depth.items():
        assert torch.equal(value, pose[name]), name
    # Random initialisation has unit variances and zero means throughout.
    assert depth['bn1.running_var'].std() > 0.1
    assert depth['blocks.6.0.bn3.running_mean'].abs().mean() > 0.01
    again = build_depth_net(SMALL).encoder.features.state_dict()
    assert all(torch.equal(again[name], value) for name, value in depth.items())


def test_trained_normalisation_lets_activations_through_in_proportion() -> None:
    """With input scaled as in its training, the first batch norm sees what it remembers."""
    backbone = build_depth_net(SMALL).encoder.eval()
    smooth = torch.nn.functional.interpolate(images(4, 3, 12, 12), (192, 192), mode='bicubic')
    seen: list[torch.Tensor] = []
    backbone.features.conv_stem.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        backbone(smooth.clamp(0, 1))
    bn = backbone.features.bn1
    bright = seen[0].pow(2).mean() / (bn.running_var + bn.running_mean**2).mean()
    assert 0.1 < bright < 10


def test_motion_keeps_single_precision_in_a_half_network() -> None:
    net = build_pose_net(NetworkConfig()).eval().to(torch.bfloat16)
    image = images(1, 3, 64, 64).to(torch.bfloat16)
    with torch.no_grad():
        axis_angle, translation = net(image, image)
    assert axis_angle.dtype == translation.dtype == torch.float32


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'backbone': 'no_such_net'}, "'no_such_net' is not known"),
        ({'backbone': 'convnext_atto'}, r'strides \(4, 8, 16, 32\); need \(2, 4, 8, 16, 32\)'),
        ({'decoder_channels': (16, 32)}, 'need 5 positive widths'),
        ({'decoder_channels': (16, 32, 64, 128, 0)}, 'need 5 positive widths'),
        ({'pose_channels': 0}, 'pose_channels is 0'),
        ({'min_depth': 2.0, 'max_depth': 1.0}, '2.0 to 1.0'),
        ({'pretrained': PretrainedWeights.LITE0_PACKAGE}, "not 'resnet18'"),
    ],
)
def test_refuses_what_cannot_be_built(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_depth_net(NetworkConfig(**changes))
