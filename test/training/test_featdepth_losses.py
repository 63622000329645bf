"""FeatDepth's losses: what the paper says of them, plain second implementations, gradients."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from view_synthesis import depth_to_disparity

from training.geometry import motion_to_transform
from training.losses.coarse import CoarsePhotometricLoss
from training.losses.feature_metric import FeatureMetricLoss
from training.losses.photometric import PhotometricError
from training.losses.robust import robust_distance
from training.losses.self_supervised import SelfSupervisedLoss
from training.losses.single_view import ReconstructionLoss, SingleViewLoss, feature_terms
from training.losses.smoothness import EdgeAwareSmoothness
from training.losses.ssim import window_statistics
from training.losses.views import Views

RANGE = (0.1, 100.0)
FOCAL, DEPTH = 40.0, 4.0


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def discriminative_loss(feature: torch.Tensor, image01: torch.Tensor) -> torch.Tensor:
    return feature_terms(feature, image01)[0]


def convergent_loss(feature: torch.Tensor, image01: torch.Tensor) -> torch.Tensor:
    return feature_terms(feature, image01)[1]


def naive_robust(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return ((a - b) ** 2 + 1e-6).sqrt().mean(-3, keepdim=True)


class TestRobustDistance:
    def test_equals_the_formula_in_value_and_gradients(self) -> None:
        a, b = noise(2, 3, 4, 5, 6).requires_grad_(), noise(3, 4, 5, 6, seed=1).requires_grad_()
        weight = noise(2, 3, 1, 5, 6, seed=2)
        ours, theirs = robust_distance(a, b), naive_robust(a, b)
        torch.testing.assert_close(ours, theirs)
        for one, other in zip(
            torch.autograd.grad((ours * weight).sum(), (a, b)),
            torch.autograd.grad((theirs * weight).sum(), (a, b)),
        ):
            torch.testing.assert_close(one, other)

    def test_gradcheck(self) -> None:
        a, b = noise(2, 1, 2, 3, 3).requires_grad_(), noise(1, 2, 3, 3, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(robust_distance, (a, b))
        assert torch.autograd.gradcheck(lambda x: robust_distance(x, b[0].detach()), a[0, 0])

    def test_equal_images_differ_by_epsilon(self) -> None:
        x = noise(2, 3, 8, 8)
        torch.testing.assert_close(robust_distance(x, x), torch.full((2, 1, 8, 8), 1e-3).double())
        error = PhotometricError(robust=True)(x, window_statistics(x))
        torch.testing.assert_close(error, torch.full((2, 1, 8, 8), 0.15e-3).double())


class TestFeatureTerms:
    def test_constant_features_have_neither_term(self) -> None:
        feature, image = torch.full((2, 4, 8, 12), 0.7), noise(2, 3, 16, 24).float()
        assert float(discriminative_loss(feature, image)) == 0
        assert float(convergent_loss(feature, image)) == 0

    @pytest.mark.parametrize('slope', [0.3, -2.0])
    def test_a_ramp_has_its_slope_where_the_image_is_flat(self, slope: float) -> None:
        feature = (slope * torch.arange(12.0).double()).expand(1, 4, 8, 12)
        image = noise(1, 3, 8, 12)
        flatness = torch.exp(-torch.diff(image, dim=3).abs().mean(1)).mean()
        assert float(convergent_loss(feature, image)) == pytest.approx(0, abs=1e-12)
        found = float(discriminative_loss(feature, image))
        assert found == pytest.approx(-abs(slope) * float(flatness))
        flat = torch.full_like(image, 0.4)
        assert float(discriminative_loss(feature, flat)) == pytest.approx(-abs(slope))

    def test_texture_reduces_what_is_asked_of_features(self) -> None:
        feature = noise(1, 4, 8, 12)
        plain = discriminative_loss(feature, torch.full((1, 3, 8, 12), 0.5).double())
        faint = discriminative_loss(feature, 0.3 * noise(1, 3, 8, 12, seed=1))
        strong = discriminative_loss(feature, noise(1, 3, 8, 12, seed=1))
        assert plain < faint < strong < 0

    @pytest.mark.parametrize('term', [discriminative_loss, convergent_loss])
    def test_terms_have_one_sign_and_scale_with_the_features(self, term) -> None:
        feature, image = noise(2, 4, 8, 12) - 0.5, noise(2, 3, 16, 24)
        value = term(feature, image)
        assert (value < 0) == (term is discriminative_loss)
        torch.testing.assert_close(term(-3 * feature, image), 3 * value)

    def test_equal_a_loop_over_pixels(self) -> None:
        phi, rgb = noise(1, 2, 4, 5)[0].numpy(), noise(1, 3, 4, 5, seed=1)[0].numpy()

        def shifted(x: np.ndarray, axis: int) -> np.ndarray:
            return np.stack([
                x.take(i + 1, axis) - x.take(i, axis) for i in range(x.shape[axis] - 1)
            ], axis)  # fmt: skip

        def weighted(change: np.ndarray, edge: np.ndarray) -> float:
            total, cells = 0.0, list(itertools.product(*map(range, change.shape[1:])))
            for v, u in cells:
                flat = math.exp(-np.abs(edge[:, v, u]).mean())
                total += flat * np.abs(change[:, v, u]).mean()
            return total / len(cells)

        first, second = 0.0, 0.0
        for a in (1, 2):
            first += weighted(shifted(phi, a), shifted(rgb, a))
            for b in (1, 2):
                second += weighted(shifted(shifted(phi, a), b), shifted(shifted(rgb, a), b))
        feature, image = torch.from_numpy(phi)[None], torch.from_numpy(rgb)[None]
        assert float(discriminative_loss(feature, image)) == pytest.approx(-first)
        assert float(convergent_loss(feature, image)) == pytest.approx(second)

    def test_a_feature_of_one_pixel_has_no_differences(self) -> None:
        feature = noise(1, 4, 1, 2)
        image = noise(1, 3, 32, 64)
        assert math.isfinite(float(discriminative_loss(feature, image)))
        assert float(convergent_loss(feature, image)) == 0


class TestSingleView:
    def test_weights_are_the_papers(self) -> None:
        image = noise(2, 3, 64, 96)
        features = [noise(2, 3 + i, 32 >> i, 48 >> i, seed=i) for i in range(5)]
        pictures = [noise(2, 3, 64 >> s, 96 >> s, seed=10 + s) for s in range(4)]
        result = SingleViewLoss()(features, pictures, image)
        expected = 0.0
        for picture in pictures:
            small = functional.interpolate(image, picture.shape[-2:], mode='bilinear')
            error = PhotometricError(robust=True)(picture, window_statistics(small))
            expected += float(error.mean()) / 4
        assert float(result.reconstruction) == pytest.approx(expected)
        for i, feature in enumerate(features):
            dis = float(discriminative_loss(feature, image))
            cvt = float(convergent_loss(feature, image))
            expected += (1e-3 * dis + 1e-3 * cvt) / (2**i * 5)
        assert float(result.total) == pytest.approx(expected, rel=1e-6)

    def test_a_perfect_reconstruction_costs_what_rounding_costs(self) -> None:
        image = noise(1, 3, 32, 32)
        assert float(ReconstructionLoss()([image], image)) == pytest.approx(0.15e-3, rel=1e-3)


class TestSmoothness:
    def test_second_order_equals_the_four_differences(self) -> None:
        image, disparity = noise(1, 3, 6, 7), noise(1, 1, 6, 7, seed=1)
        expected = 0.0
        for a in (2, 3):
            d, i = torch.diff(disparity, dim=a), torch.diff(image, dim=a)
            pairs = [(d, i)] + [(torch.diff(d, dim=b), torch.diff(i, dim=b)) for b in (2, 3)]
            for change, edge in pairs:
                weight = torch.exp(-0.5 * edge.abs().mean(1, keepdim=True))
                expected += float((change.abs() * weight).mean())
        loss = EdgeAwareSmoothness(edges=0.5, second_order=True, normalised=False)
        assert float(loss(disparity, image)) == pytest.approx(expected)

    def test_planes_have_no_second_differences(self) -> None:
        ramp = (0.1 * torch.arange(8.0)).expand(1, 1, 8, 8).double()
        image = noise(1, 3, 8, 8)
        one = EdgeAwareSmoothness(normalised=False)(ramp, image)
        both = EdgeAwareSmoothness(second_order=True, normalised=False)(ramp, image)
        torch.testing.assert_close(one, both)
        second = EdgeAwareSmoothness(first_order=False, second_order=True, normalised=False)
        assert float(second(ramp, image)) == pytest.approx(0, abs=1e-7)
        bent = second(ramp.square(), image)
        torch.testing.assert_close(second(ramp.square() + ramp, image), bent)
        assert float(bent) > 0


def feature_views(
    sources: torch.Tensor, target: torch.Tensor, shift: tuple[float, ...] = (0, 0, 0)
) -> Views:
    """Views of images 48 x 32 seen as these features, every source camera moved by `shift`."""
    count, batch = sources.shape[:2]
    image = torch.zeros(batch, 3, 32, 48)
    camera = torch.tensor([FOCAL, FOCAL, 23.5, 15.5]).expand(batch, 4)
    move = torch.tensor([shift]).float().expand(count, batch, 3)
    transform = motion_to_transform(torch.zeros_like(move), move)
    views = Views(
        image, image.expand(count, *image.shape), camera, camera.expand(count, batch, 4),
        transform, torch.ones(batch), torch.ones(count, batch, dtype=torch.bool),
    )  # fmt: skip
    return views.featured(target, sources)


def disparity_of(depth: float, batch: int = 1, size: tuple[int, int] = (16, 24)) -> torch.Tensor:
    return depth_to_disparity(torch.full((batch, 1, *size), depth), *RANGE)


class TestFeatureMetric:
    def test_a_still_camera_finds_its_own_features(self) -> None:
        phi = noise(2, 5, 16, 24).float()
        loss = FeatureMetricLoss(*RANGE)(disparity_of(DEPTH, 2), feature_views(phi[None], phi))
        assert float(loss) == pytest.approx(1e-3, rel=1e-3)

    @pytest.mark.parametrize('size', [(16, 24), (32, 48)])
    def test_a_step_aside_shifts_by_half_the_focal_length(self, size: tuple[int, int]) -> None:
        """fx / 2 * b / Z = 2 feature pixels; disparities of full size are averaged."""
        phi = noise(1, 5, 16, 24).float()
        source = phi.roll(2, dims=3)
        step = 2 * DEPTH / (FOCAL / 2)
        disparity = disparity_of(DEPTH, size=size)
        loss = FeatureMetricLoss(*RANGE)
        right = loss(disparity, feature_views(source[None], phi, (step, 0, 0)))
        wrong = loss(disparity, feature_views(source[None], phi, (-step, 0, 0)))
        # Only the last two columns see past the border.
        assert float(right) < 2e-3 + 0.4 * 2 / 24
        assert float(wrong) > 3 * float(right)

    def test_plain_surfaces_have_a_gradient_where_features_have_one(self) -> None:
        ramp = (0.1 * torch.arange(24.0)).expand(1, 5, 16, 24)
        views = feature_views((ramp + 0.05)[None], ramp, (0.3, 0, 0))
        disparity = disparity_of(DEPTH).requires_grad_()
        (gradient,) = torch.autograd.grad(FeatureMetricLoss(*RANGE)(disparity, views), disparity)
        assert float(gradient[..., 4:-4].abs().min()) > 0
        grey = torch.full((1, 3, 16, 24), 0.5)
        plain = replace(views, target=grey, sources=grey[None])
        photometric = SelfSupervisedLoss(*RANGE, smoothness_weight=0.0, automask=False)
        total = photometric([disparity], plain).total
        assert float(torch.autograd.grad(total, disparity)[0].abs().max()) == 0

    def test_the_better_source_decides(self) -> None:
        phi, garbage = noise(2, 5, 16, 24).float(), 7 + noise(2, 5, 16, 24, seed=1).float()
        disparity, loss = disparity_of(DEPTH, 2), FeatureMetricLoss(*RANGE)
        alone = loss(disparity, feature_views(0.9 * phi[None], phi))
        both = loss(disparity, feature_views(torch.stack([garbage, 0.9 * phi]), phi))
        torch.testing.assert_close(both, alone)

    def test_sources_that_a_sample_lacks_have_no_say(self) -> None:
        phi = noise(2, 5, 16, 24).float()
        sources = torch.stack([0.5 * phi, phi])
        views = feature_views(sources, phi)
        lacking = replace(views, available=torch.tensor([[True, False], [False, False]]))
        loss, disparity = FeatureMetricLoss(*RANGE), disparity_of(DEPTH, 2)
        one = loss(disparity[:1], feature_views(0.5 * phi[None, :1], phi[:1]))
        assert float(loss(disparity, lacking)) == pytest.approx(float(one) / 2)

    def test_one_sample_at_a_time_equals_all_together_in_all_gradients(self) -> None:
        target, sources = noise(3, 5, 16, 24).float(), noise(2, 3, 5, 16, 24, seed=1).float()
        disparity = noise(3, 1, 16, 24, seed=2).float() * 0.1 + 0.02
        inputs = [tensor.requires_grad_() for tensor in (disparity, target, sources)]
        views = feature_views(sources, target, (0.2, 0.0, 0.1))
        loss = FeatureMetricLoss(*RANGE)
        apart, together = loss(disparity, views), loss._of_batch(disparity, views)
        torch.testing.assert_close(apart, together)
        for one, other in zip(
            torch.autograd.grad(apart, inputs), torch.autograd.grad(together, inputs)
        ):
            torch.testing.assert_close(one, other)
            assert float(one.abs().max()) > 0

    def test_focal_factor_stands_for_a_multiplied_depth(self) -> None:
        phi = noise(1, 5, 16, 24).float()
        views = feature_views(noise(1, 1, 5, 16, 24, seed=1).float(), phi, (0.3, 0, 0))
        loss = FeatureMetricLoss(*RANGE)
        factored = replace(views, depth_factor=torch.tensor([2.0]))
        assert float(loss(disparity_of(DEPTH / 2), factored)) == pytest.approx(
            float(loss(disparity_of(DEPTH), views)), rel=1e-4
        )


def test_photometric_losses_take_disparities_of_half_the_size() -> None:
    target, source = noise(1, 3, 64, 96).float(), noise(1, 1, 3, 64, 96, seed=1).float()
    views = feature_views(source, target, (0.1, 0, 0))
    half = [noise(1, 1, 32 >> s, 48 >> s, seed=s).float() for s in range(4)]
    whole = [functional.interpolate(half[0], (64, 96), mode='bilinear')]
    loss = SelfSupervisedLoss(*RANGE, automask=False)
    torch.testing.assert_close(loss(half[:1], views).photometric, loss(whole, views).photometric)
    smooth = [
        float(EdgeAwareSmoothness()(d, functional.avg_pool2d(target, 2 << s)))
        for s, d in enumerate(half)
    ]
    assert float(loss(half, views).smoothness) == pytest.approx(np.mean(smooth), rel=1e-5)
    assert math.isfinite(float(CoarsePhotometricLoss(*RANGE)(half[0], views)))
