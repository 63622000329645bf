"""What tests of official files share: random networks, their import, what it must answer."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tiny_networks import frames, unit_images
from torch import Tensor, nn

from depth_ros.backends import BackendOptions, Device, open_backend
from depth_ros.cli import import_model
from depth_ros.model_folder.model import Model
from training.geometry import motion_to_transform


class OfficialNetworks(Protocol):
    """What the networks of both families answer, in units of their training."""

    def disparities(self, image01: Tensor) -> list[Tensor]:
        """[N, 1, h, w] in 0..1 for each scale, the finest first."""

    def motion(self, earlier01: Tensor, later01: Tensor) -> Tensor:
        """[N, 6]: axis-angle and translation of later_T_earlier."""


def randomise_batch_norms(network: nn.Module) -> None:
    """Give batch norms weights and statistics like those of trained networks."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.1)
            nn.init.normal_(module.bias, std=0.02)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)


def import_official(family: str, source: Path, out: Path, *options: str) -> Model:
    """Run the import verb and load what it wrote."""
    parser = ArgumentParser()
    import_model.add_arguments(parser)
    words = [family, str(source), '--out', str(out), *options]
    assert import_model.run(parser.parse_args(words)) == 0
    return Model.load(out)


def assert_same_answers(
    model: Model, official: OfficialNetworks, unit_m: float, motion_tolerance: float
) -> np.ndarray:
    """Run the model's graphs on 96 x 64 pixels and compare with the networks.

    Args:
        model: with a pose network.
        official: in evaluation mode.
        unit_m: metres that the model makes of one unit of the networks.
        motion_tolerance: of the transforms' elements [m and none].

    Returns:
        The model's motion [1, 6].
    """
    options = BackendOptions(device=Device.CPU, threads=1)
    previous, current = frames(1, seed=1), frames(1, seed=2)
    depth = open_backend(model.depth_path, options).run({'image': current})['depth']
    disparity = official.disparities(unit_images(current))[0][:, 0]
    expected = unit_m / (0.01 + 9.99 * disparity)
    np.testing.assert_allclose(depth, expected.numpy(), rtol=1e-3)
    assert model.pose_path is not None
    inputs = {'previous': previous, 'current': current}
    answer = open_backend(model.pose_path, options).run(inputs)['motion']
    motion = torch.from_numpy(answer)
    stated = official.motion(unit_images(previous), unit_images(current))
    current_T_previous = motion_to_transform(stated[:, :3], unit_m * stated[:, 3:])
    product = motion_to_transform(motion[:, :3], motion[:, 3:]) @ current_T_previous
    torch.testing.assert_close(product[0], torch.eye(4), atol=motion_tolerance, rtol=0)
    return answer
