"""FeatDepth's networks: published sizes and parameter counts, and what training adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from depth_ros.errors import ConfigError
from training.networks.backbones import NO_NORMALISATION, Backbone
from training.networks.build import (
    DecoderKind,
    FeatureNetConfig,
    NetworkConfig,
    build_depth_net,
    build_feature_net,
    build_frozen_features,
    build_pose_net,
)
from training.networks.featdepth_decoder import ChainedResidualPooling, RefiningDecoder
from training.networks.feature_net import FeatureDecoder

RESNET50 = (64, 256, 512, 1024, 2048)
SMALL = NetworkConfig(
    backbone='lcnet_035', decoder=DecoderKind.FEATDEPTH, decoder_width=16,
    pose_backbone='lcnet_035', pose_channels=32, pose_motions=1, pose_size=(128, 64),
)  # fmt: skip


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def sizes(tensors: list[torch.Tensor]) -> list[tuple[int, int]]:
    return [(t.shape[-2], t.shape[-1]) for t in tensors]


def test_parameter_counts_are_the_published_ones() -> None:
    fc = 2048 * 1000 + 1000
    assert count(Backbone('resnet50')) == 25_557_032 - fc
    assert count(RefiningDecoder(RESNET50, 256)) == 9_651_972
    assert count(FeatureDecoder(2048, (16, 32, 64, 128, 256))) == 5_903_420


@pytest.mark.parametrize('backbone', ['lcnet_035', 'tf_efficientnet_lite0'])
def test_sizes_are_the_published_ones(backbone: str) -> None:
    depth_net = build_depth_net(replace(SMALL, backbone=backbone)).eval()
    features = FeatureNetConfig(backbone, channels=(4, 4, 4, 4, 4))
    feature_net = build_feature_net(features).eval()
    image = images(1, 3, 320, 1024)
    with torch.no_grad():
        disparities = depth_net(image)
        encoded = feature_net.encoder(image)
        reconstructions = feature_net.decoder(encoded[-1])
    assert depth_net.finest_stride == 2
    assert sizes(disparities) == [(160, 512), (80, 256), (40, 128), (20, 64)]
    assert sizes(reconstructions) == [(320, 1024), (160, 512), (80, 256), (40, 128)]
    assert sizes(encoded)[0] == (160, 512)
    for answer in (*disparities, *reconstructions):
        assert 0 < answer.min() <= answer.max() < 1
    assert {d.shape[1] for d in disparities} == {1}
    assert {r.shape[1] for r in reconstructions} == {3}


def test_a_single_scale_is_the_same_as_among_all() -> None:
    net = build_depth_net(SMALL).eval()
    image = images(1, 3, 64, 96)
    with torch.no_grad():
        every, (finest,), (second,) = net(image), net(image, 1), net(image, 2, 1)
    torch.testing.assert_close(finest, every[0])
    torch.testing.assert_close(second, every[1])


def test_half_of_the_coarse_features_is_dropped_in_training_only() -> None:
    net = build_depth_net(SMALL).eval()
    image = images(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(net(image)[0], net(image)[0])
        net.decoder.train()
        assert not torch.equal(net(image)[0], net(image)[0])
    dropped = RefiningDecoder((8, 8, 8, 8, 8), 4).train()._drop(torch.ones(1, 8, 64, 64))
    assert float((dropped == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(dropped.max()) == 2


def test_pooling_with_zero_weights_is_the_identity() -> None:
    pool = ChainedResidualPooling(8)
    x = images(2, 8, 12, 16)
    assert not torch.equal(pool(x), x)
    for parameter in pool.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(pool(x), x)


def test_every_decoder_weight_and_no_unused_feature_takes_part() -> None:
    net = build_depth_net(SMALL)
    channels = net.encoder.channels
    features = [images(1, c, 64 >> i, 96 >> i).requires_grad_() for i, c in enumerate(channels)]
    sum(d.sum() for d in net.decoder(features, 4, 0)).backward()
    assert features[0].grad is None
    assert all(f.grad is not None and f.grad.abs().max() > 0 for f in features[1:])
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.decoder.parameters())


def test_poses_are_told_from_images_of_one_size() -> None:
    net = build_pose_net(SMALL).eval()
    earlier, later = images(1, 3, 96, 160), images(1, 3, 96, 160, seed=1)
    half = [
        nn.functional.interpolate(image, (64, 128), mode='bilinear', align_corners=False)
        for image in (earlier, later)
    ]
    with torch.no_grad():
        large, small = net(earlier, later), net(*half)
    for one, other in zip(large, small):
        assert torch.equal(one, other)
        assert one.shape == (1, 3)
    assert net.decoder.output.out_channels == 6


def test_features_see_images_as_they_are() -> None:
    net = build_feature_net(FeatureNetConfig('resnet18', channels=(4, 4, 4, 4, 4))).eval()
    assert net.encoder.normalisation == NO_NORMALISATION
    image = images(1, 3, 64, 96)
    features = net.encoder.features
    expected = torch.relu(features.bn1(features.conv1(image)))
    torch.testing.assert_close(net.matched(image), expected)


@pytest.mark.parametrize(
    'backbone', ['resnet18', 'lcnet_035', 'tf_efficientnet_lite0', 'mobilenetv2_100']
)
def test_frozen_features_are_those_of_the_whole_network_for_little_work(backbone: str) -> None:
    whole = build_feature_net(FeatureNetConfig(backbone, channels=(4, 4, 4, 4, 4)))
    whole.train()
    whole.encoder(images(4, 3, 64, 64, seed=2))
    whole.eval()
    frozen = build_frozen_features(backbone)
    state = whole.encoder.state_dict()
    frozen.encoder.load_state_dict({name: state[name] for name in frozen.encoder.state_dict()})
    frozen.train()
    image = images(1, 3, 64, 96)
    found = frozen.matched(image)
    assert not found.requires_grad
    torch.testing.assert_close(found, whole.matched(image))
    assert count(frozen) < 0.05 * count(whole)
    assert not any(p.requires_grad for p in frozen.parameters())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'decoder_width': 0}, 'decoder_width is 0'),
        ({'pose_motions': 3}, 'pose_motions is 3; need 1 or 2'),
        ({'pose_size': (100, 64)}, r'pose_size is \(100, 64\); need two multiples of 32'),
        ({'pose_size': (128, 64), 'pose_shrink': 2}, 'give one'),
    ],
)
def test_refuses_what_cannot_be_built(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**changes)
    with pytest.raises(ConfigError, match='need 5 positive widths'):
        FeatureNetConfig(channels=(1, 2))
