"""What makes depth metric: velocity, the unit of tracked depth, and how losses take gaps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from view_synthesis import depth_to_disparity

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from training.config import AugmentConfig, LossConfig, MotionTeacher, TrainConfig
from training.data.augment import change_geometry, draw, to_unit_images
from training.data.batch import NEXT, PREVIOUS, STEREO, TARGET, Batch
from training.geometry import (
    axis_angle_to_matrix,
    invert_transform,
    make_transform,
)
from training.losses.depth_unit import DepthUnitLoss, travel_excess
from training.losses.velocity import VelocityLoss
from training.networks.build import NetworkConfig, build_pose_net
from training.tasks.objective import Networks, Objective
from training.tasks.sources import make_views
from training.tracking.known_turns import find_translation, motions_by_turn
from training.tracking.motions import at_travelled_length
from training.tracking.stereo_excess import stereo_excess

NAN = float('nan')


def motions(*translations: tuple[float, float, float]) -> torch.Tensor:
    """[1, n, 4, 4] with some rotation."""
    t = torch.tensor(translations, dtype=torch.float64)
    rotation = axis_angle_to_matrix(torch.full_like(t, 0.1))
    return make_transform(rotation, t)[None]


def random_directions(count: int, seed: int) -> torch.Tensor:
    vectors = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).double()
    return vectors / vectors.norm(dim=1, keepdim=True)


class TestVelocity:
    @given(st.integers(0, 1000))
    def test_zero_at_the_measured_length_whatever_the_direction(self, seed: int) -> None:
        travelled = torch.rand(1, 4, generator=torch.Generator().manual_seed(seed)).double()
        t = random_directions(4, seed) * travelled[0, :, None]
        right = make_transform(axis_angle_to_matrix(t), t)[None]
        assert float(VelocityLoss()(right, travelled)) == pytest.approx(0, abs=1e-12)
        other = make_transform(axis_angle_to_matrix(t), -t)[None]
        assert float(VelocityLoss()(other, travelled)) == pytest.approx(0, abs=1e-12)

    def test_is_the_mean_difference_of_lengths(self) -> None:
        predicted, travelled = motions((0, 3, 4), (1, 0, 0)), torch.tensor([[4.0, 3.0]])
        assert float(VelocityLoss()(predicted, travelled)) == pytest.approx((1 + 2) / 2)

    def test_missing_pairs_have_no_say(self) -> None:
        predicted = motions((0, 3, 4), (1, 0, 0)).requires_grad_()
        loss = VelocityLoss()(predicted, torch.tensor([[4.0, NAN]]).double())
        assert float(loss.detach()) == pytest.approx(1)
        (gradient,) = torch.autograd.grad(loss, predicted)
        assert float(gradient[0, 1].abs().max()) == 0
        assert float(gradient[0, 0].abs().max()) > 0

    def test_nothing_known_and_no_motion_are_harmless(self) -> None:
        predicted = motions((0, 0, 0), (1, 0, 0)).requires_grad_()
        for travelled in ([[NAN, NAN]], [[0.5, NAN]]):
            loss = VelocityLoss()(predicted, torch.tensor(travelled).double())
            (gradient,) = torch.autograd.grad(loss, predicted)
            assert torch.isfinite(gradient).all()
        assert float(VelocityLoss()(predicted, torch.full((1, 2), NAN))) == 0

    def test_gradcheck(self) -> None:
        t = random_directions(3, 5).requires_grad_()
        travelled = torch.tensor([[0.3, NAN, 2.0]]).double()
        eye = torch.eye(3).double().expand(3, 3, 3)
        assert torch.autograd.gradcheck(
            lambda t: VelocityLoss()(make_transform(eye, t)[None], travelled), t
        )


class TestDepthUnit:
    def tracked(self, depth: torch.Tensor) -> torch.Tensor:
        """What tracking gives: lengths in proportion to each image's depth."""
        return 0.05 * depth.detach().flatten(1).median(1).values[None]

    def test_descent_brings_depth_to_metres_image_by_image(self) -> None:
        """The tracked motion is found anew in every step, as in training."""
        start = torch.tensor([0.1, 1.0, 30.0])[:, None, None, None].expand(3, 1, 4, 5)
        log_depth = start.log().clone().requires_grad_()
        travelled = torch.tensor([[0.1, 0.2, 0.05]])  # 0.05 a unit of depth: 2, 4 and 1 metres
        optimizer = torch.optim.SGD([log_depth], lr=4.0)
        for _ in range(200):
            optimizer.zero_grad()
            depth = log_depth.exp()
            DepthUnitLoss()(depth, travel_excess(self.tracked(depth), travelled)).backward()
            optimizer.step()
        metres = torch.tensor([2.0, 4.0, 1.0])[:, None, None, None].expand(3, 1, 4, 5)
        torch.testing.assert_close(log_depth.detach().exp(), metres, rtol=1e-3, atol=0)

    def test_gradient_is_that_of_the_tracked_length(self) -> None:
        """Against a difference quotient through a tracking that follows the depth."""
        loss = DepthUnitLoss()

        def excess(depth: torch.Tensor) -> torch.Tensor:
            return travel_excess(self.tracked(depth), torch.tensor([[0.06]]))

        depth = (1 + torch.rand(1, 1, 3, 4, generator=torch.manual_seed(0))).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(depth, excess(depth)), depth)
        along_scale = float((gradient * depth).sum())
        values = [
            float(loss(k * depth, excess(k * depth)).detach())
            for k in (math.exp(-0.01), math.exp(0.01))
        ]
        assert along_scale == pytest.approx((values[1] - values[0]) / 0.02, rel=0.02)

    def test_the_unknown_and_the_short_have_no_say(self) -> None:
        depth = torch.ones(3, 1, 2, 2, requires_grad=True)
        found = self.tracked(depth)
        found[0, 1] = NAN
        travelled = torch.tensor([[NAN, 0.1, 0.001]])
        loss = DepthUnitLoss()(depth, travel_excess(found, travelled))
        (gradient,) = torch.autograd.grad(loss, depth)
        assert float(loss.detach()) == 0
        assert float(gradient.abs().max()) == 0


@pytest.mark.parametrize('mirrored', [False, True])
def test_the_excess_of_depth_shows_in_the_disparity_of_corners(
    rig: Batch, mirrored: bool
) -> None:
    images01 = to_unit_images(rig.images)
    draws = draw(AugmentConfig(flip=float(mirrored), jitter=0.0), 0, 0, 1)
    batch, images01 = change_geometry(rig, images01, draws)
    for factor in (0.3, 1.0, 5.0):
        (excess,) = stereo_excess(batch, images01, factor * batch.depth_m[:, None]).tolist()
        assert excess == pytest.approx(math.log(factor), abs=0.02)
    alone = batch._replace(stereo_T_target=torch.full((1, 4, 4), NAN))
    assert torch.isnan(stereo_excess(alone, images01, batch.depth_m[:, None])).all()
    blank = images01.clone()
    blank[:, STEREO] = 0.5
    assert torch.isnan(stereo_excess(batch, blank, batch.depth_m[:, None])).all()


@pytest.mark.parametrize('mirrored', [False, True])
def test_with_the_turn_known_motions_hold_whatever_the_shape_of_depth(
    rig: Batch, mirrored: bool
) -> None:
    images01 = to_unit_images(rig.images)
    draws = draw(AugmentConfig(flip=float(mirrored), jitter=0.0), 0, 0, 1)
    batch, images01 = change_geometry(rig, images01, draws)
    depth_m = batch.depth_m[:, None]
    true = torch.stack([batch.target_T_previous, batch.next_T_target])
    found = motions_by_turn(batch, images01, 4 * depth_m)
    torch.testing.assert_close(found[..., :3, :3], true[..., :3, :3], rtol=0, atol=1e-6)
    error = found[..., :3, 3] / 4 - true[..., :3, 3]
    assert float((error.norm(dim=-1) / rig.travelled_m.T).max()) < 0.05
    flat = depth_m.median().expand_as(depth_m)
    length = motions_by_turn(batch, images01, flat)[..., :3, 3].norm(dim=-1)
    assert float((length / rig.travelled_m.T).log().abs().max()) < 0.25
    unknown = torch.full((1, 4, 4), NAN)
    unturned = batch._replace(target_T_previous=unknown)
    known = motions_by_turn(unturned, images01, depth_m).isfinite().all(-1).all(-1)
    assert known.tolist() == [[False], [True]]


class TestKnownTurn:
    """What find_translation makes of exact matches and doubtful depths."""

    camera = np.array([100.0, 90.0, 63.5, 47.5])
    turn = axis_angle_to_matrix(torch.tensor([0.05, -0.1, 0.02]).double()).numpy()

    def matches(
        self, true: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels, z = rng.uniform(0, 96, (200, 2)), rng.uniform(1, 4, 200)
        points = np.column_stack([(pixels - self.camera[2:]) / self.camera[:2] * z[:, None], z])
        seen = points @ self.turn.T + true
        return pixels, seen[:, :2] / seen[:, 2:] * self.camera[:2] + self.camera[2:], z

    def find(self, pixels: np.ndarray, found: np.ndarray, z: np.ndarray) -> np.ndarray | None:
        return find_translation(pixels, found, z, self.camera, self.turn)

    @pytest.mark.parametrize('true', [(0.1, -0.02, 0.2), (0.15, 0.0, 0.0)])
    def test_outliers_have_no_say(self, true: tuple[float, ...]) -> None:
        rng = np.random.default_rng(0)
        pixels, found, z = self.matches(np.array(true), rng)
        np.testing.assert_allclose(self.find(pixels, found, z), true, atol=1e-6)
        found[:30] += rng.uniform(-20, 20, (30, 2))
        np.testing.assert_allclose(self.find(pixels, found, z), true, atol=8e-3)

    @pytest.mark.parametrize('true', [(0.0, 0.0, 0.15), (0.15, 0.0, 0.0)])
    @pytest.mark.parametrize(('sigma', 'allowed'), [(0.2, 0.04), (0.3, 0.05), (0.5, 0.08)])
    def test_lengths_keep_the_typical_unit_of_scattered_depths(
        self, true: tuple[float, ...], sigma: float, allowed: float
    ) -> None:
        """A fit of pixels would follow what is predicted too near, and come out short."""
        ratios = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            pixels, found, z = self.matches(np.array(true), rng)
            translation = self.find(pixels, found, z * np.exp(rng.normal(0, sigma, len(z))))
            assert translation is not None
            ratios.append(np.linalg.norm(translation) / np.linalg.norm(true))
        assert np.median(ratios) == pytest.approx(1, abs=allowed)

    @pytest.mark.parametrize('true', [(0.0, 0.0, 0.15), (0.15, 0.0, 0.0)])
    def test_a_few_depths_at_the_lens_do_not_shorten_the_way(
        self, true: tuple[float, ...]
    ) -> None:
        rng = np.random.default_rng(1)
        pixels, found, z = self.matches(np.array(true), rng)
        z[:10] = 0.1
        translation = self.find(pixels, found, z)
        assert translation is not None
        assert np.linalg.norm(translation) == pytest.approx(0.15, rel=0.06)

    def test_matches_that_do_not_agree_tell_nothing(self) -> None:
        rng = np.random.default_rng(2)
        pixels, found, z = self.matches(np.array([0.1, 0.0, 0.1]), rng)
        found[:160] += rng.uniform(-30, 30, (160, 2))
        assert self.find(pixels, found, z) is None


def test_taught_motions_get_the_measured_length() -> None:
    found = motions((0, 3, 4), (0, 0, 2), (0, 0, 0), (NAN, NAN, NAN))
    travelled = torch.tensor([[1.0, NAN, 1.0, 1.0]]).double()
    taught = at_travelled_length(found, travelled)
    torch.testing.assert_close(taught[0, 0, :3, 3], torch.tensor([0, 0.6, 0.8]).double())
    torch.testing.assert_close(taught[0, 1:], found[0, 1:], equal_nan=True)
    torch.testing.assert_close(taught[..., :3, :3], found[..., :3, :3], equal_nan=True)


class TestSources:
    def batch(self, stereo_T_target: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        count = len(stereo_T_target)
        images = torch.randint(0, 255, (count, 4, 6, 8, 3), dtype=torch.uint8)
        unknown = torch.full((count, 4, 4), NAN)
        batch = Batch(
            images, torch.tensor([[9.0, 9.0, 3.5, 2.5]]).expand(count, 4),
            torch.tensor([[0.0, 0.0, 8.0, 6.0]]).expand(count, 4), torch.full((count, 6, 8), NAN),
            unknown, unknown, torch.ones(count, 2), stereo_T_target, torch.full((count, 2), NAN),
            torch.zeros(count, dtype=torch.long),
        )  # fmt: skip
        return batch, images.permute(0, 1, 4, 2, 3).float() / 255

    def test_what_is_missing_is_marked_and_finite(self) -> None:
        known = torch.eye(4)
        known[0, 3] = -0.1
        batch, images01 = self.batch(torch.stack([known, torch.full((4, 4), NAN)]))
        forward_T = torch.eye(4).expand(2, 2, 4, 4)
        views = make_views(batch, images01, forward_T, True, torch.ones(2))
        assert views.available.tolist() == [[True, True], [True, True], [True, False]]
        assert torch.isfinite(views.source_T_target).all()
        torch.testing.assert_close(views.source_T_target[2, 0], known)
        torch.testing.assert_close(views.sources[2], images01[:, 3])
        alone = make_views(batch, images01, None, True, torch.ones(2))
        assert alone.sources.shape[0] == 1
        temporal = make_views(batch, images01, forward_T, False, torch.ones(2))
        assert temporal.available.shape == (2, 2)


CAMERA = Intrinsics(105.0, 105.0, 63.5, 47.5, 128, 96)
BASELINE_M = 0.15
RANGE = (0.1, 100.0)
SMALL = NetworkConfig(pose_backbone='lcnet_035', pose_channels=8, min_depth=0.1, max_depth=100.0)
TRACKED = LossConfig(motion=1.0, teacher=MotionTeacher.FEATURES, warp_by_teacher=True)


@pytest.fixture(scope='module')
def rig() -> Batch:
    """A frame of a walk, those about it, its view from 0.15 m to the right, and the way."""
    room = synthetic.make_scene(seed=5)
    poses = synthetic.make_path(room, frames=3, rate_hz=7.5, seed=5)
    right = np.eye(4)
    right[0, 3] = BASELINE_M
    places = {PREVIOUS: poses[0], TARGET: poses[1], NEXT: poses[2], STEREO: poses[1] @ right}
    seen = [synthetic.render(room, CAMERA, places[i]) for i in range(len(places))]
    world_T = torch.from_numpy(np.stack(poses)).float()
    later_T_earlier = invert_transform(world_T[1:]) @ world_T[:-1]
    return Batch(
        images=torch.from_numpy(np.stack([image for image, _ in seen]))[None],
        intrinsics=torch.tensor([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]]),
        visible=torch.tensor([[0.0, 0.0, CAMERA.width, CAMERA.height]]),
        depth_m=torch.from_numpy(seen[TARGET][1])[None],
        target_T_previous=later_T_earlier[:1],
        next_T_target=later_T_earlier[1:],
        interval_s=torch.full((1, 2), 1 / 7.5),
        stereo_T_target=invert_transform(torch.from_numpy(right).float())[None],
        travelled_m=later_T_earlier[:, :3, 3].norm(dim=1)[None],
        truth_kind=torch.zeros(1, dtype=torch.long),
    )


class OnlyTheUnit(nn.Module):
    """A depth network that knows the shape of the scene, and of its unit has to learn."""

    def __init__(self, depth_m: torch.Tensor, unit: float) -> None:
        super().__init__()
        self.log_unit = nn.Parameter(torch.tensor(math.log(unit)))
        self._depth_m = depth_m[:, None]

    def forward(self, image: torch.Tensor, scales: int) -> list[torch.Tensor]:
        disparity = depth_to_disparity(self.log_unit.exp() * self._depth_m, *RANGE)
        return [nn.functional.avg_pool2d(disparity, 2**s) for s in range(scales)]


def learnt_unit(rig: Batch, loss: LossConfig, unit: float, steps: int) -> float:
    """The unit that training ends with; 1 is metres."""
    torch.manual_seed(0)
    depth = OnlyTheUnit(rig.depth_m, unit)
    pose = build_pose_net(SMALL).train() if loss.needs_neighbours else None
    objective = Objective(TrainConfig(loss=loss, network=SMALL), CAMERA.fx).train()
    optimizer = torch.optim.Adam([depth.log_unit], lr=0.05)
    decline = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    images01 = to_unit_images(rig.images)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(Networks(depth, pose), rig, images01, images01).total.backward()
        optimizer.step()
        decline.step()
    return float(depth.log_unit.detach().exp())


class TestTraining:
    """Of a single number, the unit, through the whole objective."""

    @pytest.mark.parametrize('unit', [0.6, 1.6])
    def test_a_stereo_pair_makes_depth_metric(self, rig: Batch, unit: float) -> None:
        alone = LossConfig(temporal=False, stereo=True)
        assert learnt_unit(rig, alone, unit, 30) == pytest.approx(1, abs=0.03)

    def test_a_stereo_pair_rules_motions_found_by_features(self, rig: Batch) -> None:
        both = replace(TRACKED, stereo=True)
        assert learnt_unit(rig, both, 0.7, 30) == pytest.approx(1, abs=0.03)

    @pytest.mark.parametrize('unit', [0.3, 3.0])
    def test_the_way_makes_tracked_depth_metric(self, rig: Batch, unit: float) -> None:
        measured = replace(TRACKED, velocity=0.05)
        assert learnt_unit(rig, measured, unit, 60) == pytest.approx(1, abs=0.03)

    def test_and_without_known_turns_nearly_so(self, rig: Batch) -> None:
        unknown = torch.full((1, 4, 4), NAN)
        unturned = rig._replace(target_T_previous=unknown, next_T_target=unknown)
        measured = replace(TRACKED, velocity=0.05)
        assert learnt_unit(unturned, measured, 0.5, 60) == pytest.approx(1, abs=0.1)

    def test_without_any_measure_the_unit_stays(self, rig: Batch) -> None:
        assert learnt_unit(rig, TRACKED, 0.3, 15) == pytest.approx(0.3, rel=0.1)


class TestConfig:
    def test_what_makes_no_sense_is_refused(self) -> None:
        for values, text in (
            ({'temporal': False}, 'loss.temporal and loss.stereo are both false'),
            ({'temporal': False, 'stereo': True, 'velocity': 0.05}, 'need loss.temporal: true'),
            ({'photometric': 0.0, 'depth': 1.0, 'velocity': 0.1}, 'reaches depth through'),
            ({'photometric': 0.0, 'depth': 1.0, 'stereo': True}, 'loss.stereo needs'),
            ({'photometric': 0.0, 'depth': 1.0, 'coarse': 0.5}, 'loss.coarse 0.5 needs'),
            ({'consistency': 0.1, 'photometric': 0.0, 'depth': 1.0}, 'consistency 0.1 needs'),
            ({'consistency': 0.1, 'temporal': False, 'stereo': True}, 'consistency 0.1 needs'),
            ({'velocity': -1.0}, 'loss.velocity -1.0 must be 0 or more'),
            ({'first_order': False}, 'loss.smoothness has nothing to ask'),
        ):
            with pytest.raises(ConfigError, match=text):
                LossConfig(**values)

    def test_coarse_images_are_compared_beside_features_alone_too(self) -> None:
        assert LossConfig(photometric=0.0, feature_metric=1e-3, coarse=0.5).compares_views

    def test_who_needs_neighbours(self) -> None:
        assert LossConfig().needs_neighbours
        assert LossConfig(stereo=True).needs_neighbours
        assert not LossConfig(stereo=True, temporal=False).needs_neighbours
        taught = LossConfig(stereo=True, temporal=False, motion=1.0)
        assert taught.needs_neighbours
