"""Derivative losses at six scales: loops that filter each map for itself, known values, masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from training.losses.derivatives import LEVELS, Derivative, derivative_errors

EVERY = tuple(Derivative)
SCHARR_X = np.array([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]) / 32
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
BLUR = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_of(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def errors(difference: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
    """Every derivative, [3, B]."""
    known = all_of(difference) if known is None else known
    return torch.stack(derivative_errors(difference.masked_fill(~known, 0), known, EVERY))


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The sum under the kernel around each pixel; NaN where it touches NaN or the border."""
    reach = len(kernel) // 2
    result = np.full(image.shape, np.nan)
    for y in range(reach, image.shape[0] - reach):
        for x in range(reach, image.shape[1] - reach):
            window = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
            result[y, x] = (window * kernel).sum()  # zeros of the kernel do not hide NaN
    return result


def naive_error(prediction: np.ndarray, truth: np.ndarray, derivative: Derivative) -> float:
    """One image pair [H, W], truth NaN where unknown: each filtered for itself."""
    prediction = np.where(np.isnan(truth), np.nan, prediction)
    total = 0.0
    for _ in range(LEVELS):
        values = []
        kernels = [LAPLACE] if derivative is Derivative.MALE else [SCHARR_X, SCHARR_X.T]
        for kernel in kernels:
            change = filtered(prediction, kernel) - filtered(truth, kernel)
            values.append(change**2 if derivative is Derivative.MSGE else np.abs(change))
        value = np.mean(values, axis=0)
        if not np.isnan(value).all():
            total += np.nanmean(value) / 6
        prediction, truth = (filtered(x, BLUR)[2:-2:2, 2:-2:2] for x in (prediction, truth))
    return float(total)


def pairs(
    prediction: torch.Tensor, truth: torch.Tensor
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image by image, [H, W]."""
    return zip(prediction[:, 0].numpy(), truth[:, 0].numpy())


class TestAgainstLoops:
    @pytest.mark.parametrize('size', [(1, 9), (2, 2), (3, 3), (4, 7), (5, 5), (23, 38), (61, 47)])
    @pytest.mark.parametrize('derivative', EVERY)
    def test_every_size(self, size: tuple[int, int], derivative: Derivative) -> None:
        prediction, truth = noise(2, 1, *size), noise(2, 1, *size, seed=1)
        ours = derivative_errors(prediction - truth, all_of(truth), [derivative])[0]
        naive = [naive_error(*pair, derivative) for pair in pairs(prediction, truth)]
        torch.testing.assert_close(ours, torch.tensor(naive, dtype=torch.float64))

    def test_all_six_levels(self) -> None:
        """The least image that has them: 189, 93, 45, 21, 9, 3."""
        prediction, truth = noise(1, 1, 189, 190), noise(1, 1, 189, 190, seed=1)
        ours = errors(prediction - truth)[:, 0]
        for derivative, error in zip(EVERY, ours):
            naive = naive_error(*next(pairs(prediction, truth)), derivative)
            assert float(error) == pytest.approx(naive)

    @pytest.mark.parametrize('derivative', EVERY)
    def test_unknown_pixels(self, derivative: Derivative) -> None:
        """One image with a few holes, one with many, one without anything known."""
        prediction, truth = noise(3, 1, 29, 41), noise(3, 1, 29, 41, seed=1)
        share = torch.tensor([0.01, 0.15, 1.0]).reshape(3, 1, 1, 1)
        known = noise(3, 1, 29, 41, seed=2) >= share
        difference = (prediction - truth).masked_fill(~known, 0)
        ours = derivative_errors(difference, known, [derivative])[0]
        holed = truth.masked_fill(~known, float('nan'))
        naive = [naive_error(*pair, derivative) for pair in pairs(prediction, holed)]
        torch.testing.assert_close(ours, torch.tensor(naive, dtype=torch.float64))
        assert naive[0] > 0 < naive[1]
        assert float(ours[2]) == 0


class TestKnownValues:
    def test_equal_maps_differ_by_nothing(self) -> None:
        x = noise(2, 1, 50, 61)
        assert float(errors(x - x).abs().max()) == 0

    def test_a_constant_difference_is_no_difference(self) -> None:
        x = noise(2, 1, 50, 61) - noise(2, 1, 50, 61, seed=1)
        torch.testing.assert_close(errors(x + 3.7), errors(x))
        assert float(errors(torch.full((1, 1, 70, 80), 0.37)).max()) < 1e-6

    def test_a_ramp_has_its_slope_and_no_laplacian(self) -> None:
        """Each level has twice the slope per pixel of the one before; the axes are averaged."""
        y, x = torch.meshgrid(torch.arange(200.0), torch.arange(230.0), indexing='ij')
        ramp = (0.3 * x.double() - 0.1 * y.double() + 2)[None, None]
        mage, male, msge = errors(ramp)[:, 0].tolist()
        slopes = 2.0 ** np.arange(6)
        assert mage == pytest.approx(0.2 * slopes.mean())
        assert male == pytest.approx(0, abs=1e-12)
        assert msge == pytest.approx((0.09 + 0.01) / 2 * (slopes**2).mean())

    def test_the_laplacian_of_a_parabola_is_its_curvature(self) -> None:
        x = torch.arange(220.0).double().expand(1, 1, 200, 220)
        found = derivative_errors(0.5 * x * x, all_of(x), [Derivative.MALE])[0]
        assert float(found) == pytest.approx((4.0 ** np.arange(6)).mean())

    def test_derivatives_scale_with_their_power(self) -> None:
        x = noise(1, 1, 40, 40)
        torch.testing.assert_close(
            errors(-2 * x), errors(x) * torch.tensor([[2.0], [2.0], [4.0]]).double()
        )

    def test_an_image_with_fewer_levels_still_has_a_sixth_of_each(self) -> None:
        x = torch.arange(5.0).double().expand(1, 1, 5, 5)
        found = derivative_errors(x, all_of(x), [Derivative.MAGE])[0]
        assert float(found) == pytest.approx(0.5 / 6)

    def test_too_small_for_any_kernel_costs_nothing(self) -> None:
        assert float(errors(noise(2, 1, 2, 50)).abs().max()) == 0

    def test_the_order_asked_for_is_the_order_given(self) -> None:
        x = noise(1, 1, 20, 20)
        backwards = derivative_errors(x, all_of(x), EVERY[::-1])
        torch.testing.assert_close(torch.stack(backwards).flip(0), errors(x))


class TestMasks:
    def test_one_unknown_pixel_is_gone_from_its_place_at_all_levels(self) -> None:
        """A spike next to an unknown pixel is seen by no kernel that avoids the unknown one."""
        known = torch.ones(1, 1, 45, 45, dtype=torch.bool)
        known[..., 22, 22] = False
        x = torch.zeros(1, 1, 45, 45).double()
        x[..., 22, 22] = 1e6
        assert float(errors(x, known).max()) == 0

    def test_nothing_reaches_the_unknown_and_nothing_leaves_it(self) -> None:
        known = noise(2, 1, 37, 46, seed=3) > 0.05
        x = noise(2, 1, 37, 46).requires_grad_()
        other = torch.where(known, x.detach(), 100 * noise(2, 1, 37, 46, seed=4))
        assert torch.equal(errors(x, known), errors(other, known))
        (gradient,) = torch.autograd.grad(errors(x, known).sum(), x)
        assert float(gradient[~known].abs().max()) == 0
        assert float(gradient[known].abs().max()) > 0

    def test_images_do_not_see_each_other(self) -> None:
        known = noise(3, 1, 30, 33, seed=3) > 0.1
        x = noise(3, 1, 30, 33)
        apart = [errors(x[i : i + 1], known[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(errors(x, known), torch.cat(apart, 1))


@pytest.mark.parametrize('derivative', EVERY)
@pytest.mark.parametrize('size', [(5, 4), (11, 14)])
def test_gradcheck(size: tuple[int, int], derivative: Derivative) -> None:
    x = noise(2, 1, *size).requires_grad_()
    known = noise(2, 1, *size, seed=1) > 0.05

    def loss(x: torch.Tensor) -> torch.Tensor:
        return derivative_errors(x.masked_fill(~known, 0), known, [derivative])[0]

    assert torch.autograd.gradcheck(loss, x)
