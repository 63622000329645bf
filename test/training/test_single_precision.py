"""Answers within bfloat16 autocast: in single precision, as smooth as without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_networks import CONFIG as TINY
from torch import Tensor, nn
from torch.nn import functional

from training.config import FeaturesConfig
from training.losses.smoothness import EdgeAwareSmoothness
from training.networks.build import (
    DecoderKind,
    build_depth_net,
    build_feature_net,
    build_pose_net,
)
from training.networks.den import Den, DenConfig
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.networks.single_precision import in_single_precision

DEPTH_PRO = DepthProConfig(
    'test_vit', window_px=32, windows=(4, 2), latent_blocks=(1, 3), widths=(12, 20, 24), width=16
)


class Autoencoder(nn.Module):
    """A FeatureNet's images of its own features."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build_feature_net(FeaturesConfig().network)

    def forward(self, image01: Tensor) -> list[Tensor]:
        return self.net.decoder(self.net.encoder(image01)[-1])


class Motion(nn.Module):
    """A PoseNet of one image and its mirror."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build_pose_net(TINY)

    def forward(self, image01: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(image01, image01.flip(-1))


NETWORKS = {
    'monodepth2': lambda: build_depth_net(TINY),
    'featdepth': lambda: build_depth_net(replace(TINY, decoder=DecoderKind.FEATDEPTH)),
    'autoencoder': Autoencoder,
    'motion': Motion,
    'depth_pro': lambda: DepthPro(DEPTH_PRO),
    'den': lambda: Den(DenConfig('resnet10t', input_px=64)),
}


def smooth_image(side: int) -> Tensor:
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, (side, side), mode='bicubic').clamp(0, 1)


@pytest.mark.parametrize('name', NETWORKS)
def test_answers_within_autocast_have_no_steps(name: str) -> None:
    torch.manual_seed(0)
    net = NETWORKS[name]().eval()
    with torch.no_grad():
        image01 = smooth_image(128 if name == 'depth_pro' else 64)
        if name == 'depth_pro':
            net.head[-2].bias.fill_(1.0)
        whole = net(image01)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = net(image01)
    answers = [(whole, mixed)] if isinstance(whole, Tensor) else list(zip(whole, mixed))
    for one, other in answers:
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0.1, atol=0.1)
        # Nothing that bfloat16 could hold as well, but by accident.
        held = other == other.bfloat16().float()
        assert held.double().mean() < 0.2


def test_a_plane_s_disparity_stays_a_plane() -> None:
    """Its second differences are nothing; in steps they would be most of the smoothness loss."""
    v, u = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 96), indexing='ij')
    logit = torch.logit(0.009 + 0.02 * v + 0.01 * u)[None, None]
    # What bfloat16 holds of it in two features, of which the last layer makes the sum.
    coarse = logit.bfloat16()
    features = torch.cat([coarse, (logit - coarse.float()).bfloat16()], dim=1)
    last = nn.Conv2d(2, 1, 1, bias=False)
    nn.init.ones_(last.weight)
    loss = EdgeAwareSmoothness(0.5, False, True, True)
    image01 = torch.zeros(1, 3, 64, 96)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        single = float(loss(in_single_precision(last, features).sigmoid(), image01))
        half = float(loss(last(features).float().sigmoid(), image01))
    assert single < 0.01 * half
