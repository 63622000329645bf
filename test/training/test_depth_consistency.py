"""Depth of neighbouring images is asked to be that of one scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from view_synthesis import depth_to_disparity

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from training.config import LossConfig, MotionTeacher, NetworkConfig, TrainConfig
from training.data.augment import to_unit_images
from training.data.batch import Batch
from training.geometry import invert_transform
from training.losses.depth_consistency import DepthConsistencyLoss
from training.losses.views import Views
from training.networks.build import build_pose_net
from training.tasks.objective import Networks, Objective

CAMERA = Intrinsics(105.0, 105.0, 63.5, 47.5, 128, 96)
NETWORK = NetworkConfig(
    pose_backbone='lcnet_035', pose_channels=8, min_depth=0.1, max_depth=100.0
)
loss = DepthConsistencyLoss()


class Walk:
    """Three frames of a rendered walk: images, depth [m] and world_T_cam, one a row."""

    def __init__(self) -> None:
        room = synthetic.make_scene(seed=5)
        poses = synthetic.make_path(room, frames=3, rate_hz=5.0, seed=5)
        seen = [synthetic.render(room, CAMERA, pose) for pose in poses]
        self.images = torch.from_numpy(np.stack([image for image, _ in seen]))
        self.depth_m = torch.from_numpy(np.stack([depth for _, depth in seen]))[:, None]
        self.world_T = torch.from_numpy(np.stack(poses)).float()

    @property
    def target_m(self) -> Tensor:
        """[1, 1, H, W]."""
        return self.depth_m[1:2]

    @property
    def sources_m(self) -> Tensor:
        """[2, 1, 1, H, W]."""
        return self.depth_m[[0, 2], None]

    def views(self, unit: float = 1.0) -> Views:
        """The middle frame beside the others, with translations multiplied by `unit`."""
        source_T_target = invert_transform(self.world_T[[0, 2]]) @ self.world_T[1]
        source_T_target[:, :3, 3] *= unit
        images = self.images.permute(0, 3, 1, 2) / 255
        intrinsics = torch.tensor([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]])
        return Views(
            images[1:2], images[[0, 2], None], intrinsics, intrinsics.expand(2, 1, 4),
            source_T_target[:, None], torch.ones(1), torch.ones(2, 1, dtype=torch.bool),
        )  # fmt: skip


@pytest.fixture(scope='module')
def walk() -> Walk:
    return Walk()


def test_true_depth_costs_next_to_nothing_and_another_unit_half_its_logarithm(walk: Walk) -> None:
    true = loss(walk.target_m, walk.sources_m, walk.views())
    assert float(true) < 0.01
    # Of the target alone: z is 1.1 times as far, less what the way is not.
    assert float(loss(walk.target_m, 1.1 * walk.sources_m, walk.views())) == pytest.approx(
        np.log(1.1) / 2, abs=0.008
    )


def test_no_unit_is_preferred(walk: Walk) -> None:
    crooked = walk.target_m * torch.linspace(0.8, 1.2, CAMERA.width)
    expected = loss(crooked, walk.sources_m, walk.views())
    found = loss(3 * crooked, 3 * walk.sources_m, walk.views(unit=3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    'hide',
    [
        lambda views: replace(views, available=torch.zeros_like(views.available)),
        lambda views: replace(views, source_T_target=views.source_T_target @ _turned_about()),
    ],
    ids=['unavailable', 'behind the other camera'],
)
def test_what_is_not_seen_twice_has_no_say(walk: Walk, hide: Callable[[Views], Views]) -> None:
    depths = [walk.target_m.clone().requires_grad_(), walk.sources_m.clone().requires_grad_()]
    result = loss(depths[0], depths[1], hide(walk.views()))
    assert float(result.detach()) == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(result, depths))


def _turned_about() -> Tensor:
    return torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))


def test_gradcheck() -> None:
    torch.manual_seed(0)
    images = torch.zeros(1, 3, 5, 6)
    intrinsics = torch.tensor([[6.0, 6.0, 2.5, 2.0]]).double()
    motion = torch.eye(4).double().expand(2, 1, 4, 4).clone()
    motion[:, 0, :3, 3] = torch.tensor([[0.13, 0.07, 0.1], [-0.11, 0.05, -0.1]])
    views = Views(
        images, images.expand(2, -1, -1, -1, -1), intrinsics, intrinsics.expand(2, 1, 4), motion,
        torch.ones(1), torch.ones(2, 1, dtype=torch.bool),
    )  # fmt: skip
    depths = (
        (1 + torch.rand(1, 1, 5, 6)).double().requires_grad_(),
        (3 + torch.rand(2, 1, 1, 5, 6)).double().requires_grad_(),  # no quotient at its kink
    )
    assert torch.autograd.gradcheck(lambda ours, theirs: loss(ours, theirs, views), depths)


class UnitOfTheTarget(nn.Module):
    """Knows the depth of all frames, but of the target only up to a unit that it learns."""

    def __init__(self, walk: Walk, unit: float) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.tensor(unit))
        self._walk = walk

    def forward(self, image: Tensor, scales: int) -> list[Tensor]:
        target = len(image) == 1
        depth = self.unit * self._walk.target_m if target else self._walk.sources_m[:, 0]
        disparity = depth_to_disparity(depth, NETWORK.min_depth, NETWORK.max_depth)
        return [nn.functional.avg_pool2d(disparity, 2**s) for s in range(scales)]


@pytest.mark.parametrize('velocity', [0.0, 0.05])
def test_a_frame_takes_the_unit_of_its_neighbours(walk: Walk, velocity: float) -> None:
    """Through the whole objective, with motions tracked by the target's depth."""
    torch.manual_seed(0)
    later_T_earlier = invert_transform(walk.world_T[1:]) @ walk.world_T[:-1]
    batch = Batch(
        images=torch.cat([walk.images[[1, 0, 2]], walk.images[1:2]])[None],
        intrinsics=torch.tensor([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]]),
        visible=torch.tensor([[0.0, 0.0, CAMERA.width, CAMERA.height]]),
        depth_m=walk.target_m[0],
        target_T_previous=later_T_earlier[:1],
        next_T_target=later_T_earlier[1:],
        interval_s=torch.full((1, 2), 0.2),
        stereo_T_target=torch.full((1, 4, 4), float('nan')),
        travelled_m=later_T_earlier[:, :3, 3].norm(dim=1)[None],
        truth_kind=torch.zeros(1, dtype=torch.long),
    )
    weights = LossConfig(
        motion=1.0, teacher=MotionTeacher.FEATURES, warp_by_teacher=True, velocity=velocity,
        consistency=1.0,
    )  # fmt: skip
    objective = Objective(TrainConfig(loss=weights, network=NETWORK), CAMERA.fx).train()
    depth, images01 = UnitOfTheTarget(walk, 0.8), to_unit_images(batch.images)
    networks = Networks(depth, build_pose_net(NETWORK).train())
    optimizer = torch.optim.Adam([depth.unit], lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        terms = objective(networks, batch, images01, images01)
        terms.total.backward()
        optimizer.step()
    assert float(depth.unit.detach()) == pytest.approx(1, abs=0.05)
    assert float(terms.consistency) < 0.03
