"""Networks with random weights as model folders: what they compute is of no use, its time is."""

from __future__ import annotations

from pathlib import Path

import torch

from depth_ros.backends.parity import ACCEPTED
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import (
    Fit,
    ModelSpec,
    MotionSpec,
    Precision,
    ResizeFilter,
    ScaleKind,
)
from training.export.graphs import disparity_graphs
from training.export.model_folder import export_model
from training.networks.build import NetworkConfig, build_depth_net, build_pose_net
from training.networks.depth_net import DepthNet
from training.networks.pose_net import PoseNet
from training.samples import render_samples

_STEPS = 4


def random_model(
    backbone: str, width: int, height: int, out: Path
) -> tuple[DepthNet, PoseNet, Model]:
    """Monodepth2's networks over a backbone, exported in single precision.

    Their batch norms have seen rendered frames, as trained ones have seen theirs: with others
    activations grow from layer to layer, and half precision has nothing to stand on.
    """
    torch.manual_seed(0)
    config = NetworkConfig(backbone=backbone, pose_backbone=backbone)
    depth_net, pose_net = build_depth_net(config), build_pose_net(config)
    camera = Intrinsics(0.58 * width, 0.58 * width, 0.5 * width, 0.5 * height, width, height)
    samples = render_samples(camera)
    with torch.no_grad():
        pictures = torch.from_numpy(samples.image).permute(0, 3, 1, 2).float() / 255
        later = torch.from_numpy(samples.current).permute(0, 3, 1, 2).float() / 255
        for _ in range(_STEPS):
            depth_net.train()(pictures)
            pose_net.train()(pictures, later)
    depth_net.eval()
    pose_net.eval()
    spec = ModelSpec(
        name=out.name,
        family='monodepth2',
        width=width,
        height=height,
        depth_width=width,
        depth_height=height,
        precision=Precision.FP32,
        min_depth=0.1,
        max_depth=100.0,
        scale=ScaleKind.UP_TO_SCALE,
        scale_source='none',
        intrinsics=camera,
        fit=Fit.STRETCH,
        resize_filter=ResizeFilter.AREA,
        motion=MotionSpec(
            interval_s=0.1,
            translation=0.01,
            rotation_rad=0.01,
            sigma_translation=0.1,
            sigma_rotation_rad=0.01,
        ),
        licence='Apache-2.0',
        training_run='random weights',
        tolerance=ACCEPTED[Precision.FP32],
    )
    export_model(*disparity_graphs(depth_net, pose_net, spec), spec, samples, out)
    return depth_net, pose_net, Model.load(out)
