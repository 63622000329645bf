"""Depth metrics against their properties and a pixel-by-pixel second implementation."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from depth_ros.errors import ConfigError
from depth_ros.evaluation.metrics import (
    DepthMetrics,
    DepthRange,
    comparable_pixels,
    depth_metrics,
    garg_crop,
    mean_metrics,
    median_scale,
    scale_stability,
)

ERRORS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'irmse', 'mae')


def make_depths(seed=0, shape=(12, 17)):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 20.0, shape)
    return truth, truth * rng.uniform(0.6, 1.7, shape)


def naive_metrics(truth, predicted):
    pairs = list(zip(truth.ravel().tolist(), predicted.ravel().tolist()))
    n = len(pairs)
    logs = [math.log(p) - math.log(g) for g, p in pairs]
    mean_log = sum(logs) / n
    ratios = [max(g / p, p / g) for g, p in pairs]
    return DepthMetrics(
        abs_rel=sum(abs(g - p) / g for g, p in pairs) / n,
        sq_rel=sum((g - p) ** 2 / g for g, p in pairs) / n,
        rmse=math.sqrt(sum((g - p) ** 2 for g, p in pairs) / n),
        rmse_log=math.sqrt(sum(e * e for e in logs) / n),
        log10=sum(abs(math.log10(g) - math.log10(p)) for g, p in pairs) / n,
        d1=sum(r < 1.25 for r in ratios) / n,
        d2=sum(r < 1.25 ** 2 for r in ratios) / n,
        d3=sum(r < 1.25 ** 3 for r in ratios) / n,
        silog=100 * math.sqrt(sum(e * e for e in logs) / n - mean_log ** 2),
        irmse=math.sqrt(sum((1 / g - 1 / p) ** 2 for g, p in pairs) / n),
        mae=sum(abs(g - p) for g, p in pairs) / n,
    )


def everywhere(depth):
    return np.ones(depth.shape, bool)


@pytest.mark.parametrize('seed', range(5))
def test_metrics_equal_the_naive_implementation(seed):
    truth, predicted = make_depths(seed)
    metrics = depth_metrics(truth, predicted, everywhere(truth))
    assert asdict(metrics) == pytest.approx(asdict(naive_metrics(truth, predicted)), rel=1e-10)


def test_perfect_prediction_has_no_error():
    truth, _ = make_depths()
    metrics = asdict(depth_metrics(truth, truth, everywhere(truth)))
    assert [metrics[name] for name in ERRORS] == [0.0] * len(ERRORS)
    assert (metrics['d1'], metrics['d2'], metrics['d3']) == (1.0, 1.0, 1.0)


def test_thirty_percent_too_far():
    truth, _ = make_depths()
    metrics = depth_metrics(truth, 1.3 * truth, everywhere(truth))
    assert metrics.abs_rel == pytest.approx(0.3)
    assert (metrics.d1, metrics.d2) == (0.0, 1.0)
    assert metrics.rmse_log == pytest.approx(math.log(1.3))
    assert metrics.silog == pytest.approx(0.0, abs=1e-9)


def test_threshold_is_strict():
    truth, predicted = np.full((2, 2), 4.0), np.full((2, 2), 5.0)
    assert depth_metrics(truth, predicted, everywhere(truth)).d1 == 0.0
    assert depth_metrics(predicted, truth, everywhere(truth)).d1 == 0.0


def test_truth_is_the_denominator_and_thresholds_are_symmetric():
    truth, predicted = make_depths(3)
    one_way = depth_metrics(truth, predicted, everywhere(truth))
    other_way = depth_metrics(predicted, truth, everywhere(truth))
    assert one_way.abs_rel != pytest.approx(other_way.abs_rel, rel=1e-3)
    assert (one_way.d1, one_way.d2, one_way.d3) == (other_way.d1, other_way.d2, other_way.d3)


@pytest.mark.parametrize('factor', [0.01, 0.5, 3.0, 1000.0])
def test_median_scaling_removes_any_factor(factor):
    truth, predicted = make_depths(4)
    valid = everywhere(truth)

    def scaled(prediction):
        return depth_metrics(truth, prediction * median_scale(truth, prediction, valid), valid)

    assert asdict(scaled(factor * predicted)) == pytest.approx(asdict(scaled(predicted)))


def test_global_and_per_image_scale_agree_for_one_image():
    truth, predicted = make_depths(5)
    ratio = median_scale(truth, predicted, everywhere(truth))
    stability = scale_stability([ratio])
    assert (stability.median_ratio, stability.relative_std) == (ratio, 0.0)


def test_scale_stability_is_relative():
    assert scale_stability([4.0, 5.0, 6.0]).relative_std == pytest.approx(np.std([0.8, 1.0, 1.2]))
    assert scale_stability([]) is None


def test_masked_pixels_do_not_count():
    truth, predicted = make_depths(6)
    valid = np.random.default_rng(6).random(truth.shape) < 0.3
    expected = naive_metrics(truth[valid], predicted[valid])
    predicted[~valid] = np.nan
    assert asdict(depth_metrics(truth, predicted, valid)) == pytest.approx(asdict(expected))


def test_nothing_to_compare_is_no_value():
    truth, predicted = make_depths()
    assert depth_metrics(truth, predicted, np.zeros(truth.shape, bool)) is None
    assert mean_metrics([]) is None


def test_each_image_counts_the_same():
    small, large = np.full((1, 1), 2.0), np.full((10, 10), 2.0)
    mean = mean_metrics([depth_metrics(small, 1.5 * small, everywhere(small)),
                         depth_metrics(large, large, everywhere(large))])
    assert mean.abs_rel == pytest.approx(0.25)
    assert mean.d1 == pytest.approx(0.5)


def test_comparable_pixels_need_known_truth_in_range_and_a_prediction():
    truth = np.array([[0.0, np.nan, np.inf, 0.5, 80.0, 2.0, 2.0, 2.0, 2.0]])
    predicted = np.array([[1.0, 1.0, 1.0, 1.0, 1.0, np.nan, 0.0, np.inf, 500.0]])
    valid = comparable_pixels(truth, predicted, DepthRange(0.1, 80.0))
    assert valid.tolist() == [[False, False, False, True, False, False, False, False, True]]


def test_comparable_pixels_refuses_sizes_that_differ():
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(3, 2\)'):
        comparable_pixels(np.ones((2, 3)), np.ones((3, 2)), DepthRange())


def test_clamp_keeps_unknown_depth_unknown():
    clamped = DepthRange(1.0, 10.0).clamp(np.array([0.1, 5.0, 50.0, np.nan]))
    np.testing.assert_array_equal(clamped, [1.0, 5.0, 10.0, np.nan])


@pytest.mark.parametrize(('low', 'high'), [(0, 1), (2, 1), (1, math.inf), (1, math.nan)])
def test_impossible_depth_range_is_refused(low, high):
    with pytest.raises(ConfigError, match='depth range'):
        DepthRange(low, high)


def test_garg_crop_of_a_kitti_image():
    assert garg_crop(375, 1242) == (slice(153, 371), slice(44, 1197))
