"""Combining candidates in the Fourier domain: the transform, the fit and its properties."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth_ros.errors import ConfigError, ModelError
from training.fusion.combination import CombinationWeights, FourierCombination
from training.fusion.corner_crops import Candidates, CropSizes
from training.fusion.filling import fill_unknown
from training.fusion.fit import CombinationFit
from training.fusion.shrinkage import PAPER, Shrinkage, convex_weights
from training.fusion.spectra import Spectra

GRID = (18, 24)
CANDIDATES = Candidates((1.0, 0.8, 0.6), True, CropSizes((60, 80), (32, 32), (25, 32), GRID))
IMAGES = 60


def rooms(seed: int, count: int = IMAGES) -> np.ndarray:
    """Smooth depth maps [count,N1,N2]."""
    random = np.random.default_rng(seed)
    return np.stack([
        cv2.GaussianBlur(random.uniform(1, 5, GRID), (0, 0), 2.0) for _ in range(count)
    ])  # fmt: skip


def noisy(truth_m: np.ndarray, seed: int = 1) -> np.ndarray:
    """Candidates [count,M,N1,N2], worse ones last, each with an offset of its own."""
    random = np.random.default_rng(seed)
    offsets = random.normal(size=(6, *GRID))
    spread = (0.1 + 0.05 * np.arange(6))[:, None, None]
    noise = random.normal(size=(len(truth_m), 6, *GRID))
    return truth_m[:, None] + spread * noise + 0.3 * offsets


def fitted(candidates: np.ndarray, truth_m: np.ndarray, **options) -> CombinationWeights:
    fit = CombinationFit(CANDIDATES)
    for one, truth in zip(candidates, truth_m):
        fit.add(one, truth)
    return fit.weights(**options)


def combined(weights: CombinationWeights, candidates: np.ndarray) -> np.ndarray:
    return FourierCombination(weights)(torch.from_numpy(candidates).float()).numpy()


@pytest.mark.parametrize('size', [(18, 24), (7, 9), (8, 5), (5, 8)])
def test_spectra_are_numpy_s_and_come_back(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, *size))
    spectra = Spectra(*size)
    real, imaginary = spectra(torch.from_numpy(maps).float())
    expected = np.fft.rfft2(maps)
    np.testing.assert_allclose(real.numpy(), expected.real, atol=2e-4)
    np.testing.assert_allclose(imaginary.numpy(), expected.imag, atol=2e-4)
    np.testing.assert_allclose(spectra.backward_maps(real, imaginary).numpy(), maps, atol=1e-5)


def test_the_combination_is_the_paper_s_equation() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    weights = fitted(candidates, truth_m)
    spectrum = np.zeros(GRID[0] * (GRID[1] // 2 + 1), complex)
    found = np.fft.rfft2(candidates[0]).reshape(6, -1)[:, weights.bins]
    spectrum[weights.bins] = (
        (weights.weight_real * (found.real - weights.bias_real)).sum(0)
        + 1j * (weights.weight_imaginary * (found.imag - weights.bias_imaginary)).sum(0)
    )  # fmt: skip
    expected = np.fft.irfft2(spectrum.reshape(GRID[0], -1), GRID)
    np.testing.assert_allclose(combined(weights, candidates[:1])[0], expected, atol=1e-4)


def test_streamed_sums_give_the_pseudo_inverse_of_all_images() -> None:
    truth_m = rooms(0, 30)
    candidates = noisy(truth_m)
    weights = fitted(candidates, truth_m)
    spectra, target = np.fft.rfft2(candidates), np.fft.rfft2(truth_m)
    for row, column in ((0, 0), (3, 5), (11, 2), (4, 0)):
        place = np.flatnonzero(weights.bins == row * (GRID[1] // 2 + 1) + column)[0]
        parts = [('real', np.real)] + ([('imaginary', np.imag)] if (row, column) != (0, 0) else [])
        for name, part in parts:
            values, wanted = part(spectra[:, :, row, column]), part(target[:, row, column])
            bias = (values - wanted[:, None]).mean(0)
            expected = np.linalg.pinv(values - bias, 1e-6) @ wanted
            np.testing.assert_allclose(
                getattr(weights, f'weight_{name}')[:, place], expected, rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(
                getattr(weights, f'bias_{name}')[:, place], bias, rtol=1e-4, atol=1e-4
            )


def test_equal_candidates_with_weights_of_sum_one_are_given_back() -> None:
    truth_m = rooms(0, 20)
    weights = fitted(np.repeat(truth_m[:, None], 6, 1), truth_m)
    own_conjugate = np.isin(weights.bins, [0, 12, 9 * 13, 9 * 13 + 12])
    np.testing.assert_allclose(weights.weight_real, 1 / 6, rtol=1e-5)
    np.testing.assert_allclose(weights.weight_imaginary[:, ~own_conjugate], 1 / 6, rtol=1e-5)
    assert not weights.weight_imaginary[:, own_conjugate].any()
    np.testing.assert_allclose(weights.bias_real, 0, atol=1e-6)
    other = rooms(5, 3)
    found = combined(weights, np.repeat(other[:, None], 6, 1))
    np.testing.assert_allclose(found, other, atol=1e-4)


def test_an_offset_of_each_candidate_is_taken_out_whole() -> None:
    truth_m = rooms(0, 20)
    offsets = np.random.default_rng(3).normal(size=(6, *GRID))
    candidates = truth_m[:, None] + offsets
    weights = fitted(candidates, truth_m)
    unseen = rooms(7, 3)
    np.testing.assert_allclose(combined(weights, unseen[:, None] + offsets), unseen, atol=1e-3)


def test_no_candidate_alone_is_better_even_without_its_bias() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    error = ((combined(fitted(candidates, truth_m), candidates) - truth_m) ** 2).mean()
    unbiased = candidates - (candidates - truth_m[:, None]).mean(0)
    alone = ((unbiased - truth_m[:, None]) ** 2).mean((0, 2, 3))
    assert error < alone.min()
    unseen = rooms(9)
    of_unseen = ((combined(fitted(candidates, truth_m), noisy(unseen)) - unseen) ** 2).mean()
    raw = ((noisy(unseen) - unseen[:, None]) ** 2).mean((0, 2, 3))
    assert of_unseen < raw.min()


@pytest.mark.parametrize('max_bins', [None, 40])
def test_errors_on_the_images_are_told_by_the_sums(max_bins: int | None) -> None:
    truth_m = rooms(0, 30)
    candidates = noisy(truth_m)
    fit = CombinationFit(CANDIDATES)
    for one, truth in zip(candidates, truth_m):
        fit.add(one, truth)
    weights = fit.weights(max_bins)
    expected = np.sqrt(((combined(weights, candidates) - truth_m) ** 2).mean())
    assert fit.rmse_m(weights) == pytest.approx(expected, rel=1e-3)
    alone = np.sqrt(((candidates - truth_m[:, None]) ** 2).mean((0, 2, 3)))
    assert fit.candidate_rmse_m() == pytest.approx(alone.tolist(), rel=1e-6)


def test_without_fitted_bins_it_is_the_mean_of_the_whole_image_s_candidates() -> None:
    truth_m = rooms(0, 12)
    candidates = noisy(truth_m)
    weights = fitted(candidates, truth_m, max_bins=0)
    assert len(weights.bins) == 0
    found = combined(weights, candidates)
    np.testing.assert_allclose(found, candidates[:, :2].mean(1), atol=1e-4)


def test_the_release_s_1605_bins_are_those_within_a_radius_of_32() -> None:
    candidates = Candidates((1.0,), False, CropSizes((60, 80), (32, 32), (25, 32), (72, 96)))
    fit = CombinationFit(candidates)
    fit.add(np.ones((1, 72, 96)), np.ones((72, 96)))
    rows, columns = np.divmod(fit.weights(max_bins=1605).bins, 49)
    signed = (rows + 36) % 72 - 36
    assert (signed**2 + columns**2).max() == 32**2
    # In the first column 32 bins have their conjugates beside them.
    assert len(rows) == 1605 + 32


def test_the_order_of_images_does_not_matter() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    order = np.random.default_rng(2).permutation(IMAGES)
    one, other = fitted(candidates, truth_m), fitted(candidates[order], truth_m[order])
    np.testing.assert_allclose(one.weight_real, other.weight_real, atol=1e-5)
    np.testing.assert_allclose(one.bias_imaginary, other.bias_imaginary, atol=1e-4)


def test_ridge_steadies_few_images() -> None:
    truth_m = rooms(0, 7)
    candidates = noisy(truth_m)
    plain = fitted(candidates, truth_m)
    steadied = fitted(candidates, truth_m, shrinkage=Shrinkage(0.1))
    assert np.abs(steadied.weight_imaginary).max() < 0.5 * np.abs(plain.weight_imaginary).max()


def test_the_most_drawn_fit_is_one_convex_combination_of_all_frequencies() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    weights = fitted(candidates, truth_m, shrinkage=Shrinkage(math.inf, 0.0))
    shared = weights.weight_real[:, 0]
    np.testing.assert_array_equal(weights.weight_real, np.repeat(shared[:, None], 18 * 13, 1))
    assert shared.min() >= 0
    assert shared.sum() == pytest.approx(1, abs=1e-6)
    assert not weights.bias_real.any()
    found = combined(weights, candidates)
    np.testing.assert_allclose(found, np.tensordot(candidates, shared, (1, 0)), atol=1e-4)
    errors = ((candidates - truth_m[:, None]) ** 2).mean((0, 2, 3))
    assert ((found - truth_m) ** 2).mean() < errors.min()
    nearly = fitted(candidates, truth_m, shrinkage=Shrinkage(1e6, 0.0))
    np.testing.assert_allclose(nearly.weight_real, weights.weight_real, atol=1e-3)


@pytest.mark.parametrize('seed', range(5))
def test_no_convex_combination_is_better_than_the_one_found(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=40)
    candidates = truth + random.normal(size=(3, 40)) * random.uniform(0.1, 2, (3, 1))
    candidates += random.normal() * random.normal(size=40)  # an error that they share
    values = np.concatenate([candidates, truth[None]])
    found = convex_weights(values @ values.T)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    others = random.dirichlet(np.full(3, 0.5), 5000)
    errors = ((others @ candidates - truth) ** 2).sum(1)
    assert ((found @ candidates - truth) ** 2).sum() <= errors.min() + 1e-9


def test_a_share_of_the_bias_is_taken_away() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    whole = fitted(candidates, truth_m)
    half = fitted(candidates, truth_m, shrinkage=Shrinkage(0.0, 0.5))
    np.testing.assert_allclose(half.bias_real, 0.5 * whole.bias_real, rtol=1e-5)
    errors = [((combined(one, candidates) - truth_m) ** 2).mean() for one in (whole, half)]
    assert errors[0] < errors[1]


def scenes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight frames each of scenes: alike in depth and in each candidate's error of it."""
    random = np.random.default_rng(seed)
    truth_m = np.repeat(rooms(seed, count), 8, 0) + 0.05 * rooms(seed + 1, 8 * count)
    level = np.repeat(0.6 * random.normal(size=(count, 6)), 8, 0)[..., None, None]
    noise = 0.1 * random.normal(size=(8 * count, 6, *GRID))
    return truth_m, truth_m[:, None] + level + noise


def test_cross_validation_draws_a_fit_on_few_scenes_and_it_holds_elsewhere() -> None:
    truth_m, candidates = scenes(4, 0)
    fit = CombinationFit(CANDIDATES)
    for number, (one, truth) in enumerate(zip(candidates, truth_m)):
        fit.add(one, truth, number / len(truth_m))
    chosen = fit.shrinkage()
    assert chosen.ridge > 0
    unseen_m, of_unseen = scenes(40, 50)
    errors = [
        ((combined(fit.weights(shrinkage=one), of_unseen) - unseen_m) ** 2).mean()
        for one in (chosen, PAPER)
    ]
    assert errors[0] < errors[1]
    assert errors[0] < ((of_unseen - unseen_m[:, None]) ** 2).mean((0, 2, 3)).min()


def test_cross_validation_takes_the_whole_bias_away_where_images_are_many() -> None:
    truth_m = rooms(0, 200)
    fit = CombinationFit(CANDIDATES)
    for number, (one, truth) in enumerate(zip(noisy(truth_m), truth_m)):
        fit.add(one, truth, number / len(truth_m))
    assert fit.shrinkage().bias == 1.0
    assert fit.shrinkage(ridge=0.3, bias=0.25) == Shrinkage(0.3, 0.25)


def test_an_image_of_weight_two_counts_like_two() -> None:
    truth_m = rooms(0, 20)
    candidates = noisy(truth_m)
    weighted, doubled = CombinationFit(CANDIDATES), CombinationFit(CANDIDATES)
    for number, (one, truth) in enumerate(zip(candidates, truth_m)):
        weighted.add(one, truth, weight=1.0 + number % 2)
        for _ in range(1 + number % 2):
            doubled.add(one, truth)
    found, expected = weighted.weights(), doubled.weights()
    np.testing.assert_allclose(found.weight_real, expected.weight_real, atol=1e-5)
    np.testing.assert_allclose(found.bias_real, expected.bias_real, atol=1e-4)
    assert weighted.rmse_m(found) == pytest.approx(doubled.rmse_m(expected), rel=1e-6)


def test_shrinkage_is_chosen_by_the_frequencies_that_are_fitted() -> None:
    truth_m, candidates = scenes(4, 0)
    whole, lowest = CombinationFit(CANDIDATES), CombinationFit(CANDIDATES)
    for number, (one, truth) in enumerate(zip(candidates, truth_m)):
        place = number / len(truth_m)
        whole.add(one, truth, place)
        means = one.mean((1, 2), keepdims=True), truth.mean(keepdims=True)
        lowest.add(np.broadcast_to(means[0], one.shape), np.broadcast_to(means[1], GRID), place)
    assert whole.shrinkage(max_bins=1) == lowest.shrinkage() != whole.shrinkage()


def test_images_of_one_place_alone_are_not_trusted() -> None:
    truth_m = rooms(0, 12)
    fit = CombinationFit(CANDIDATES)
    for one, truth in zip(noisy(truth_m), truth_m):
        fit.add(one, truth)
    assert fit.shrinkage() == Shrinkage(math.inf, 0.0)


@pytest.mark.parametrize(('ridge', 'bias'), [(-1.0, 1.0), (float('nan'), 1.0), (0.0, 1.5)])
def test_impossible_shrinkage_is_refused(ridge: float, bias: float) -> None:
    with pytest.raises(ConfigError, match='must be 0'):
        Shrinkage(ridge, bias)


def test_fewer_ratios_are_fitted_from_the_same_sums() -> None:
    truth_m = rooms(0)
    candidates = noisy(truth_m)
    fit = CombinationFit(CANDIDATES)
    for one, truth in zip(candidates, truth_m):
        fit.add(one, truth)
    found = fit.restricted((1.0, 0.6)).weights()
    fewer = Candidates((1.0, 0.6), True, CANDIDATES.sizes)
    alone = CombinationFit(fewer)
    for one, truth in zip(candidates[:, [0, 1, 4, 5]], truth_m):
        alone.add(one, truth)
    np.testing.assert_allclose(found.weight_real, alone.weights().weight_real, atol=1e-5)
    assert found.ratios == (1.0, 0.6)
    with pytest.raises(ConfigError, match=r'ratios \[0.7\] are not among'):
        fit.restricted((1.0, 0.7))


def test_weights_are_read_back(tmp_path: Path) -> None:
    truth_m = rooms(0, 10)
    weights = fitted(noisy(truth_m), truth_m, max_bins=50)
    weights.save(tmp_path / 'fusion.npz')
    found = CombinationWeights.load(tmp_path / 'fusion.npz')
    assert (found.ratios, found.mirrored, found.grid) == ((1.0, 0.8, 0.6), True, GRID)
    assert (found.image, found.images) == ((60, 80), 10)
    for name in ('bins', 'weight_real', 'weight_imaginary', 'bias_real', 'bias_imaginary'):
        np.testing.assert_array_equal(getattr(found, name), getattr(weights, name))


@pytest.mark.parametrize('content', [b'', b'no archive', None])
def test_what_are_no_weights_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / 'fusion.npz'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match='no file of combination weights'):
        CombinationWeights.load(path)


def test_impossible_images_are_refused() -> None:
    fit = CombinationFit(CANDIDATES)
    with pytest.raises(ConfigError, match='no image with true depth'):
        fit.weights()
    with pytest.raises(ConfigError, match=r'candidates are \(5, 18, 24\)'):
        fit.add(np.ones((5, *GRID)), np.ones(GRID))
    with pytest.raises(ConfigError, match='not finite'):
        fit.add(np.ones((6, *GRID)), np.full(GRID, np.nan))


def test_unknown_depth_is_filled_from_its_surroundings() -> None:
    rows, columns = np.mgrid[:40, :60]
    depth_m = 2.0 + 0.02 * rows + 0.01 * columns
    holed = depth_m.copy()
    holed[10:16, 20:26] = np.nan
    holed[:3, :3] = np.nan
    filled = fill_unknown(holed)
    np.testing.assert_array_equal(filled[np.isfinite(holed)], depth_m[np.isfinite(holed)])
    assert np.abs(filled - depth_m).max() < 0.1
    assert np.isnan(fill_unknown(np.full((4, 4), np.nan))).all()
