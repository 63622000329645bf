"""Error by confidence, summed as it comes."""

import numpy as np
import pytest

from depth_ros.evaluation.confidence_curve import ConfidenceScorer
from depth_ros.evaluation.protocol import DepthProtocol

PLAIN = DepthProtocol()


def random_frames(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        truth = rng.uniform(1.0, 5.0, (30, 40))
        truth[rng.random((30, 40)) < 0.1] = np.nan
        confidence = rng.uniform(0.0, 1.0, (30, 40)) ** 2
        wrong = 1.0 + (1.0 - confidence) * rng.normal(0.0, 0.3, (30, 40))
        confidence[rng.random((30, 40)) < 0.2] = np.nan
        yield truth, truth * np.abs(wrong), confidence.astype(np.float32)


def naive_parts(frames, ratio, parts):
    """All pixels sorted by confidence, in equal parts."""
    pairs = np.concatenate([
        np.stack([c, np.abs(ratio * p / t - 1.0)], -1)[np.isfinite(t) & np.isfinite(c)]
        for t, p, c in frames])
    return np.array_split(pairs[np.argsort(pairs[:, 0], kind='stable')], parts)


@pytest.mark.parametrize('name', ['fifths', 'tenths'])
def test_equal_parts_as_by_sorting_all_pixels(name):
    frames, scorer, ratio = list(random_frames(20)), ConfidenceScorer(PLAIN), 1.1
    for truth, predicted, confidence in frames:
        scorer.add(truth, predicted, confidence, ratio)
    curve = scorer.curve()
    bands = getattr(curve, name)
    for factor, field in ((ratio, 'median_scaled_abs_rel'), (1.0, 'unscaled_abs_rel')):
        expected = naive_parts(frames, factor, len(bands))
        np.testing.assert_allclose([getattr(band, field) for band in bands],
                                   [part[:, 1].mean() for part in expected], rtol=0.01)
    np.testing.assert_allclose([band.highest for band in bands],
                               [part[-1, 0] for part in expected], atol=2e-3)
    assert [band.lowest for band in bands[1:]] == [band.highest for band in bands[:-1]]
    known = np.concatenate([np.isfinite(t).ravel() for t, _, _ in frames])
    judged = np.concatenate([(np.isfinite(t) & np.isfinite(c)).ravel() for t, _, c in frames])
    assert curve.judged == pytest.approx(judged.sum() / known.sum())


def test_pixels_without_a_confidence_are_told_apart():
    truth, confidence = np.full((10, 10), 2.0), np.full((10, 10), 0.5, np.float32)
    predicted = truth.copy()
    predicted[:2] = 3.0
    confidence[:2] = np.nan
    scorer = ConfidenceScorer(PLAIN)
    scorer.add(truth, predicted, confidence, 1.0)
    curve = scorer.curve()
    assert curve.judged == 0.8
    assert curve.rest_median_scaled_abs_rel == pytest.approx(0.5)
    assert [band.median_scaled_abs_rel for band in curve.fifths] == pytest.approx([0.0] * 5)


def test_frames_that_cannot_be_judged_are_left_out():
    scorer = ConfidenceScorer(PLAIN)
    scorer.add(np.full((4, 4), 2.0), np.full((4, 4), 2.0), None, 1.0)
    assert scorer.curve() is None


def test_confidence_and_depth_of_other_sizes_than_the_truth():
    scorer = ConfidenceScorer(PLAIN)
    confidence = np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(3, 4)
    scorer.add(np.full((6, 8), 2.0), np.full((3, 4), 2.2, np.float32), confidence, 1.0)
    bands = scorer.curve().fifths
    assert [band.unscaled_abs_rel for band in bands] == pytest.approx([0.1] * 5, rel=1e-5)
    assert bands[-1].highest == pytest.approx(1.0, abs=1e-3)
