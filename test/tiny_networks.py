"""Tiny networks with a spec and samples, for tests of what becomes of networks."""

from __future__ import annotations

import graphs
import numpy as np
import torch

from depth_ros.backends.parity import ACCEPTED
from depth_ros.model_folder.spec import Fit, MotionSpec, Precision, ScaleKind
from training.networks.build import NetworkConfig, build_depth_net, build_pose_net
from training.networks.depth_net import DepthNet
from training.networks.pose_net import PoseNet
from training.samples import SampleFrames

WIDTH, HEIGHT = 96, 64
CONFIG = NetworkConfig(
    backbone='resnet10t',
    decoder_channels=(8, 16, 16, 24, 24),
    pose_backbone='resnet10t',
    pose_channels=32,
)
SPEC = graphs.spec(
    family='monodepth2',
    width=WIDTH,
    height=HEIGHT,
    depth_width=WIDTH,
    depth_height=HEIGHT,
    scale=ScaleKind.UP_TO_SCALE,
    scale_source='none',
    fit=Fit.LETTERBOX,
    motion=MotionSpec(
        interval_s=0.1,
        translation=0.01,
        rotation_rad=0.01,
        sigma_translation=0.1,
        sigma_rotation_rad=0.01,
    ),
    tolerance=ACCEPTED[Precision.FP32],
)


def frames(count: int = 2, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    patches = np.random.default_rng(seed).integers(0, 256, (count, HEIGHT // 8, width // 8, 3))
    return patches.repeat(8, 1).repeat(8, 2).astype(np.uint8)


def unit_images(images: np.ndarray) -> torch.Tensor:
    """uint8 [N,H,W,3] to float32 [N,3,H,W] in 0..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


SAMPLES = SampleFrames(frames(2, 0), frames(3, 1), frames(3, 2))


def tiny_networks() -> tuple[DepthNet, PoseNet]:
    """Random networks whose batch norms have seen data, as trained ones have."""
    torch.manual_seed(0)
    depth_net, pose_net = build_depth_net(CONFIG), build_pose_net(CONFIG)
    images = unit_images(frames(4))
    with torch.no_grad():
        for _ in range(5):
            depth_net(images)
            pose_net(images, images.flip(0))
        # Motions of the size that training gives, which depend on the images.
        pose_net.decoder.output.bias.zero_()
        for layer in (pose_net.decoder.squeeze, pose_net.decoder.hidden_0,
                      pose_net.decoder.hidden_1, pose_net.decoder.output):  # fmt: skip
            layer.weight.mul_(3.0)
    return depth_net.eval(), pose_net.eval()


def contrasted_networks() -> tuple[DepthNet, PoseNet]:
    """The same with depths that vary in an image as much as a trained network's."""
    depth_net, pose_net = tiny_networks()
    with torch.no_grad():
        for head in depth_net.decoder.heads:
            head.weight.mul_(30.0)
    return depth_net, pose_net
