"""Losses: exact gradients, the paper's properties, plain second implementations."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from view_synthesis import depth_to_disparity

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from training.geometry import (
    axis_angle_to_matrix,
    invert_transform,
    motion_to_transform,
)
from training.losses import ssim
from training.losses.coarse import CoarsePhotometricLoss
from training.losses.depth import LogDepthLoss
from training.losses.motion import MotionLoss, geodesic_angle
from training.losses.photometric import MinimumReprojection, PhotometricError
from training.losses.self_supervised import SelfSupervisedLoss
from training.losses.smoothness import EdgeAwareSmoothness
from training.losses.ssim import ssim_distance, window_statistics
from training.losses.views import Views

RANGE = (0.1, 100.0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_ssim_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The formula of the paper, with pooling and torch's own gradient."""

    def mean(value: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(functional.pad(value, (1, 1, 1, 1), mode='reflect'), 3, 1)

    mu_x, mu_y = mean(x), mean(y)
    sigma_x, sigma_y = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2
    sigma_xy = mean(x * y) - mu_x * mu_y
    top = (2 * mu_x * mu_y + 1e-4) * (2 * sigma_xy + 9e-4)
    bottom = (mu_x**2 + mu_y**2 + 1e-4) * (sigma_x + sigma_y + 9e-4)
    return ((1 - top / bottom) / 2).clamp(0, 1)


class TestSsim:
    @pytest.mark.parametrize('size', [(2, 2), (2, 7), (9, 3), (16, 20)])
    def test_equals_the_formula_in_value_and_gradient(self, size: tuple[int, int]) -> None:
        x = noise(2, 3, *size).requires_grad_()
        y, weights = noise(2, 3, *size, seed=1), noise(2, 3, *size, seed=2)
        ours, theirs = ssim_distance(x, window_statistics(y)), naive_ssim_distance(x, y)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(
            torch.autograd.grad((ours * weights).sum(), x),
            torch.autograd.grad((theirs * weights).sum(), x),
        )

    def test_gradcheck_with_images_that_share_a_target(self) -> None:
        x = noise(2, 1, 1, 3, 5, 6).requires_grad_()
        target = window_statistics(noise(1, 3, 5, 6, seed=1))
        assert torch.autograd.gradcheck(lambda x: ssim_distance(x, target), x)

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    def test_equal_images_have_no_distance_at_all(self, dtype: torch.dtype) -> None:
        x = noise(1, 3, 32, 40).to(dtype)
        assert float(ssim_distance(x, window_statistics(x)).abs().max()) == 0
        error = PhotometricError()(x, window_statistics(x))
        assert float(error.abs().max()) == 0

    def test_symmetric_and_bounded(self) -> None:
        x, y = noise(1, 3, 16, 16), 1 - noise(1, 3, 16, 16)
        one, other = ssim_distance(x, window_statistics(y)), ssim_distance(y, window_statistics(x))
        torch.testing.assert_close(one, other)
        assert float(one.min()) >= 0
        assert float(one.max()) <= 1

    def test_box_sum_adjoint_is_its_transpose(self) -> None:
        x, y = noise(1, 1, 6, 7), noise(1, 1, 6, 7, seed=1)
        left = (ssim.box_sum(x) * y).sum()
        right = (x * ssim.box_sum_adjoint(y)).sum()
        torch.testing.assert_close(left, right)

    def test_inputs_are_left_alone(self) -> None:
        x, y = noise(1, 3, 8, 8).requires_grad_(), noise(1, 3, 8, 8, seed=1)
        before = x.detach().clone(), y.clone()
        target = window_statistics(y)
        ssim_distance(x, target).sum().backward()
        ssim_distance(x, target).sum().backward()  # statistics serve twice
        assert torch.equal(x.detach(), before[0])
        assert torch.equal(y, before[1])


def both(count: int) -> torch.Tensor:
    """Two sources that every sample has."""
    return torch.ones(2, count, dtype=torch.bool)


class TestMinimumReprojection:
    def test_takes_the_source_that_sees_each_pixel(self) -> None:
        """With half of each of two sources occluded, the other one decides there."""
        good, bad = noise(1, 1, 1, 8, 8), 1 + noise(1, 1, 1, 8, 8)
        left = torch.arange(8).expand(1, 1, 1, 8, 8) < 4
        errors = torch.stack([torch.where(left, good, bad), torch.where(left, bad, good)])
        result = MinimumReprojection()(errors, None, None, both(1))
        torch.testing.assert_close(result.error, good)
        torch.testing.assert_close(result.loss, good.mean().reshape(1))

    def test_unmoved_sources_win_where_they_fit_better(self) -> None:
        warped = torch.full((2, 2, 1, 1, 4, 4), 0.3)
        unmoved = torch.full((2, 1, 1, 4, 4), 0.5)
        unmoved[0, 0, 0, :2] = 0.1
        result = MinimumReprojection()(warped, unmoved, None, both(1))
        assert result.used[0, 0, 0, 2:].all()
        assert not result.used[0, 0, 0, :2].any()
        assert float(result.loss[0]) == pytest.approx(0.2, abs=1e-4)

    def test_unseen_pixels_are_no_candidates(self) -> None:
        warped = torch.tensor([[[[[[0.1, 0.1]]]]], [[[[[0.4, 0.4]]]]]])
        visible = torch.tensor([[[[[[True, False]]]]], [[[[[True, True]]]]]])
        result = MinimumReprojection()(warped, None, visible, both(1))
        torch.testing.assert_close(result.error.flatten(), torch.tensor([0.1, 0.4]))
        nowhere = MinimumReprojection()(warped, None, torch.zeros_like(visible), both(1))
        assert float(nowhere.loss) == 0
        assert not nowhere.used.any()

    @pytest.mark.parametrize('automask', [False, True])
    def test_what_a_sample_lacks_is_no_candidate_though_it_fits_best(self, automask: bool) -> None:
        """Against each sample alone with the sources it has; without any it costs nothing."""
        warped = noise(2, 3, 4, 1, 6, 7).requires_grad_()
        unmoved = noise(2, 4, 1, 6, 7, seed=1) + 0.3 if automask else None
        available = torch.tensor([[True, True, False, False], [True, False, True, False]])
        result = MinimumReprojection()(warped, unmoved, None, available)
        for i, sources in enumerate(([0, 1], [0], [1])):
            part = warped[sources, :, i].min(0).values
            if unmoved is not None:
                part = torch.minimum(part, unmoved[sources, i].min(0).values)
            torch.testing.assert_close(result.error[:, i], part, atol=1e-4, rtol=0)
        assert float(result.error[:, 3].detach().abs().max()) == 0
        assert not result.used[:, 3].any()
        (gradient,) = torch.autograd.grad(result.loss.sum(), warped)
        lacking = ~available[:, None, :, None, None, None].expand_as(gradient)
        assert float(gradient[lacking].abs().max()) == 0
        assert float(gradient.abs().max()) > 0


class TestSmoothness:
    def test_scale_of_the_disparity_does_not_matter_and_constants_are_smooth(self) -> None:
        image, disparity = noise(2, 3, 12, 16), noise(2, 1, 12, 16, seed=1)
        loss = EdgeAwareSmoothness()
        torch.testing.assert_close(loss(7 * disparity, image), loss(disparity, image))
        assert float(loss(torch.full_like(disparity, 0.3), image)) == 0

    def test_equals_a_loop_over_pixels(self) -> None:
        image, disparity = noise(1, 3, 5, 6), noise(1, 1, 5, 6, seed=1)
        d = (disparity / (disparity.mean() + 1e-7))[0, 0].numpy()
        rgb = image[0].numpy()
        along_x = [abs(d[v, u + 1] - d[v, u])
                   * math.exp(-np.abs(rgb[:, v, u + 1] - rgb[:, v, u]).mean())
                   for v in range(5) for u in range(5)]  # fmt: skip
        along_y = [abs(d[v + 1, u] - d[v, u])
                   * math.exp(-np.abs(rgb[:, v + 1, u] - rgb[:, v, u]).mean())
                   for v in range(4) for u in range(6)]  # fmt: skip
        expected = np.mean(along_x) + np.mean(along_y)
        assert float(EdgeAwareSmoothness()(disparity, image)) == pytest.approx(expected)

    def test_gradcheck(self) -> None:
        disparity = (0.1 + noise(1, 1, 4, 5, seed=1)).requires_grad_()
        image = noise(1, 3, 4, 5)
        assert torch.autograd.gradcheck(lambda d: EdgeAwareSmoothness()(d, image), disparity)


def static_views(count: int, size: tuple[int, int] = (32, 48)) -> Views:
    """Sources that equal the target, though the camera is said to have moved."""
    target = noise(count, 3, *size).float()
    transform = motion_to_transform(
        torch.full((2, count, 3), 0.02), torch.full((2, count, 3), 0.05)
    )
    camera = torch.tensor([40.0, 40.0, 23.5, 15.5]).expand(count, 4)
    return Views(
        target, torch.stack([target, target]), camera, camera.expand(2, count, 4), transform,
        torch.ones(count), torch.ones(2, count, dtype=torch.bool),
    )  # fmt: skip


def random_disparities(count: int, size: tuple[int, int] = (32, 48)) -> list[torch.Tensor]:
    return [
        noise(count, 1, size[0] >> s, size[1] >> s, seed=s).float().requires_grad_()
        for s in range(4)
    ]


class TestSelfSupervised:
    def test_standing_still_teaches_nothing(self) -> None:
        views, disparities = static_views(2), random_disparities(2)
        result = SelfSupervisedLoss(*RANGE, smoothness_weight=0.0)(disparities, views)
        assert abs(float(result.total.detach())) < 1e-4
        gradients = torch.autograd.grad(result.total, disparities)
        assert all(float(g.abs().sum()) < 1e-2 for g in gradients)

    def test_one_sample_at_a_time_equals_all_together(self) -> None:
        views, disparities = static_views(3), random_disparities(3)
        sources = noise(2, 3, 3, 32, 48, seed=5).float()
        views = Views(
            views.target, sources, views.target_intrinsics, views.source_intrinsics,
            views.source_T_target, torch.tensor([0.5, 1.0, 2.0]),
            torch.tensor([[True, True, False], [True, False, False]]),
        )  # fmt: skip
        loss = SelfSupervisedLoss(*RANGE, automask=False)
        apart, together = loss(disparities, views), loss._of_batch(disparities, views)
        for name in ('total', 'photometric', 'smoothness'):
            torch.testing.assert_close(getattr(apart, name), getattr(together, name))
        for one, other in zip(
            torch.autograd.grad(apart.total, disparities),
            torch.autograd.grad(together.total, disparities),
        ):
            torch.testing.assert_close(one, other)

    def test_weights_are_the_papers(self) -> None:
        """Mean over scales of photometric + 1e-3 / 2^s of smoothness."""
        views, disparities = static_views(1), random_disparities(1)
        loss = SelfSupervisedLoss(*RANGE, automask=False)
        image, smooth = views.target, []
        for s, disparity in enumerate(disparities):
            smooth.append(float(EdgeAwareSmoothness()(disparity.detach(), image)) * 1e-3 / 2**s)
            image = functional.avg_pool2d(image, 2)
        result = loss(disparities, views)
        expected = float(result.photometric) + sum(smooth) / 4
        assert float(result.total) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope='module')
def scene() -> tuple[Views, torch.Tensor]:
    """Three frames of a rendered walk with their true geometry, and the target's depth."""
    camera = Intrinsics(90.0, 90.0, 63.5, 47.5, 128, 96)
    room = synthetic.make_scene(seed=3)
    poses = synthetic.make_path(room, frames=3, rate_hz=3.0, seed=3)
    pictures, depths = zip(*(synthetic.render(room, camera, pose) for pose in poses))
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    world_T = torch.from_numpy(np.stack(poses)).float()
    source_T_target = invert_transform(world_T[[0, 2]]) @ world_T[1]
    numbers = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    views = Views(
        images[1:2], images[[0, 2]][:, None], numbers, numbers.expand(2, 1, 4),
        source_T_target[:, None], torch.ones(1), torch.ones(2, 1, dtype=torch.bool),
    )  # fmt: skip
    return views, torch.from_numpy(depths[1])[None, None].float()


class TestOnARenderedScene:
    def photometric(self, views: Views, depth: torch.Tensor) -> float:
        loss = SelfSupervisedLoss(*RANGE, automask=False)
        disparity = depth_to_disparity(depth, *RANGE)
        return float(loss([disparity], views).photometric)

    def test_true_depth_and_pose_explain_the_images(self, scene) -> None:
        views, depth = scene
        true = self.photometric(views, depth)
        assert true < 0.05
        assert true < 0.5 * self.photometric(views, 1.5 * depth)
        assert true < 0.5 * self.photometric(views, torch.full_like(depth, float(depth.mean())))

    def test_a_wrong_pose_does_not(self, scene) -> None:
        views, depth = scene
        backwards = invert_transform(views.source_T_target)
        wrong = dataclasses.replace(views, source_T_target=backwards)
        assert self.photometric(views, depth) < 0.5 * self.photometric(wrong, depth)

    def test_depth_and_translation_share_one_unit(self, scene) -> None:
        views, depth = scene
        transform = views.source_T_target.clone()
        transform[..., :3, 3] *= 3.0
        scaled = dataclasses.replace(views, source_T_target=transform)
        assert self.photometric(scaled, 3 * depth) == pytest.approx(
            self.photometric(views, depth), abs=1e-4
        )

    def test_focal_factor_stands_for_a_multiplied_depth(self, scene) -> None:
        views, depth = scene
        factored = dataclasses.replace(views, depth_factor=torch.tensor([2.0]))
        assert self.photometric(factored, depth / 2) == pytest.approx(
            self.photometric(views, depth), abs=1e-4
        )


class TestLogDepth:
    def test_a_constant_factor_costs_its_logarithm(self) -> None:
        truth = 1 + noise(2, 1, 16, 16)
        assert float(LogDepthLoss()(truth, truth)) == 0
        assert float(LogDepthLoss()(2 * truth, truth)) == pytest.approx(math.log(2))

    @pytest.mark.parametrize('unknown', [float('nan'), 0.0, -1.0, float('inf')])
    def test_unknown_truth_has_no_say(self, unknown: float) -> None:
        truth, depth = 1 + noise(1, 1, 8, 8), (1 + noise(1, 1, 8, 8, seed=1)).requires_grad_()
        holed = truth.clone()
        holed[..., :4] = unknown
        loss = LogDepthLoss()(depth, holed)
        (gradient,) = torch.autograd.grad(loss, depth)
        assert math.isfinite(float(loss))
        assert float(gradient[..., :4].abs().max()) == 0
        torch.testing.assert_close(loss, LogDepthLoss()(depth[..., 4:], truth[..., 4:]))
        nothing = LogDepthLoss()(depth, torch.full_like(truth, unknown))
        assert float(nothing) == 0
        assert float(torch.autograd.grad(nothing, depth)[0].abs().max()) == 0

    def test_blurred_edges_cost_more_than_sharp_ones_of_equal_error(self) -> None:
        truth = torch.ones(1, 1, 8, 16)
        truth[..., 8:] = 3.0
        shifted = truth * 1.1
        ramp = truth.clone()
        ramp[..., 6:10] = torch.tensor([1.3, 1.8, 2.2, 2.6])
        mean_error = LogDepthLoss(gradient_weight=0)
        assert float(mean_error(ramp, truth)) < 1.5 * float(mean_error(shifted, truth))
        assert float(LogDepthLoss()(ramp, truth)) > 1.5 * float(LogDepthLoss()(shifted, truth))

    def test_gradcheck(self) -> None:
        truth = 1 + noise(1, 1, 6, 7)
        truth[0, 0, 2, 3] = float('nan')
        depth = (1 + noise(1, 1, 6, 7, seed=1)).float().double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda d: LogDepthLoss()(d, truth), depth, eps=1e-3, atol=1e-3
        )


class TestMotion:
    @pytest.mark.parametrize('angle', [0.0, 1e-3, 0.1, 1.5, 3.0])
    def test_angle_between_rotations(self, angle: float) -> None:
        base = axis_angle_to_matrix(torch.tensor([0.3, -0.2, 0.5]).double())
        turn = axis_angle_to_matrix(angle * torch.tensor([0.6, 0.0, 0.8]).double())
        assert float(geodesic_angle(base, base @ turn)) == pytest.approx(angle, abs=1e-4)

    def test_translation_counts_relative_to_its_length(self) -> None:
        still = torch.zeros(1, 3)
        known = torch.tensor([True])
        near = motion_to_transform(still, torch.tensor([[0.0, 0.0, 0.1]]))
        far = motion_to_transform(still, torch.tensor([[0.0, 0.0, 1.0]]))
        loss = MotionLoss()
        assert float(loss(near * 1.0, near, known).total) == pytest.approx(0, abs=1e-3)
        off_near = motion_to_transform(still, torch.tensor([[0.0, 0.0, 0.12]]))
        off_far = motion_to_transform(still, torch.tensor([[0.0, 0.0, 1.2]]))
        for wrong, true in ((off_near, near), (off_far, far)):
            assert float(loss(wrong, true, known).translation) == pytest.approx(0.2, abs=2e-3)

    def test_samples_without_truth_have_no_say(self) -> None:
        motion = torch.tensor([[0.1, 0, 0, 0.1, 0, 0.2]] * 2, requires_grad=True)
        predicted = motion_to_transform(motion[:, :3], motion[:, 3:])
        truth = torch.stack([torch.eye(4), torch.full((4, 4), float('nan'))])
        result = MotionLoss()(predicted, truth, torch.tensor([True, False]))
        alone = MotionLoss()(predicted[:1], truth[:1], torch.tensor([True]))
        torch.testing.assert_close(result.total, alone.total)
        (gradient,) = torch.autograd.grad(result.total, motion)
        assert torch.isfinite(gradient).all()
        assert float(gradient[1].abs().max()) == 0
        nothing = MotionLoss()(predicted, truth, torch.tensor([False, False]))
        assert float(nothing.total) == 0

    def test_gradient_points_somewhere_from_no_motion(self) -> None:
        motion = torch.zeros(1, 6, requires_grad=True)
        predicted = motion_to_transform(motion[:, :3], motion[:, 3:])
        truth = motion_to_transform(torch.tensor([[0.0, 0.1, 0.0]]), torch.tensor([[0, 0, -0.2]]))
        loss = MotionLoss()(predicted, truth, torch.tensor([True])).total
        (gradient,) = torch.autograd.grad(loss, motion)
        assert float(gradient[0, 1]) < -1
        assert float(gradient[0, 5]) > 1

    def test_gradcheck(self) -> None:
        motion = (noise(2, 6) - 0.5).requires_grad_()
        truth = motion_to_transform(noise(2, 3, seed=1), noise(2, 3, seed=2))
        known = torch.tensor([True, True])

        def loss(motion: torch.Tensor) -> torch.Tensor:
            predicted = motion_to_transform(motion[:, :3], motion[:, 3:])
            return MotionLoss()(predicted, truth, known).total

        assert torch.autograd.gradcheck(loss, motion)

    def test_coarse_images_show_the_way_back_from_a_large_turn(self, scene) -> None:
        """From a dozen pixels off, the coarse error falls towards the truth all the way."""
        views, depth = scene
        loss, disparity = CoarsePhotometricLoss(*RANGE), depth_to_disparity(depth, *RANGE)
        fx = float(views.target_intrinsics[0, 0])
        errors = []
        for pixels in (0, 3, 6, 9, 12):
            yaw = torch.tensor([[[0.0, math.atan(pixels / fx), 0.0]]]).expand(2, 1, 3)
            turn = motion_to_transform(yaw, torch.zeros(2, 1, 3))
            turned = dataclasses.replace(views, source_T_target=turn @ views.source_T_target)
            errors.append(float(loss(disparity, turned)))
        assert errors == sorted(errors)
        assert errors[0] < 0.5 * errors[-1]

    def test_shrunk_views_keep_rays_and_colours(self, scene) -> None:
        views, _ = scene
        small = views.shrunk(4)
        assert small.target.shape == (1, 3, 24, 32)
        assert small.sources.shape == (2, 1, 3, 24, 32)
        corner = views.target[0, :, :4, :4].mean((1, 2))
        torch.testing.assert_close(small.target[0, :, 0, 0], corner)
        fx, fy, cx, cy = views.target_intrinsics[0]
        small_fx, small_fy, small_cx, small_cy = small.target_intrinsics[0]
        # Both images end at the same rays: half a pixel outside their outermost pixels.
        torch.testing.assert_close((-0.5 - small_cx) / small_fx, (-0.5 - cx) / fx)
        torch.testing.assert_close((23.5 - small_cy) / small_fy, (95.5 - cy) / fy)
